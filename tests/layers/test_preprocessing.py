import numpy as np
import pytest

from mtkit.backend import keras, tf
from mtkit.layers.number_scaling import Scale
from mtkit.layers.preprocessing import Buckets, ListVocabulary, StandardizeEach, Vocabulary
from mtkit.testing import check_layer_config

NUMBERS = np.concatenate(
    [np.random.default_rng(0).normal(size=500), [np.nan, np.inf, -np.inf, -1.5, 0.25, 0, -0.0, 3e38]]
).astype(np.float32)
WORDS = np.random.default_rng(0).choice(["", "a", "b", "never seen", "é", "A"], size=300).astype(object)
EDGES = [-1.5, 0.0, 0.25, 1.0]
CASES = [
    (Vocabulary, {"values": ["a", "b", "é"]}, WORDS),
    (Vocabulary, {"values": []}, WORDS),
    (Scale, {"center": 0.3, "scale": 2.5}, NUMBERS),
    (Buckets, {"edges": EDGES}, NUMBERS),
    (Buckets, {"edges": []}, NUMBERS),
]


def by_hand(layer, value):
    if isinstance(layer, Vocabulary):
        return layer.values.index(value) + 1 if value in layer.values else 0
    if isinstance(layer, Buckets):
        return 0 if np.isnan(value) else 1 + sum(edge <= value for edge in layer.edges)
    return [np.clip((value - layer.center) / layer.scale, -1e12, 1e12), 0] if np.isfinite(value) else [0, 1]


@pytest.mark.parametrize(("cls", "options", "values"), CASES)
def test_equals_the_calculation_by_hand(cls, options, values):
    layer = cls(**options)
    outputs = layer(values)
    assert outputs.dtype == (tf.float32 if isinstance(layer, Scale) else tf.int32)
    np.testing.assert_allclose(outputs, [by_hand(layer, value) for value in values], rtol=1e-6)


@pytest.mark.parametrize(("cls", "options", "values"), CASES)
def test_config_round_trip(cls, options, values):
    layer = cls(**options)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    np.testing.assert_array_equal(again(values), layer(values))


def test_float32_under_mixed_precision():
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        layer = Scale(center=100000.0, scale=2.0)
        outputs = layer(tf.constant([100002.0]))
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert outputs.dtype == tf.float32
    np.testing.assert_array_equal(outputs, [[1, 0]])


def test_columns_are_standardized_each_for_itself():
    layer, values = StandardizeEach([0.5, -2.0], [2.5, 0.01]), NUMBERS[:400].reshape(-1, 2)
    np.testing.assert_allclose(layer(values), (values - [0.5, -2.0]) / [2.5, 0.01], rtol=1e-5)
    in_graph = tf.function(layer, input_signature=[tf.TensorSpec([None, 2])])(values)
    np.testing.assert_array_equal(in_graph, layer(values))
    check_layer_config(layer)


def test_goes_into_a_saved_model(tmp_path):
    class Servable(tf.Module):
        def __init__(self, layers):
            super().__init__()
            self.layers = layers

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string), tf.TensorSpec([None], tf.float32)])
        def serve(self, words, numbers):
            return {str(n): layer(words if n < 2 else numbers) for n, layer in enumerate(self.layers)}

    layers = [cls(**options) for cls, options, _ in CASES]
    tf.saved_model.save(Servable(layers), str(tmp_path))
    outputs = tf.saved_model.load(str(tmp_path)).serve(tf.constant(WORDS), tf.constant(NUMBERS))
    for n, (layer, (_, _, values)) in enumerate(zip(layers, CASES, strict=True)):
        np.testing.assert_array_equal(outputs[str(n)], layer(values))


def test_lists_are_sets_of_known_values():
    layer = ListVocabulary(["a", "b", "é"])
    found = layer(tf.constant([["é", "a", "", "a"], ["x", "b", "x", ""], ["", "", "", "y"]]))
    assert found.dtype == tf.int32
    assert found.numpy().tolist() == [[1, 3, 0, 0], [2, 0, 0, 0], [0, 0, 0, 0]]
    assert ListVocabulary([])(tf.constant([["a"]])).numpy().tolist() == [[0]]
    check_layer_config(layer)


def test_weights_of_lists_are_added_and_go_with_their_values():
    layer = ListVocabulary(["a", "b"], weighted=True)
    weights = tf.constant([[0.5, 2.0, 1.0, 9.0], [np.nan, 0.0, -1.0, np.inf]])
    ids, found = layer((tf.constant([["b", "a", "b", "x"], ["a", "b", "a", "b"]]), weights))
    assert ids.numpy().tolist() == [[1, 2, 0, 0], [0, 0, 0, 0]]
    assert found.numpy().tolist() == [[2, 1.5, 0, 0], [0, 0, 0, 0]]
    check_layer_config(layer)
