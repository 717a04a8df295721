"""The kit has to be able to fail: each test gives it a component with one defect."""

import numpy as np
import pytest

from mtkit.backend import keras, tf
from mtkit.heads import RetrievalHead
from mtkit.layers.axes import Axis
from mtkit.layers.balancing import Sum
from mtkit.layers.mmoe import Mmoe
from mtkit.layers.number_scaling import Scale
from mtkit.layers.reference_heads import LinearHead
from mtkit.layers.task_states import TaskStates
from mtkit.standard.number_preprocessors import Buckets, Standardize
from mtkit.standard.preprocessors import Vocabulary
from mtkit.testing import (
    check_balancer,
    check_correlation,
    check_encoder,
    check_layer_config,
    check_prediction_head,
    check_preprocessor,
    check_retrieval_head,
)

VIEW = {"x": np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)}


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


class Past(Mmoe):
    """Names a cut past which a way leads."""

    def call(self, inputs, training=False):
        half = tf.identity(inputs)
        return TaskStates(super().call(half) + super().call(inputs), cut=(half,))


class Idle(Mmoe):
    def build(self, input_shape):
        super().build(input_shape)
        self.unused = self.add_weight("unused", (1,))


class Scaled(keras.layers.Layer):
    """Reads a feature, of the row or of all rows."""

    def __init__(self, own):
        super().__init__()
        self.own, self.dense = own, keras.layers.Dense(4)

    def call(self, inputs, features):
        scale = tf.cast(features["context.tab"], tf.float32)
        scale = scale[:, None] + 1 if self.own else tf.reduce_mean(scale) + 1
        return self.dense(tf.concat(inputs, -1)) * scale


def test_correlation_of_several_embeddings_and_features():
    features = {"context.tab": np.arange(6)}
    check_correlation(Scaled(own=True), 2, [3, 2], shared=True, features=features)
    with pytest.raises(AssertionError, match="outputs of rows when row 0 changes"):
        check_correlation(Scaled(own=False), 2, [3, 2], shared=True, features=features)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (OverRows, "outputs of rows when row 0 changes"),
        (OneTask, "the gradient from task 1 to the input"),
        (Idle, "the gradient to .*unused"),
        (Past, "gradients from task 0 to the input, by way of the cut and straight, differ"),
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


NUMBERS = np.array([1, 2, np.nan, 7, 2], np.float32)
WORDS = np.array(["a", None, "b", "a"], object)


class Forgets(Standardize):
    """Learns what is no JSON."""

    def fit(self, values):
        return {"center": (1, 2), "scale": 1.0}


class Narrow(Standardize):
    """Says that it gives one number."""

    def info(self, state):
        return super().info(state).__class__(width=1)


class Short(Vocabulary):
    """Has more values than it says."""

    def info(self, state):
        return super().info(state).__class__(size=1)


class Nameless(Vocabulary):
    def values(self, state):
        return state["values"][1:]


class OverValues(Scale):
    def call(self, inputs):
        return super().call(inputs - tf.reduce_mean(tf.where(tf.math.is_nan(inputs), 0.0, inputs)))


class Coupled(Standardize):
    """Looks at the batch."""

    def build(self, state):
        return keras.saving.register_keras_serializable("tests")(OverValues)(**state)


def test_preprocessors():
    for spec in (Standardize(columns=["user.age"]), Buckets(columns=["user.age"], count=2)):
        check_preprocessor(spec, NUMBERS)
    check_preprocessor(Vocabulary(columns=["user.town"]), WORDS)


@pytest.mark.parametrize(
    ("spec", "values", "message"),
    [
        (Forgets, NUMBERS, "comes back from JSON"),
        (Narrow, NUMBERS, r"expected \[7, 1\]"),
        (Short, WORDS, "expected numbers below 1"),
        (Nameless, WORDS, "expected a value for each integer"),
        (Coupled, NUMBERS, "values with and without others"),
    ],
)
def test_preprocessor_with_a_defect(spec, values, message):
    with pytest.raises(AssertionError, match=message):
        check_preprocessor(spec(columns=["user.age"]), values)


class Lookup(keras.layers.Layer):
    """The mean of embeddings of ids, beside those of a catalog."""

    def __init__(self):
        super().__init__()
        self.table = keras.layers.Embedding(9, 4)

    def call(self, inputs):
        return self.table(inputs["item.id"]) + tf.reduce_mean(inputs["catalog.text"], axis=0)


class OverIds(Lookup):
    def call(self, inputs):
        return super().call(inputs) * tf.cast(tf.reduce_sum(inputs["item.id"]), tf.float32)


class Unused(Lookup):
    def build(self, input_shape):
        self.more = self.add_weight("more", (1,))


class Elsewhere(Lookup):
    def axes(self):
        return [Axis(tf.Variable([1.0], name="stranger"), 0, "item.id")]


class Flat(Lookup):
    def axes(self):
        return [Axis(self.table.embeddings, 2, "item.id")]


class Costly(Lookup):
    def penalties(self, inputs):
        return tf.fill([len(inputs["item.id"])], tf.reduce_sum(tf.square(self.table(inputs["item.id"]))))


ENCODED = {"item.id": np.array([1, 4, 4, 7]), "catalog.text": VIEW["x"]}


def test_encoder():
    check_encoder(Lookup(), ENCODED, 4)
    for layer, dim, message in (
        (Lookup(), 5, r"expected embeddings \[4, 5\]"),
        (OverIds(), 4, "outputs of rows when row 0 changes"),
        (Unused(), 4, "the gradient to .*more"),
        (Elsewhere(), 4, "axes.. names stranger.*, which is no weight"),
        (Flat(), 4, "axes.. names axis 2 of .*embeddings"),
        (Costly(), 4, "outputs of rows when row 0 changes"),
    ):
        with pytest.raises(AssertionError, match=message):
            check_encoder(layer, ENCODED, dim)


class Means(keras.layers.Layer):
    """The mean embedding of a past, at all of its places."""

    def __init__(self, **options):
        super().__init__(**options)
        self.table = keras.layers.Embedding(9, 4)

    def call(self, inputs, training=False):
        return tf.reduce_mean(self.table(inputs["history.item"]), 1)

    def at(self, inputs, sequence, place, *, training=False):
        ids = tf.gather(inputs["history.item"], sequence)
        there = tf.cast(tf.range(ids.shape[1], dtype=tf.int64) <= place[:, None], tf.float32)[..., None]
        return tf.reduce_sum(self.table(ids) * there, 1) / tf.reduce_sum(there, 1)


class Ahead(Means):
    def at(self, inputs, sequence, place, *, training=False):
        return tf.gather(self(inputs), sequence)


class Shifted(Means):
    def at(self, inputs, sequence, place, *, training=False):
        return super().at(inputs, sequence, tf.maximum(place - 1, 0))


def test_encoder_of_sequences():
    past = {"history.item": np.array([[1, 2, 3], [4, 5, 6], [0, 7, 8], [1, 1, 2]])}
    check_encoder(Means(), past, 4)
    for layer, message in (
        (Ahead(), "embeddings of a place when a later event changes differ"),
        (Shifted(), "embeddings of last places of sequences, and of rows differ"),
    ):
        with pytest.raises(AssertionError, match=message):
            check_encoder(layer, past, 4)
