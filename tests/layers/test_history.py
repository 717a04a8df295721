import numpy as np
import pytest
from sums import unordered_sums

from mtkit.backend import tf
from mtkit.layers import history
from mtkit.layers.history import History
from mtkit.optimizers import precision_scope
from mtkit.testing import check_layer_config

SIZE, DIM, LENGTH = 9, 4, 6


@pytest.fixture(params=["matrix", "gathered"])
def _path(request, monkeypatch):
    """Both ways to the same sum."""
    monkeypatch.setattr(history, "GATHERED", 0 if request.param == "gathered" else 99)


both = pytest.mark.usefixtures("_path")


def _inputs(rows=5):
    rng = np.random.default_rng(0)
    ids = rng.integers(0, SIZE, (rows, LENGTH)).astype(np.int32)
    ids[0], ids[1] = 0, [0, 0, 0, 3, 3, 3]
    content = rng.normal(size=(SIZE, 3)).astype(np.float32)
    return {"history.item": tf.constant(ids), "catalog.text": tf.constant(content), "history.age": tf.zeros_like(ids)}


def _slow(layer, inputs):
    table = layer.items.numpy()
    if layer.content:
        table = table + inputs["catalog.text"].numpy() @ layer._map.kernel.numpy()
    rows = []
    for ids in inputs["history.item"].numpy():
        items, counts = np.unique(ids[ids > 0], return_counts=True)
        total = sum((np.log1p(n) * table[i] for i, n in zip(items, counts, strict=True)), np.zeros(DIM))
        rows.append(total / np.sqrt(max(len(items), 1)))
    return np.array(rows)


@both
@pytest.mark.parametrize("content", [None, "text"])
def test_equals_a_slow_version(content):
    layer, inputs = History("item", SIZE, DIM, LENGTH, content), _inputs()
    np.testing.assert_allclose(layer(inputs), _slow(layer, inputs), atol=1e-6)


@both
def test_rows_are_apart():
    layer, inputs = History("item", SIZE, DIM, LENGTH), _inputs()
    some = inputs | {"history.item": inputs["history.item"][2:4]}
    np.testing.assert_allclose(layer(some), layer(inputs)[2:4], atol=1e-6)


@both
def test_whole_items_drop_out_in_training():
    layer = History("item", SIZE, DIM, LENGTH, dropout=0.5)
    layer.items.assign(tf.eye(SIZE, DIM))
    past = tf.tile([[1, 2, 2, 0, 1, 2]], [2000, 1])
    states = layer({"history.item": past}, training=True).numpy()
    full = np.array([0, np.log1p(2), np.log1p(3), 0]) / np.sqrt(2)
    for item in (1, 2):
        values = np.unique(states[:, item].round(4))
        np.testing.assert_allclose(values, [0, 2 * full[item]], atol=1e-4)
        assert 0.45 < np.mean(states[:, item] == 0) < 0.55


def test_both_ways_have_the_same_gradients(monkeypatch):
    gradients = []
    for factor in (0, 99):
        monkeypatch.setattr(history, "GATHERED", factor)
        layer, inputs = History("item", SIZE, DIM, LENGTH, "text"), _inputs()
        layer(inputs)
        layer.set_weights([np.full(w.shape, 0.5) + np.arange(w.size).reshape(w.shape) for w in layer.get_weights()])
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(tf.sin(layer(inputs)))
        gradients.append([tf.convert_to_tensor(g).numpy() for g in tape.gradient(total, layer.trainable_variables)])
    for gathered, matrix in zip(*gradients, strict=True):
        np.testing.assert_allclose(gathered, matrix, atol=1e-5)


def test_large_catalogs_get_gradients_by_row():
    layer = History("item", 33 * LENGTH, DIM, LENGTH)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer(_inputs()))
    assert isinstance(tape.gradient(total, layer.items), tf.IndexedSlices)


@both
def test_counts_are_exact_in_half_precision():
    with precision_scope("mixed_bfloat16"):
        layer = History("item", SIZE, DIM, 600)
    layer.items.assign(tf.ones([SIZE, DIM]))
    state = layer({"history.item": tf.fill([1, 600], 3)})
    assert state.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(state, tf.float32), np.full((1, DIM), np.log1p(600)), rtol=0.01)


@pytest.mark.parametrize("prepared", [True, False])
def test_several_calls_add_up_in_one_order_if_prepared_once(prepared):
    layer, inputs = History("item", SIZE, DIM, LENGTH, "text"), _inputs()
    layer(inputs)

    def gradients(inputs):
        with tf.GradientTape() as tape:
            once = inputs | (layer.prepare(inputs) if prepared else {})
            value = tf.add_n([number * tf.reduce_sum(layer(once) ** 2) for number in (1.0, 2.0, 3.0)])
        return tape.gradient(value, layer.trainable_variables)

    graph = tf.function(gradients).get_concrete_function(inputs).graph
    assert bool(unordered_sums(graph)) is not prepared


@both
def test_what_is_prepared_gives_the_same():
    layer, inputs = History("item", SIZE, DIM, LENGTH, "text"), _inputs()
    np.testing.assert_array_equal(layer(inputs), layer(inputs | layer.prepare(inputs)))


def test_config():
    check_layer_config(History("item", SIZE, DIM, LENGTH, "text", 0.5, name="past"))
