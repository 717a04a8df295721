"""Gradients side by side."""

import numpy as np

from mtkit.backend import tf
from mtkit.layers.task_gradients import Stacked, rows_alike

RNG = np.random.default_rng(0)
ONE, TWO = (RNG.normal(size=(3, 4, 2)).astype(np.float32) for _ in range(2))
GRADIENTS = [[ONE[0], ONE[1], None], [TWO[0], TWO[1], None], [None, ONE[1], ONE[2]], [None, None, None]]


def test_products_are_over_what_tasks_reach():
    zeros = np.zeros((4, 2), np.float32)
    flat = [np.concatenate([zeros if of[task] is None else of[task] for of in GRADIENTS]).ravel() for task in range(3)]
    expected = np.array(flat) @ np.array(flat).T
    stacked = Stacked(GRADIENTS)
    np.testing.assert_allclose(stacked.products(3), expected, rtol=1e-5)
    assert float(stacked.products(3)[0, 2]) == 0
    np.testing.assert_array_equal(Stacked([]).products(2), np.zeros((2, 2)))


def test_sums_are_weighted():
    first, second, third, none = Stacked(GRADIENTS).weighted([2.0, tf.constant(-1.0), 0.5])
    np.testing.assert_allclose(first, 2 * ONE[0] - ONE[1], rtol=1e-5)
    np.testing.assert_allclose(second, 2 * TWO[0] - TWO[1], rtol=1e-5)
    np.testing.assert_allclose(third, -ONE[1] + 0.5 * ONE[2], rtol=1e-5)
    assert none is None


def test_rows_of_a_table_are_those_that_some_task_touches():
    one = tf.IndexedSlices(tf.constant([[1.0], [2.0], [4.0]]), tf.constant([70, 3, 70]), tf.constant([100, 1]))
    two = tf.IndexedSlices(tf.constant([[5.0]]), tf.constant([9]), tf.constant([100, 1]))
    first, second, none = rows_alike([one, two, None])
    np.testing.assert_array_equal(first[:, 0], [5, 2, 0])
    np.testing.assert_array_equal(second[:, 0], [0, 0, 5])
    assert none is None
