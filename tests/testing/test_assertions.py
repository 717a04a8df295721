"""Faults that the kit has to find, and right ones that it has to let pass."""

import random
from typing import ClassVar

import numpy as np
import pytest
from pydantic import Field, model_validator

from mtkit.backend import keras, tf
from mtkit.hooks import hookimpl
from mtkit.layers.mmoe import Mmoe
from mtkit.layers.reference_heads import LinearHead
from mtkit.spec import Balancer, Baseline, Spec
from mtkit.testing import (
    check_baseline,
    check_correlation,
    check_encoder,
    check_hooks,
    check_prediction_head,
    check_spec,
)

VIEW = {"x": np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)}
INPUTS = {"history.item": np.random.default_rng(1).integers(1, 9, (6, 5))}


class Attending(keras.layers.Layer):
    """A past by Keras' attention, whose bias of the keys has no gradient by mathematics."""

    def __init__(self, **options):
        super().__init__(**options)
        self.items, self.attention = keras.layers.Embedding(9, 4), keras.layers.MultiHeadAttention(2, 4)

    def call(self, inputs, training=False):
        items = self.items(inputs["history.item"])
        return tf.reduce_mean(self.attention(items, items), 1)


class OverMaximum(Attending):
    def call(self, inputs, training=False):
        outputs = super().call(inputs)
        return outputs - tf.reduce_max(outputs, axis=0, keepdims=True)


class OverMeanInTraining(Attending):
    def call(self, inputs, training=False):
        outputs = super().call(inputs)
        return outputs - tf.reduce_mean(outputs, axis=0, keepdims=True) if training else outputs


class Noisy(Attending):
    def call(self, inputs, training=False):
        return super().call(inputs) + tf.random.normal([4])


class Wide(Attending):
    def call(self, inputs, training=False):
        return tf.cast(super().call(inputs), tf.float64)


class Drawing(Attending):
    def call(self, inputs, training=False):
        np.random.rand()  # noqa: NPY002 - the fault
        return super().call(inputs)


def test_attention_of_keras_passes():
    check_encoder(Attending(), INPUTS, 4)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (OverMaximum, "alone and beside others differ|when row 0 changes differ|with and without row 0"),
        (OverMeanInTraining, r"in training: \s.*(.|\n)*rows .* differ"),
        (Noisy, "asked twice, differ"),
        (Wide, "expected embeddings in float32, got float64"),
        (Drawing, "the layer draws from NumPy's global random state"),
    ],
)
def test_an_encoder_with_a_fault(layer, message):
    with pytest.raises(AssertionError, match=message):
        check_encoder(layer(), INPUTS, 4)


@tf.custom_gradient
def spoiled(x):
    return tf.identity(x), lambda gradient: gradient * np.nan


class Roots(Mmoe):
    """The state of the first task has a gradient that is nan."""

    def call(self, inputs, training=False):
        outputs = super().call(inputs)
        return tf.concat([spoiled(outputs[:, :1]), outputs[:, 1:]], 1)


def test_a_gradient_that_is_nan_is_told_as_that_with_task_and_variable():
    with pytest.raises(AssertionError, match=r"the gradient from task 0 to .*:0 is nan"):
        check_correlation(Roots(2, 2, 4), 2, 4)


class Ranked(LinearHead):
    """A probability that depends on the other rows."""

    def predict(self, outputs):
        return super().predict(outputs - tf.reduce_max(outputs))


class Column(LinearHead):
    def predict(self, outputs):
        return super().predict(outputs)[:, None]


@pytest.mark.parametrize(
    ("layer", "message"),
    [(Ranked, "rows .* differ"), (Column, r"expected predictions \[6\], got \(6, 1\)")],
)
def test_a_prediction_with_a_fault(layer, message):
    with pytest.raises(AssertionError, match=message):
        check_prediction_head(layer(["x"], 2), VIEW)


class Unlocked(Balancer):
    """Has a value that TOML cannot say."""

    power: float | None = Field(1.0, description="an exponent, or none")


class Random(Balancer):
    """Draws when it is made."""

    @model_validator(mode="after")
    def _drawn(self):
        random.random()
        return self


class Ring(Spec):
    """Rings."""

    times: int = Field(1, description="how often")

    @hookimpl
    def run_end(self):
        pass


class OwnRate(Baseline):
    """The rate of each item."""

    form: ClassVar = "prediction"

    def predict(self, train, rows):
        if train.classes != 2:
            return None
        rates = np.bincount(train.columns["item.id"], train.weights * train.labels, 10)
        return (rates / np.maximum(np.bincount(train.columns["item.id"], train.weights, 10), 1))[
            rows.columns["item.id"]
        ]


def test_specs_with_a_fault():
    with pytest.raises(AssertionError, match="comes back from a lock as"):
        check_spec(Unlocked(power=None))
    with pytest.raises(AssertionError, match="draws from Python's global random state"):
        check_spec(Random())


def test_hooks_with_options_and_baselines_of_items_pass():
    check_spec(Ring())
    check_hooks(Ring())
    check_baseline(OwnRate())
