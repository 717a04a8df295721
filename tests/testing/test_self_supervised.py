"""The kit has to be able to fail: each test gives it a head with one defect."""

from typing import ClassVar

import numpy as np
import pytest

from mtkit.backend import keras, tf
from mtkit.heads import SelfSupervisedHead
from mtkit.spec import SelfSupervisedTask
from mtkit.testing import check_self_supervised_head

NUMBERS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
NUMBERS[2] = 0
PADDED = {"item.numbers": np.pad(NUMBERS, [[0, 0], [0, 2]])}


@keras.saving.register_keras_serializable("tests")
class Summed(keras.layers.Layer):
    """Embeds the sums of numbers; 0 is padding."""

    def __init__(self, **options):
        super().__init__(**options)
        self.dense = keras.layers.Dense(4)

    def call(self, features, training=False):
        return self.dense(_totals(features))


@keras.saving.register_keras_serializable("tests")
class Recalls(SelfSupervisedHead):
    """The embedding of sums that are blurred in training is to tell them; there is nothing to learn from a 0."""

    def __init__(self, blur=0.1, **options):
        super().__init__(**options)
        self.blur = blur
        self.dense = keras.layers.Dense(1)

    def call(self, features, ids, encoder, training=False):
        totals = _totals(features)
        blurred = totals + self.blur * tf.random.normal(tf.shape(totals)) if training else totals
        found = self.dense(encoder({"item.numbers": blurred}))
        weights = tf.cast(totals[:, 0] != 0, tf.float32)
        return tf.where(weights > 0, tf.square(found - totals)[:, 0], np.nan), weights

    def observe(self, features, encoder):
        totals = _totals(features)
        return tf.stack([tf.reduce_sum(totals), tf.reduce_sum(tf.ones_like(totals))])

    def measure(self, features, ids, encoder, observed):
        losses, weights = self(features, ids, encoder)
        constant = tf.square(observed[0] / observed[1] - _totals(features)[:, 0])
        return {
            "model": {"error": (tf.where(weights > 0, losses, 0.0), weights)},
            "mean": {"error": (constant, weights)},
        }

    def get_config(self):
        return super().get_config() | {"blur": self.blur}


class Recall(SelfSupervisedTask):
    """Tells sums."""

    metrics: ClassVar = {"root": True, "error": True}

    def values(self, means):
        values = super().values(means)
        return {"root": values["error"] ** 0.5, **values}


def _totals(features):
    return tf.reduce_sum(features["item.numbers"], axis=1, keepdims=True)


class Mean(Recalls):
    def call(self, features, ids, encoder, training=False):
        losses, weights = super().call(features, ids, encoder, training)
        return tf.reduce_mean(losses), weights


class Coupled(Recalls):
    def call(self, features, ids, encoder, training=False):
        losses, weights = super().call(features, ids, encoder, training)
        return losses - tf.reduce_sum(_totals(features)), weights


class Infinite(Recalls):
    def call(self, features, ids, encoder, training=False):
        losses, weights = super().call(features, ids, encoder, training)
        return losses, tf.ones_like(weights)


class AlwaysBlurred(Recalls):
    def call(self, features, ids, encoder, training=False):
        return super().call(features, ids, encoder, training=True)


class Counting(Recalls):
    """Evaluates by how often it has trained."""

    def build(self, shape):
        self.steps = self.add_weight("steps", (), trainable=False, initializer="zeros")
        super().build(shape)

    def call(self, features, ids, encoder, training=False):
        if training:
            self.steps.assign_add(1)
        losses, weights = super().call(features, ids, encoder, training)
        return losses + self.steps, weights


class Unseeded(Recalls):
    def call(self, features, ids, encoder, training=False):
        losses, weights = super().call(features, ids, encoder, training)
        return losses + (np.random.default_rng().random() if training else 0.0), weights


class PerNumber(Recalls):
    """Counts padding in."""

    def call(self, features, ids, encoder, training=False):
        losses, weights = super().call(features, ids, encoder, training)
        return losses / features["item.numbers"].shape[1], weights


class Forgetful(Recalls):
    def get_config(self):
        config = super().get_config()
        del config["blur"]
        return config


class Owner(Recalls):
    def call(self, features, ids, encoder, training=False):
        self.encoder = encoder
        return super().call(features, ids, encoder, training)


class Idle(Recalls):
    def build(self, shape):
        self.unused = self.add_weight("unused", (1,))
        super().build(shape)


class Alone(Recalls):
    """Trains itself only."""

    def call(self, features, ids, encoder, training=False):
        return super().call(features, ids, lambda given: tf.stop_gradient(encoder(given)), training)


class Averaging(Recalls):
    def observe(self, features, encoder):
        return tf.reduce_mean(_totals(features)) * tf.ones([2])


class BaselinesAlone(Recalls):
    def measure(self, features, ids, encoder, observed):
        return {"mean": super().measure(features, ids, encoder, observed)["mean"]}


class OtherMetrics(Recalls):
    def measure(self, features, ids, encoder, observed):
        measured = super().measure(features, ids, encoder, observed)
        return measured | {"mean": {**measured["mean"], "more": measured["mean"]["error"]}}


class CoupledBaseline(Recalls):
    def measure(self, features, ids, encoder, observed):
        measured = super().measure(features, ids, encoder, observed)
        constant, weights = measured["mean"]["error"]
        return measured | {"mean": {"error": (constant - tf.reduce_mean(constant), weights)}}


class MeasuresNan(Recalls):
    def measure(self, features, ids, encoder, observed):
        measured = super().measure(features, ids, encoder, observed)
        return measured | {"model": {"error": self(features, ids, encoder)}}


def check(head):
    task = Recall(rows="items", encoder="sums")
    check_self_supervised_head(head(), task, Summed(), {"item.numbers": NUMBERS}, PADDED)


def test_a_head_without_a_defect():
    check(Recalls)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (Mean, r"expected one loss per row, \[5\], got \(\)"),
        (Coupled, "outputs of rows when row 0 changes"),
        (Infinite, "values of loss are not finite"),
        (AlwaysBlurred, "outputs of the same rows, asked twice, differ"),
        (Counting, "losses of the same rows, before and after a step of training"),
        (Unseeded, "losses of training with the same seed"),
        (PerNumber, "losses with and without more padding"),
        (Forgetful, r"the config of Forgetful lacks \['blur'\]"),
        (Owner, "of the encoder among its variables"),
        (Idle, "the gradient to .*unused"),
        (Alone, "the loss has no gradient to the encoder"),
        (Averaging, "the sum of what is observed of blocks"),
        (BaselinesAlone, "expected values of 'model', got those of mean"),
        (OtherMetrics, r"expected \['root', 'error'\] of mean, got \['root', 'error', 'more'\]"),
        (CoupledBaseline, "outputs of rows when row 0 changes"),
        (MeasuresNan, "error of model are not finite"),
    ],
)
def test_a_head_with_a_defect(head, message):
    registered = keras.saving.register_keras_serializable("tests")(head)
    with pytest.raises(AssertionError, match=message):
        check(registered)
