import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.layers.features import Features
from mtkit.testing import check_encoder, check_layer_config


def _inputs(rows=5):
    rng = np.random.default_rng(0)
    return {
        "user.id": tf.constant(rng.integers(0, 6, rows), tf.int32),
        "user.town": tf.constant(rng.integers(0, 3, rows), tf.int32),
        "user.age": tf.constant(rng.normal(size=(rows, 2)), tf.float32),
    }


def _layer(**options):
    return Features({"user.id": 6, "user.town": 3}, {"user.age": 2}, 4, **options)


def _slow(layer, inputs):
    total = sum(layer._tables[name].embeddings.numpy()[inputs[name]] for name in layer.sizes)
    total = total + inputs["user.age"].numpy() @ layer._maps["user.age"].kernel.numpy()
    for hidden in layer._hidden:
        total = np.maximum(total @ hidden.kernel.numpy() + hidden.bias.numpy(), 0)
    return total if layer._output is None else total @ layer._output.kernel.numpy() + layer._output.bias.numpy()


@pytest.mark.parametrize("hidden", [(), (7, 5)], ids=str)
def test_equals_a_slow_version(hidden):
    layer, inputs = _layer(hidden=hidden), _inputs()
    np.testing.assert_allclose(layer(inputs), _slow(layer, inputs), atol=1e-6)


def test_rows_are_apart():
    layer, inputs = _layer(hidden=(7,)), _inputs()
    some = {name: values[2:4] for name, values in inputs.items()}
    np.testing.assert_allclose(layer(some), layer(inputs)[2:4], atol=1e-6)


def test_ids_are_hidden_in_training_alone_and_other_features_stay():
    layer = Features({"user.id": 3, "user.town": 3}, {}, 1, id_dropout=0.5)
    ids = tf.ones([2000], tf.int32)
    layer({"user.id": ids, "user.town": ids})
    layer._tables["user.id"].set_weights([np.array([[10.0], [20.0], [30.0]])])
    layer._tables["user.town"].set_weights([np.array([[1.0], [2.0], [3.0]])])
    values = layer({"user.id": ids, "user.town": ids}, training=True).numpy()[:, 0]
    assert set(values) == {12, 22}
    assert 0.45 < np.mean(values == 12) < 0.55
    np.testing.assert_array_equal(layer({"user.id": ids, "user.town": ids}), np.full((2000, 1), 22))


def test_dropout_of_the_output():
    layer, inputs = _layer(dropout=0.5), _inputs(500)
    share = np.mean(layer(inputs, training=True).numpy() == 0)
    assert 0.4 < share < 0.6


def test_gradients_of_tables_are_rows():
    layer, inputs = _layer(), _inputs()
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer(inputs))
    gradient = tape.gradient(total, layer._tables["user.id"].embeddings)
    assert isinstance(gradient, tf.IndexedSlices)


def test_config():
    check_layer_config(_layer(hidden=(7,), id_dropout=0.1, dropout=0.2, name="user"))
    check_layer_config(_layer(feature_dropout=0.1, l2=0.2, l1=0.3, combine="concat", stddev=0.1))


def test_conforms():
    check_encoder(_layer(hidden=(7,), l2=0.1, l1=0.2), _inputs(), 4)
    check_encoder(_layer(hidden=(7,), combine="concat"), _inputs(), 4)
    check_encoder(_layer(combine="concat"), _inputs(), 12)


def test_features_side_by_side_are_fields():
    layer, inputs = _layer(combine="concat"), _inputs()
    fields = np.split(layer(inputs).numpy(), 3, -1)
    for field, name in zip(fields, layer.sizes, strict=False):
        np.testing.assert_array_equal(field, layer._tables[name].embeddings.numpy()[inputs[name]])
    np.testing.assert_allclose(
        fields[2], inputs["user.age"].numpy() @ layer._maps["user.age"].kernel.numpy(), atol=1e-7
    )
    np.testing.assert_allclose(sum(fields), _slow(layer, inputs), atol=1e-6)


def test_features_side_by_side_are_left_out_as_wholes():
    layer, inputs = _layer(combine="concat", feature_dropout=0.5), _inputs(400)
    kept = np.split(layer(inputs, training=True).numpy() / layer(inputs).numpy(), 3, -1)
    for field in kept:
        assert set(field.ravel().round(3)) == {0, 2}
        np.testing.assert_allclose(field, field[:, :1] * np.ones(4), atol=1e-5)


def test_hidden_layers_say_which_fields_they_read():
    layer = _layer(combine="concat", hidden=(7,))
    layer(_inputs())
    assert [axis.of for axis in layer.axes()] == ["user.id", "user.town", ["user.id", "user.town", "user.age"]]
    assert layer.axes()[-1].variable.shape == [12, 7]


def test_features_are_left_out_as_a_whole_row_by_row_in_training_alone():
    layer = Features({"user.id": 3, "user.town": 3}, {}, 2, feature_dropout=0.25)
    inputs = {"user.id": tf.ones([4000], tf.int32), "user.town": tf.ones([4000], tf.int32)}
    layer(inputs)
    for name, value in (("user.id", 3.0), ("user.town", 30.0)):
        layer._tables[name].set_weights([np.full((3, 2), value)])
    np.testing.assert_array_equal(layer(inputs), np.full((4000, 2), 33))
    found = layer(inputs, training=True).numpy()
    np.testing.assert_array_equal(found[:, 0], found[:, 1])
    assert set(found[:, 0].round()) == {0, 4, 40, 44}
    assert found.mean() == pytest.approx(33, rel=0.05)
    assert np.mean(found[:, 0] == 0) == pytest.approx(0.0625, abs=0.02)


@pytest.mark.parametrize(("l2", "l1"), [(0.5, 0.0), (0.0, 0.5), (0.2, 0.3)])
def test_rows_cost_as_much_as_the_embeddings_that_they_look_up(l2, l1):
    layer, inputs = _layer(l2=l2, l1=l1), _inputs()
    layer(inputs)
    rows = [layer._tables[name].embeddings.numpy()[inputs[name]].astype(float) for name in layer.sizes]
    expected = sum(l2 * (values**2).sum(1) + l1 * np.abs(values).sum(1) for values in rows)
    np.testing.assert_allclose(layer.penalties(inputs), expected, rtol=1e-5)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer.penalties(inputs))
    assert isinstance(tape.gradient(total, layer._tables["user.id"].embeddings), tf.IndexedSlices)


def test_without_regularization_and_without_embeddings_nothing_is_added():
    assert _layer().penalties(_inputs()) is None
    assert Features({}, {"user.age": 2}, 4, l2=0.5).penalties(_inputs()) is None


def test_values_of_a_list_cost_each():
    layer = Features({TAGS: 6}, {}, 4, listed=[TAGS], l2=1.0)
    layer({TAGS: tf.constant(LISTS)})
    squares = (layer._tables[TAGS].embeddings.numpy().astype(float) ** 2).sum(1)
    expected = [squares[1] + squares[3] + squares[4], squares[2], squares[0], squares[2] + squares[5]]
    np.testing.assert_allclose(layer.penalties({TAGS: tf.constant(LISTS)}), expected, rtol=1e-5)


TAGS = "item.tags"
LISTS = np.array([[1, 3, 4], [2, 0, 0], [0, 0, 0], [2, 5, 0]], np.int32)
WEIGHTS = np.array([[0.5, 2, 1], [3, 0, 0], [0, 0, 0], [1, 1, 0]], np.float32)


def _combined(table, ids, weights, combiner):
    """The embedding of each row, value by value."""
    rows = []
    for row, of in zip(ids.tolist(), weights.tolist(), strict=True):
        pairs = [(value, weight) for value, weight in zip(row, of, strict=True) if value] or [(0, 1)]
        total = sum(weight * table[value] for value, weight in pairs)
        size = sum(weight for _, weight in pairs), sum(weight**2 for _, weight in pairs) ** 0.5
        rows.append(total / {"sum": 1, "mean": size[0], "sqrtn": size[1]}[combiner])
    return np.array(rows)


@pytest.mark.parametrize("combiner", ["sum", "mean", "sqrtn"])
@pytest.mark.parametrize("weighted", [False, True])
def test_embeddings_of_several_values_are_combined(combiner, weighted):
    layer = Features({TAGS: 6}, {}, 4, listed=[TAGS], combiner=combiner)
    inputs = {TAGS: tf.constant(LISTS)} | ({f"{TAGS}/weight": tf.constant(WEIGHTS)} if weighted else {})
    found = layer(inputs)
    expected = _combined(layer._tables[TAGS].embeddings.numpy(), LISTS, WEIGHTS if weighted else LISTS > 0, combiner)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    check_layer_config(layer)


def test_a_list_of_one_value_is_a_category():
    values = np.array([3, 0, 1], np.int32)
    lists, single = Features({TAGS: 6}, {}, 4, listed=[TAGS]), Features({TAGS: 6}, {}, 4)
    lists({TAGS: tf.constant(values[:, None])})
    single({TAGS: tf.constant(values)})
    single.set_weights(lists.get_weights())
    np.testing.assert_array_equal(lists({TAGS: tf.constant(values[:, None])}), single({TAGS: tf.constant(values)}))


def test_embeddings_and_maps_begin_as_wide_as_asked():
    layer = Features(sizes={"item.id": 4000}, widths={"item.price": 500}, dim=4, stddev=0.2)
    layer({"item.id": tf.zeros([1], tf.int32), "item.price": tf.zeros([1, 500])})
    for weight in layer.trainable_weights:
        np.testing.assert_allclose(np.std(weight), 0.2, rtol=0.1)
