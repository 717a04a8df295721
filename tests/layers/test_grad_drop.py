"""GradDrop against NumPy, and by hand."""

import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.layers.grad_drop import grad_drop, kept

# Per element: one sign; 3 parts in 4 positive; all 0; opposite, alike.
JACOBIAN = np.array([[1.0, 3.0, 0.0, -2.0], [2.0, -1.0, 0.0, 2.0]])


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        ([0.99, 0.7, 0.1, 0.4], [3, 3, 0, 2]),
        ([0.01, 0.8, 0.9, 0.6], [3, -1, 0, -2]),
    ],
)
def test_one_sign_is_kept(drawn, expected):
    np.testing.assert_allclose(kept(tf.constant(JACOBIAN), tf.constant(drawn, tf.float64)), expected)


def test_a_part_leaks():
    """Of the first task a half whatever its sign, of the second nothing."""
    found = kept(tf.constant(JACOBIAN), tf.constant([0.5, 0.8, 0.5, 0.4], tf.float64), (0.5, 0.0))
    np.testing.assert_allclose(found, [3, -1 + 1.5, 0, 2 - 1])
    np.testing.assert_allclose(kept(tf.constant(JACOBIAN), tf.constant([0.5] * 4, tf.float64), 1.0), JACOBIAN.sum(0))


def _plain(jacobian, drawn, leak):
    """Element by element, as the paper has it."""
    total = np.zeros(jacobian.shape[1])
    for element, column in enumerate(jacobian.T):
        size = np.abs(column).sum()
        positive = 0.5 * (1 + column.sum() / size) if size else 0.5
        for value in column:
            passes = (positive > drawn[element]) * (value > 0) + (positive < drawn[element]) * (value < 0)
            total[element] += (leak + (1 - leak) * passes) * value
    return total


def test_as_numpy_computes_it():
    rng = np.random.default_rng(0)
    for leak in (0.0, 0.3):
        jacobian, drawn = rng.normal(size=(5, 50)) * (rng.random((5, 50)) < 0.7), rng.random(50)
        np.testing.assert_allclose(kept(tf.constant(jacobian), tf.constant(drawn), leak), _plain(jacobian, drawn, leak))


def test_signs_are_drawn_by_the_seed_as_often_as_they_weigh():
    jacobian = tf.constant(np.repeat([[3.0], [-1.0]], 4000, 1), tf.float32)
    found = grad_drop(jacobian, tf.constant([1, 2], tf.int64)).numpy()
    assert found.dtype == np.float32
    assert set(found) == {3, -1}
    assert abs((found > 0).mean() - 0.75) < 0.03
    np.testing.assert_array_equal(found, grad_drop(jacobian, tf.constant([1, 2], tf.int64)))
    assert (found != grad_drop(jacobian, tf.constant([1, 3], tf.int64)).numpy()).any()
