"""The toy problem has the Pareto set that its papers say."""

import numpy as np
import pytest
import toy_problem
from scipy.optimize import brentq

from mtkit.backend import tf


def gradients(point, scale=1.0):
    point = tf.constant(point, tf.float64)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(point)
        losses = tf.unstack(toy_problem.losses(point, scale))
    return np.array([tape.gradient(loss, point) for loss in losses])


@pytest.mark.parametrize("across", [-6.9, -4.0, 0.0, 4.0, 6.9])
def test_where_gradients_are_opposite_the_set_is_reached(across):
    down = brentq(lambda down: np.linalg.det(gradients([across, down])), -9, -8)
    one, other = gradients([across, down])
    assert one @ other < 0
    assert toy_problem.reached([across, down])
    assert not toy_problem.reached([across, down + 0.3])


def test_the_set_ends_where_one_loss_is_least():
    for side, loss in ((7.0, 0), (-7.0, 1)):
        down = brentq(lambda down, side=side, loss=loss: gradients([side, down])[loss, 1], -9, -8)
        np.testing.assert_allclose(gradients([side, down])[loss], 0, atol=1e-9)
        assert toy_problem.reached([side, down])
        assert not toy_problem.reached([side * 1.1, down])


def test_the_first_loss_is_scaled():
    np.testing.assert_allclose(gradients([1.0, -2.0], 0.1) * [[10], [1]], gradients([1.0, -2.0]))
