from itertools import pairwise

import numpy as np
import pytest
from sums import unordered_sums

from mtkit.backend import tf
from mtkit.layers.sequence import Sequence
from mtkit.layers.sequence_blocks import BUCKETS
from mtkit.optimizers import precision_scope
from mtkit.testing import check_encoder, check_layer_config

SIZE, DIM, LENGTH, HEADS = 9, 8, 6, 2
BLOCKS = ("sasrec", "ligr", "hstu", "gru")
every_block = pytest.mark.parametrize("block", BLOCKS)


def _inputs(rows=5):
    """Pasts of all lengths, padded in front."""
    rng = np.random.default_rng(0)
    there = np.arange(LENGTH) >= LENGTH - np.minimum(np.arange(rows), LENGTH)[:, None]
    age = -np.sort(-rng.exponential(20, (rows, LENGTH)), axis=1) + 1
    kind, price = rng.integers(0, 4, (rows, LENGTH)), rng.normal(size=(rows, LENGTH, 2))
    return {
        "history.item": tf.constant(np.where(there, rng.integers(1, SIZE, (rows, LENGTH)), 0), tf.int32),
        "history.kind": tf.constant(np.where(there, kind, 0), tf.int32),
        "history.price": tf.constant(np.where(there[..., None], price, 0), tf.float32),
        "history.age": tf.constant(np.where(there, age, 0), tf.float32),
        "catalog.text": tf.constant(rng.normal(size=(SIZE, 3)), tf.float32),
    }


def _layer(block, content="text", **options):
    layer = Sequence(
        "item",
        SIZE,
        DIM,
        LENGTH,
        block=block,
        heads=HEADS,
        content=content,
        sizes={"history.kind": 4},
        widths={"history.price": 2},
        time=True,
        **options,
    )
    layer(_inputs())
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(scale=0.3, size=w.shape) for w in layer.get_weights()])
    return layer


def _values(layer):
    return {weight.name.split(":")[0]: weight.numpy() for weight in layer.weights}


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _silu(x):
    return x * _sigmoid(x)


class _Slow:
    """One past at a time, in NumPy: what the equations in the docstrings say."""

    def __init__(self, layer):
        self.layer, self.weights = layer, _values(layer)

    def _dense(self, x, name):
        found = [key for key in self.weights if key.endswith(f"{name}/kernel")]
        assert len(found) == 1, (name, [*self.weights])
        kernel = self.weights[found[0]]
        return x @ kernel + self.weights.get(found[0].replace("kernel", "bias"), 0)

    def _norm(self, x, name):
        (gamma,) = (v for k, v in self.weights.items() if k.endswith(f"{name}/gamma"))
        (beta,) = (v for k, v in self.weights.items() if k.endswith(f"{name}/beta"))
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return (x - mean) / np.sqrt(variance + 1e-6) * gamma + beta

    def _attention(self, x, name):
        query, key, value = np.split(self._dense(x, f"{name}/attention/qkv"), 3, -1)
        width, parts = DIM // HEADS, []
        for head in range(HEADS):
            of = slice(head * width, (head + 1) * width)
            rows = []
            for i in range(len(x)):
                scores = key[: i + 1, of] @ query[i, of] / np.sqrt(width)
                weights = np.exp(scores - scores.max())
                rows.append(weights / weights.sum() @ value[: i + 1, of])
            parts.append(np.array(rows))
        return np.concatenate(parts, -1)

    def sasrec(self, x, name, _until):
        x = x + self._attention(self._norm(x, f"{name}/norm1"), name)
        wide = np.maximum(self._dense(self._norm(x, f"{name}/norm2"), f"{name}/wide"), 0)
        return x + self._dense(wide, f"{name}/narrow")

    def ligr(self, x, name, _until):
        found = self._dense(self._attention(self._norm(x, f"{name}/norm1"), name), f"{name}/attention/output")
        x = x + _sigmoid(self._dense(x, f"{name}/gate1")) * found
        gate, value = np.split(self._dense(self._norm(x, f"{name}/norm2"), f"{name}/wide"), 2, -1)
        return x + _sigmoid(self._dense(x, f"{name}/gate2")) * self._dense(_silu(gate) * value, f"{name}/narrow")

    def hstu(self, x, name, age):
        gate, value, query, key = np.split(_silu(self._dense(self._norm(x, f"{name}/norm1"), f"{name}/uvqk")), 4, -1)
        place = next(v for k, v in self.weights.items() if k.endswith(f"{name}_by_place"))
        time = next(v for k, v in self.weights.items() if k.endswith(f"{name}_by_time"))
        width, asked, rows = DIM // HEADS, np.append(age[1:], 0), []
        for i in range(len(x)):
            parts = []
            for head in range(HEADS):
                of = slice(head * width, (head + 1) * width)
                bias = [place[i - j] + time[_bucket(age[j] - asked[i])] for j in range(i + 1)]
                parts.append(_silu(key[: i + 1, of] @ query[i, of] + bias) / LENGTH @ value[: i + 1, of])
            rows.append(np.concatenate(parts))
        found = self._norm(np.array(rows), f"{name}/norm2")
        return x + self._dense(found * gate, f"{name}/output")

    def gru(self, x, name, _age):
        kernel, recurrent, bias = (
            next(v for k, v in self.weights.items() if f"{name}/" in k and k.endswith(part))
            for part in ("/kernel", "recurrent_kernel", "bias")
        )
        state, rows = np.zeros(DIM), []
        for row in x:
            of_x, of_h = np.split(row @ kernel + bias[0], 3), np.split(state @ recurrent + bias[1], 3)
            z, r = _sigmoid(of_x[0] + of_h[0]), _sigmoid(of_x[1] + of_h[1])
            state = z * state + (1 - z) * np.tanh(of_x[2] + r * of_h[2])
            rows.append(state)
        return np.array(rows)

    def _embedded(self, inputs, there, age):
        layer, weights = self.layer, {k.split("/")[-1]: v for k, v in self.weights.items()}
        ids = inputs["history.item"].numpy()[there]
        text = inputs["catalog.text"].numpy()
        x = self._dense(text, "content")[ids] + weights["items"][ids]
        x = x + weights["history_kind"][inputs["history.kind"].numpy()[there]]
        x = x + inputs["history.price"].numpy()[there] @ weights["history_price"]
        if layer.block != "gru":
            x = x + weights["places"][: len(ids)]
        if layer.block != "hstu":
            x = x + weights["since"][[BUCKETS, *(_bucket(a - b) for a, b in pairwise(age))]]
        return x * np.sqrt(DIM)

    def row(self, inputs):
        there = inputs["history.item"].numpy() > 0
        if not there.any():
            return np.zeros(DIM)
        age = inputs["history.age"].numpy()[there]
        x = self._embedded(inputs, there, age)
        for number in range(self.layer.blocks):
            x = getattr(self, self.layer.block)(x, f"block{number}", age)
        if self.layer.block != "hstu":
            until = next(v for k, v in self.weights.items() if k.endswith("until"))
            x = x + until[[_bucket(a - b) for a, b in zip(age, [*age[1:], 0], strict=True)]]
        if self.layer.block != "gru":
            (gamma,) = (v for k, v in self.weights.items() if k == "sequence/norm/gamma")
            (beta,) = (v for k, v in self.weights.items() if k == "sequence/norm/beta")
            x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * gamma + beta
        return x[-1]


def _bucket(days):
    return min(int(np.log(max(days * 86400, 1)) / 0.301), BUCKETS - 1)


def _row(inputs, row):
    return {key: values if key.startswith("catalog.") else values[row] for key, values in inputs.items()}


@every_block
def test_equals_a_slow_version(block):
    layer, inputs = _layer(block, name="sequence"), _inputs(8)
    slow = _Slow(layer)
    expected = np.array([slow.row(_row(inputs, row)) for row in range(8)])
    np.testing.assert_allclose(layer(inputs), expected, atol=1e-5, rtol=1e-5)


def _part(inputs, place):
    """The pasts up to a place, as a row at the moment of the event after it has them."""
    later = LENGTH - 1 - place
    asked = inputs["history.age"][:, place + 1 :][:, :1] if later else 0.0
    found = {}
    for key, values in inputs.items():
        if key.startswith("catalog."):
            found[key] = values
            continue
        kept = values[:, : place + 1]
        if key == "history.age":
            kept = tf.where(inputs["history.item"][:, : place + 1] > 0, kept - asked, 0.0)
        found[key] = tf.pad(kept, [[0, 0], [later, 0]] + [[0, 0]] * (kept.shape.rank - 2))
    return found


@every_block
def test_a_place_of_a_sequence_is_a_row_that_ends_there(block):
    layer, inputs = _layer(block), _inputs(8)
    for place in range(LENGTH):
        rows = tf.range(8, dtype=tf.int64)
        found = layer.at(inputs, rows, tf.fill([8], tf.constant(place, tf.int64)))
        np.testing.assert_allclose(found, layer(_part(inputs, place)), atol=1e-5)


@every_block
def test_what_comes_later_changes_nothing(block):
    layer, inputs = _layer(block), _inputs(8)
    sequence, place = (tf.constant(each, tf.int64) for each in np.divmod(np.arange(8 * LENGTH), LENGTH))
    before = layer.at(inputs, sequence, place).numpy().reshape(8, LENGTH, DIM)
    for changed in range(2, LENGTH):
        later = np.arange(LENGTH) >= changed
        other = dict(inputs)
        for key in ("history.item", "history.kind"):
            other[key] = tf.where(later & (inputs["history.item"] > 0), 1 + inputs[key] % 3, inputs[key])
        other["history.price"] = tf.where(later[:, None], inputs["history.price"] + 1, inputs["history.price"])
        after = layer.at(other, sequence, place).numpy().reshape(8, LENGTH, DIM)
        np.testing.assert_array_equal(after[:, :changed], before[:, :changed])
        assert not np.allclose(after[-1, changed:], before[-1, changed:])


@every_block
@pytest.mark.parametrize("time", [pytest.param(False, marks=pytest.mark.slow), True])
def test_conforms(block, time):
    layer = Sequence("item", SIZE, DIM, LENGTH, block, heads=HEADS, content="text", time=time)
    check_layer_config(layer)
    kept = ("history.item", "catalog.text", *(["history.age"] if time else []))
    check_encoder(layer, {key: _inputs(8)[key] for key in kept}, DIM)


def test_tied_items_are_those_of_the_catalog():
    layer = Sequence("item", SIZE, 3, LENGTH, content="text", tied=True)
    inputs = _inputs()
    layer(inputs)
    assert layer.items is None
    assert not layer.axes()
    with tf.GradientTape() as tape:
        tape.watch(inputs["catalog.text"])
        total = tf.reduce_sum(tf.sin(layer(inputs)))
    read = np.unique(inputs["history.item"].numpy())
    changed = np.flatnonzero(np.abs(tf.convert_to_tensor(tape.gradient(total, inputs["catalog.text"]))).sum(1))
    np.testing.assert_array_equal(changed, read[read > 0])


def test_no_row_has_a_past():
    layer = _layer("ligr")
    inputs = {key: values if key.startswith("catalog.") else values[:1] for key, values in _inputs().items()}
    assert not layer(inputs).numpy().any()
    assert layer({key: v if key.startswith("catalog.") else v[:0] for key, v in inputs.items()}).shape == (0, DIM)


@every_block
def test_dropout_is_for_training(block):
    layer, inputs = _layer(block, dropout=0.5), _inputs()
    np.testing.assert_array_equal(layer(inputs), layer(inputs))
    assert not np.allclose(layer(inputs, training=True), layer(inputs))


@every_block
def test_half_precision(block):
    expected = _layer(block)(_inputs())
    with precision_scope("mixed_bfloat16"):
        layer = _layer(block)
    found = layer(_inputs())
    assert found.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(found, tf.float32), expected, atol=0.3)


@every_block
def test_gradients_have_one_order(block):
    layer, inputs = _layer(block), _inputs()

    @tf.function
    def gradients():
        with tf.GradientTape() as tape:
            prepared = layer.prepare(inputs)
            rows = {key: values for key, values in inputs.items() if not key.startswith("catalog.")}
            total = tf.add_n([tf.reduce_sum(tf.sin(layer(rows | prepared))) for _ in range(2)])
        return tape.gradient(total, layer.trainable_variables)

    assert not unordered_sums(gradients.get_concrete_function().graph)


@every_block
def test_hidden_events_have_an_embedding_of_their_own(block):
    inputs = _inputs()
    ids = inputs["history.item"].numpy()
    ids[3, -1] = ids[4, -2] = -1
    hidden = inputs | {"history.item": tf.constant(ids)}
    check_encoder(Sequence("item", SIZE, DIM, LENGTH, block=block, content="text", mask=0.3), hidden, DIM)
    layer = _layer(block, mask=0.3)
    check_layer_config(layer)
    found, before = layer(hidden).numpy(), layer(inputs).numpy()
    np.testing.assert_array_equal(found[:3], before[:3])
    assert np.abs(found[3:] - before[3:]).max(1).min() > 1e-3
    # Which item it was is not seen.
    ids[3, -1] = 0
    shorter = layer(inputs | {"history.item": tf.constant(ids)}).numpy()
    assert np.abs(found[3] - shorter[3]).max() > 1e-3


def test_pasts_are_changed_where_it_is_asked_for():
    given = _inputs()

    def draw(name, shape):
        return tf.zeros(shape)

    assert _layer("gru").augment(given, draw) is given
    found = _layer("gru", crop=0.5).augment(given, draw)["history.item"].numpy()
    assert (found != 0).sum(1).tolist() == [0, 1, 1, 1, 2]
