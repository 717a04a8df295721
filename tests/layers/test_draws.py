"""Draws against those of TensorFlow."""

import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.layers.draws import integers


@pytest.mark.parametrize("xla", [False, True])
@pytest.mark.parametrize("count", [1, 4, 4099])
def test_compiled_draws_are_those_of_tensorflow_to_the_bit(count, xla):
    # A high word of the seed, and a span that is no power of two.
    seed = tf.constant([(1 << 52) + 5, 7], tf.int64)
    drawn = tf.function(lambda: integers(seed, tf.constant(count), 1, 1683, compiled=True), jit_compile=xla)()
    assert drawn.shape == [count]
    np.testing.assert_array_equal(drawn, integers(seed, tf.constant(count), 1, 1683))
