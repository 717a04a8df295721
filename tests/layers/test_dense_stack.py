import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.layers.dense_stack import DenseStack
from mtkit.testing import check_layer_config


@pytest.mark.parametrize("units", [None, 2])
def test_equals_a_slow_version(units):
    stack = DenseStack((5, 3), "relu", units=units)
    x = np.random.default_rng(0).normal(size=(4, 6, 7)).astype(np.float32)
    found, state = stack(x), x
    for layer in stack.layers:
        state = np.maximum(state @ layer.kernel.numpy() + layer.bias.numpy(), 0)
    if units:
        state = state @ stack.linear.kernel.numpy() + stack.linear.bias.numpy()
    assert found.shape == (4, 6, units or 3)
    np.testing.assert_allclose(found, state, atol=1e-5)
    assert stack.first_kernel is stack.layers[0].kernel


def test_dropout_in_training_alone():
    stack = DenseStack((400,), "relu", 0.5)
    x = tf.ones([8, 3])
    np.testing.assert_array_equal(stack(x), stack(x))
    shown = stack(x).numpy() > 0
    assert 0.4 < np.mean(stack(x, training=True).numpy()[shown] == 0) < 0.6


def test_config():
    check_layer_config(DenseStack((5, 3), "gelu", 0.1, 2, False, name="deep"))
