import numpy as np
import pytest

from mtkit.backend import keras, tf
from mtkit.layers.number_scaling import LogScale, Quantile, Scale
from mtkit.testing import check_layer_config

EDGES = [-3.4e38, -1e30, -7.5, -1e-42, -0.0, 0.0, 1e-42, 0.25, 1.0, 8.0, 1e30, 3.4e38, np.nan, np.inf, -np.inf]
NUMBERS = np.concatenate([np.random.default_rng(0).normal(size=200) * 5, EDGES]).astype(np.float32)
LAYERS = [
    Scale(0.3, 2.5),
    Scale(0.3, 1e-30, fill=7.0, low=-2.0, high=4.0),
    Scale(0.3, 3e38, indicator=False),
    LogScale(0.5, 2.0, fill=1.0),
    LogScale(0.5, 2.0, fill=1.0, shift=-7.0, high=20.0),
    Quantile([-2.0, 0.0, 0.0, 0.0, 8.0], fill=0.5),
    Quantile([-2.0, 0.0, 3.0], "normal", fill=-1.0, indicator=False),
    Quantile([4.0, 4.0], "normal", fill=0.0),
]


@pytest.mark.parametrize("layer", LAYERS)
def test_numbers_of_any_size_become_finite_ones_in_graphs_too(layer):
    found = layer(NUMBERS)
    assert found.dtype == tf.float32
    assert np.isfinite(found).all()
    assert np.abs(found).max() <= 1e12
    in_graph = tf.function(layer, input_signature=[tf.TensorSpec([None])])
    np.testing.assert_array_equal(in_graph(NUMBERS), found)
    np.testing.assert_array_equal(layer(NUMBERS[-1:]), found[-1:])
    assert layer(NUMBERS[:0]).shape == (0, found.shape[1])
    check_layer_config(layer)
    np.testing.assert_array_equal(type(layer).from_config(layer.get_config())(NUMBERS), found)


def test_missing_numbers_are_filled_before_scaling_and_not_clipped():
    layer = Scale(1.0, 2.0, fill=9.0, low=0.0, high=5.0)
    assert layer(tf.constant([-3.0, 1.0, 5.0, 7.0, np.nan, np.inf])).numpy().tolist() == [
        [-0.5, 0], [0, 0], [2, 0], [2, 0], [4, 1], [4, 1]
    ]  # fmt: skip


def test_logarithms_by_hand():
    signed = LogScale(np.log(2), 2.0, fill=0.0)(tf.constant([0.0, 1.0, 7.0, -3.0]))[:, 0]
    np.testing.assert_allclose(signed, (np.log([1, 2, 8, 0.25]) - np.log(2)) / 2, rtol=1e-6)
    shifted = LogScale(0.0, 1.0, fill=0.0, shift=-4.0)(tf.constant([-9.0, -4.0, 3.0]))[:, 0]
    np.testing.assert_allclose(shifted, np.log([1, 1, 8]), rtol=1e-6)


def test_quantiles_by_hand():
    given = tf.constant([-5.0, -2.0, -1.0, 0.0, 2.0, 8.0, 9.0])
    shares = Quantile([-2.0, 0.0, 0.0, 0.0, 8.0], fill=0.0)(given)[:, 0]
    np.testing.assert_allclose(shares, [0, 0, 0.125, 0.5, 0.8125, 1, 1], rtol=1e-6)
    normal = Quantile([-2.0, 0.0, 2.0], "normal", fill=0.0)(tf.constant([-2.0, 0.0, 0.5, 9.0]))[:, 0]
    np.testing.assert_allclose(normal, [-5.199338, 0, 0.318639, 5.199338], atol=1e-5)


def test_float32_under_mixed_precision():
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        found = [type(layer).from_config(layer.get_config())(NUMBERS) for layer in LAYERS]
    finally:
        keras.mixed_precision.set_global_policy("float32")
    for layer, values in zip(LAYERS, found, strict=True):
        np.testing.assert_array_equal(values, layer(NUMBERS))
