"""The kit has to be able to fail: each test gives it a component with one defect."""

from typing import Literal

import numpy as np
import pytest
from pydantic import ConfigDict, Field

from mtkit.backend import keras, tf
from mtkit.heads import RetrievalHead
from mtkit.layers.balancing import Sum
from mtkit.layers.mmoe import Mmoe
from mtkit.layers.reference_heads import LinearHead
from mtkit.spec import Balancer
from mtkit.standard.balancers import Fixed
from mtkit.testing import (
    check_balancer,
    check_correlation,
    check_import_is_light,
    check_layer_config,
    check_prediction_head,
    check_retrieval_head,
    check_spec,
)

VIEW = {"x": np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)}


class Lax(Balancer):
    """Takes any key."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Undescribed(Balancer):
    """Has a field that nobody explains."""

    power: int = 1


class Undocumented(Balancer):
    power: int = Field(1, description="of what?")


Undocumented.__doc__ = None


class Mutable(Balancer):
    """Can change."""

    model_config = ConfigDict(frozen=False, extra="forbid")

    power: int = Field(1, description="an exponent")


class Stray(Fixed):
    """Says that it is of another kind."""

    kind = "encoder"


class Lossy(Balancer):
    """Does not come back from JSON."""

    power: Literal[1] | float = Field(1, description="an exponent", exclude=True)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (Lax(), "unknown keys"),
        (Undescribed(), "have no description"),
        (Undocumented(), "no docstring"),
        (Mutable(), "not frozen"),
        (Stray(), "kind 'encoder' is that of Encoder"),
        (Lossy(power=2.5), "comes back from JSON"),
    ],
)
def test_spec(spec, message):
    check_spec(Fixed())
    with pytest.raises(AssertionError, match=message):
        check_spec(spec)


def test_import_is_light():
    check_import_is_light("mtkit.spec")
    with pytest.raises(AssertionError, match=r"import mtkit\.types, numpy imports numpy"):
        check_import_is_light("mtkit.types, numpy")
    with pytest.raises(AssertionError, match="No module named 'no_such_module'"):
        check_import_is_light("no_such_module")


class Forgetful(LinearHead):
    def get_config(self):
        config = super().get_config()
        del config["classes"]
        return config


class Changing(LinearHead):
    def get_config(self):
        return {**super().get_config(), "classes": self.classes + 1}


class OverRows(Mmoe):
    def call(self, inputs, training=False):
        outputs = super().call(inputs)
        return outputs - tf.reduce_mean(outputs, axis=0)


class OneTask(Mmoe):
    def call(self, inputs, training=False):
        outputs = super().call(inputs)
        return tf.concat([outputs[:, :1], tf.zeros_like(outputs[:, 1:])], 1)


class Idle(Mmoe):
    def build(self, input_shape):
        super().build(input_shape)
        self.unused = self.add_weight("unused", (1,))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (OverRows, "outputs of rows when row 0 changes"),
        (OneTask, "the gradient from task 1 to the input"),
        (Idle, "the gradient to .*unused"),
    ],
)
def test_correlation(layer, message):
    with pytest.raises(AssertionError, match=message):
        check_correlation(layer(2, experts=3, units=4), tasks=2, dim=4)


@pytest.mark.parametrize(
    ("layer", "message"),
    [(Forgetful, r"the config of Forgetful lacks \['classes'\]"), (Changing, "'classes': 4.* is not .*'classes': 3")],
)
def test_layer_config(layer, message):
    with pytest.raises(AssertionError, match=message):
        check_layer_config(layer(["x"]))


class MeanLoss(LinearHead):
    def loss(self, outputs, labels):
        return tf.reduce_mean(super().loss(outputs, labels))


class CoupledLoss(LinearHead):
    def loss(self, outputs, labels):
        return super().loss(outputs - tf.reduce_sum(outputs), labels)


class NanWhenRemoved(LinearHead):
    def loss(self, outputs, labels):
        return tf.concat([[np.nan], super().loss(outputs, labels)[1:]], 0)


class Logits(LinearHead):
    def predict(self, outputs):
        return outputs


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (MeanLoss, "expected one loss per row"),
        (CoupledLoss, "differ"),
        (NanWhenRemoved, "losses are not finite"),
        (Logits, "expected probabilities"),
        (lambda names: LinearHead(names, classes=3), r"expected logits \[6\]"),
    ],
)
def test_prediction_head(head, message):
    with pytest.raises(AssertionError, match=message):
        check_prediction_head(head(["x"]), VIEW)


class Softmax(RetrievalHead):
    """In-batch softmax in which `hidden` says how candidates of weight 0 are left out."""

    hidden = -1e9

    def __init__(self):
        super().__init__()
        self.towers = [keras.layers.Dense(3, use_bias=False) for _ in range(2)]

    def query(self, view, training=False):
        return self.towers[0](view["x"])

    def candidate(self, view, ids, training=False):
        return self.towers[1](view["x"])

    def loss(self, query, candidates, batch, training=False):
        removed = tf.where(candidates.weights > 0, 0.0, self.hidden)
        scores = self.score(query, candidates.embeddings, batch) + removed
        return tf.nn.sparse_softmax_cross_entropy_with_logits(tf.range(len(query)), scores)


class KeepsRemoved(Softmax):
    hidden = 0.0


class OverQueries(Softmax):
    def query(self, view, training=False):
        return super().query(view) - tf.reduce_mean(super().query(view), axis=0)


class CountsRemoved(Softmax):
    """Treats a removed candidate as a score of 0: the same whatever it is, but there."""

    def loss(self, query, candidates, batch, training=False):
        embeddings = candidates.embeddings * tf.sign(candidates.weights)[:, None]
        candidates = candidates._replace(embeddings=embeddings, weights=tf.ones_like(candidates.weights))
        return super().loss(query, candidates, batch)


def test_retrieval_head():
    check_retrieval_head(Softmax(), VIEW, VIEW)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (KeepsRemoved, "losses with another candidate of weight 0"),
        (CountsRemoved, "losses with a row of weight 0 and without the row"),
        (OverQueries, "outputs of rows when row 0 changes"),
    ],
)
def test_retrieval_head_with_a_defect(head, message):
    with pytest.raises(AssertionError, match=message):
        check_retrieval_head(head(), VIEW, VIEW)


class Average(Sum):
    def call(self, losses, present=None):
        return tf.stack(list(losses.values()))


class First(Sum):
    def call(self, losses, present=None):
        return losses["a"] + 0.0 * losses["b"]


class AlwaysPenalized(Sum):
    def __init__(self):
        super().__init__()
        self.scale = self.add_weight("scale", ())

    def call(self, losses, present=None):
        return super().call(losses) + self.scale


@pytest.mark.parametrize(
    ("balancer", "message"),
    [
        (Average, "expected a scalar"),
        (First, "does not grow with the loss of b"),
        (AlwaysPenalized, "tasks without labels move .*scale"),
    ],
)
def test_balancer(balancer, message):
    with pytest.raises(AssertionError, match=message):
        check_balancer(balancer(), ["a", "b"])
