"""What inner products say of gradients, and what is common to methods that go by them."""

import numpy as np

from mtkit.backend import tf
from mtkit.layers.gramian import Gradients, Weighting

JACOBIAN = np.array([[3.0, 4.0], [0.0, 0.0], [-2.0, 0.0]])


class Lengths(Weighting):
    """Weighs as long as gradients are; one that is 0 by -1, which nobody may see."""

    def weights(self, gradients, seed):
        return tf.where(gradients.there, gradients.norms, -tf.ones_like(gradients.norms))


def test_gradients_by_their_products():
    found = Gradients.of(tf.constant(JACOBIAN @ JACOBIAN.T, tf.float32))
    np.testing.assert_array_equal(found.there, [True, False, True])
    np.testing.assert_allclose(found.norms, [5, 0, 2])
    np.testing.assert_allclose(found.inverse, [0.2, 0, 0.5])
    np.testing.assert_allclose(found.cosines, [[1, 0, -0.6], [0, 0, 0], [-0.6, 0, 1]], atol=1e-7)
    np.testing.assert_allclose(found.share, [0.5, 0, 0.5])
    np.testing.assert_allclose(found.definite, [[1, 0, -0.6], [0, 1, 0], [-0.6, 0, 1]], atol=1e-5)
    assert found.precision == tf.float32
    assert found.norms.dtype == tf.float64


def test_the_norm_of_a_weighted_sum():
    found = Gradients.of(tf.constant(JACOBIAN @ JACOBIAN.T))
    np.testing.assert_allclose(found.norm_of(tf.constant([1.0, 7.0, 2.0], tf.float64)), np.hypot(-1, 4))


def test_what_is_not_finite_is_not_hidden():
    weights, _ = Lengths()(tf.constant([[1.0, np.nan], [np.nan, 2.0]]), {}, tf.constant([0, 0], tf.int64))
    np.testing.assert_array_equal(weights, [np.nan, np.nan])


def test_weights_have_the_type_of_the_products_and_are_0_without_a_gradient():
    weighting = Lengths()
    assert weighting.memory(3) == {}
    for dtype in (tf.float32, tf.float64):
        found, memory = weighting(tf.constant(JACOBIAN @ JACOBIAN.T, dtype), {}, tf.constant([0, 0], tf.int64))
        np.testing.assert_allclose(found, [5, 0, 2])
        assert found.dtype == dtype
        assert memory == {}
