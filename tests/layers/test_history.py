import numpy as np
import pytest
from sums import unordered_sums

from mtkit.backend import keras, tf
from mtkit.layers import history
from mtkit.layers.history import History
from mtkit.optimizers import precision_scope
from mtkit.testing import check_encoder, check_layer_config

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


KINDS, STORES, WIDTH = 4, 40, 2
COLUMNS = {"sizes": {"history.event": KINDS, "history.store": STORES}, "widths": {"history.rating": WIDTH}}


def _of_events(rows=5):
    rng = np.random.default_rng(1)
    shape = (rows, LENGTH)
    found = {
        "history.event": rng.integers(0, KINDS, shape).astype(np.int32),
        "history.store": rng.integers(0, STORES, shape).astype(np.int32),
        "history.rating": rng.normal(size=(*shape, WIDTH)).astype(np.float32),
        "history.age": (100 * rng.random(shape)).astype(np.float32),
    }
    return _inputs(rows) | {name: tf.constant(values) for name, values in found.items()}


def _drawn(layer, scale=1.0):
    """The layer, with weights that are not 0."""
    rng = np.random.default_rng(2)
    layer.set_weights([scale * rng.normal(size=weights.shape) for weights in layer.get_weights()])
    return layer


def _weight_of(layer, inputs, row, event):
    """What an event counts, by the formula."""
    if not inputs["history.item"][row, event]:
        return 0.0
    score = 0.0
    for name in layer.sizes:
        score += layer._scores[name].numpy()[inputs[name][row, event]]
    for name in layer.widths:
        score += layer._scores[name].numpy() @ inputs[name][row, event]
    if layer.recency:
        score -= layer._rate.numpy() * np.log1p(inputs["history.age"][row, event])
    return np.exp(np.clip(score, -10, 10))


def _slow_bag(values, weights, table):
    found = [value for value in range(len(table)) if weights[values == value].sum() > 0]
    total = sum((np.log1p(weights[values == value].sum()) * table[value] for value in found), np.zeros(DIM))
    return total / np.sqrt(max(len(found), 1))


def _slow_of_events(layer, inputs):
    inputs = {name: values.numpy() for name, values in inputs.items()}
    rows = []
    for row, ids in enumerate(inputs["history.item"]):
        weights = np.array([_weight_of(layer, inputs, row, event) for event in range(LENGTH)])
        state = _slow_bag(ids, weights, layer.items.numpy())
        for name in layer.sizes:
            state = state + _slow_bag(inputs[name][row], weights, layer._columns[name].numpy())
        for name in layer.widths:
            mean = weights @ inputs[name][row] / max(weights.sum(), 1e-9)
            state = state + mean @ layer._columns[name].numpy()
        rows.append(state)
    return np.array(rows)


OPTIONS = [{"recency": True}, COLUMNS, {**COLUMNS, "recency": True}]


@both
@pytest.mark.parametrize("options", OPTIONS)
def test_events_count_by_what_is_known_of_them(options):
    layer, inputs = _drawn(History("item", SIZE, DIM, LENGTH, **options)), _of_events()
    np.testing.assert_allclose(layer(inputs), _slow_of_events(layer, inputs), rtol=1e-4, atol=1e-4)


@both
@pytest.mark.parametrize("options", OPTIONS)
def test_before_it_is_trained_the_state_is_that_of_the_counts(options):
    inputs, states = _of_events(), []
    for of in ({}, options):
        keras.utils.set_random_seed(0)
        states.append(History("item", SIZE, DIM, LENGTH, "text", **of)(inputs).numpy())
    np.testing.assert_array_equal(*states)


@both
def test_columns_are_read_as_of_a_conforming_encoder():
    layer = History("item", SIZE, DIM, LENGTH, "text", **COLUMNS, recency=True)
    check_encoder(layer, {name: values.numpy() for name, values in _of_events().items()}, DIM)


@both
def test_padding_says_nothing_whatever_is_beside_it():
    layer, inputs = _drawn(History("item", SIZE, DIM, LENGTH, **COLUMNS, recency=True)), _of_events()
    padding = inputs["history.item"] == 0
    changed = dict(inputs)
    for name, value in (("history.event", 2), ("history.age", 7.0)):
        changed[name] = tf.where(padding, tf.cast(value, inputs[name].dtype), inputs[name])
    changed["history.rating"] = tf.where(padding[..., None], 9.0, inputs["history.rating"])
    np.testing.assert_allclose(layer(changed), layer(inputs), atol=1e-6)


@both
def test_weights_stay_finite_whatever_numbers_come():
    layer, inputs = _drawn(History("item", SIZE, DIM, LENGTH, **COLUMNS, recency=True), 9.0), _of_events()
    with tf.GradientTape() as tape:
        state = layer(
            inputs | {"history.rating": inputs["history.rating"] * 1e9, "history.age": tf.fill((5, LENGTH), -3.0)}
        )
        total = tf.reduce_sum(tf.sin(state))
    assert np.isfinite(state).all()
    for gradient in tape.gradient(total, layer.trainable_variables):
        assert np.isfinite(tf.convert_to_tensor(gradient)).all()


def test_both_ways_have_the_same_gradients_of_what_events_count(monkeypatch):
    gradients = []
    for factor in (0, 99):
        monkeypatch.setattr(history, "GATHERED", factor)
        layer, inputs = _drawn(History("item", SIZE, DIM, LENGTH, **COLUMNS, recency=True)), _of_events()
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(tf.sin(layer(inputs)))
        gradients.append([tf.convert_to_tensor(g).numpy() for g in tape.gradient(total, layer.trainable_variables)])
    for gathered, matrix in zip(*gradients, strict=True):
        assert np.abs(matrix).max() > 0
        np.testing.assert_allclose(gathered, matrix, rtol=1e-3, atol=1e-4)


@both
def test_gradients_are_those_of_differences():
    layer, inputs = _drawn(History("item", SIZE, DIM, LENGTH, **COLUMNS, recency=True), 0.5), _of_events()

    def value():
        return tf.reduce_sum(tf.sin(layer(inputs)))

    with tf.GradientTape() as tape:
        total = value()
    for variable, gradient in zip(
        layer.trainable_variables, tape.gradient(total, layer.trainable_variables), strict=True
    ):
        direction, step = np.random.default_rng(3).normal(size=variable.shape), 1e-3
        expected, held = float(np.sum(tf.convert_to_tensor(gradient) * direction)), variable.numpy()
        ahead, back = ((variable.assign(held + sign * step * direction), value())[1] for sign in (1, -1))
        variable.assign(held)
        assert float(ahead - back) / (2 * step) == pytest.approx(expected, rel=0.02, abs=0.02)


@both
def test_what_events_count_is_exact_in_half_precision():
    with precision_scope("mixed_bfloat16"):
        layer = History("item", SIZE, DIM, 600, recency=True)
    layer.items.assign(tf.ones([SIZE, DIM]))
    layer._rate.assign(1.0)
    age = 1000.0 + tf.range(600, dtype=tf.float32)[None]  # half precision has 8 bits
    state = layer({"history.item": tf.fill([1, 600], 3), "history.age": age})
    assert state.dtype == tf.bfloat16
    expected = np.log1p((1 / (1 + age.numpy())).sum())
    np.testing.assert_allclose(tf.cast(state, tf.float32), np.full((1, DIM), expected), rtol=0.005)


@both
def test_several_calls_with_columns_add_up_in_one_order():
    layer, inputs = History("item", SIZE, DIM, LENGTH, "text", **COLUMNS, recency=True), _of_events()
    layer(inputs)

    def gradients(inputs):
        with tf.GradientTape() as tape:
            once = inputs | layer.prepare(inputs)
            value = tf.add_n([number * tf.reduce_sum(layer(once) ** 2) for number in (1.0, 2.0, 3.0)])
        return tape.gradient(value, layer.trainable_variables)

    assert not unordered_sums(tf.function(gradients).get_concrete_function(inputs).graph)


def test_categories_are_found_again_by_a_later_run():
    layer = History("item", SIZE, DIM, LENGTH, **COLUMNS)
    of = {axis.variable.name: axis.of for axis in layer.axes()}
    assert of == {
        "items:0": "item.id",
        **{f"history_{name}{end}:0": f"history.{name}" for name in ("event", "store") for end in ("", "_score")},
    }


@pytest.mark.parametrize("options", [{}, {**COLUMNS, "recency": True}])
def test_config(options):
    check_layer_config(History("item", SIZE, DIM, LENGTH, "text", 0.5, **options, name="past"))
