"""A model of three tasks on a table and a layer that they share, as a training step sees it, and the same in NumPy."""

import numpy as np

from mtkit.backend import tf
from mtkit.layers.training_step import Pass, TaskLoss
from mtkit.runtime.collectives import global_sum
from mtkit.runtime.optimizers import DENSE_ROWS

TASKS = ("one", "two", "three")
ROWS, DIM = 8, 3
RNG = np.random.default_rng(0)
TABLE, SHARED = RNG.normal(size=(DENSE_ROWS + 1, DIM)), RNG.normal(size=(DIM, DIM))
HEADS = {task: RNG.normal(size=(DIM, 1)) for task in TASKS}
IDS, LABELS = np.array([3, 5, 3, 40, 7, 5, DENSE_ROWS, 3]), RNG.normal(size=(ROWS, 3))
THERE = np.ones((ROWS, 3))
THERE[::3, 1] = 0
"""Which rows have labels of which task."""


class Toy:
    """A model of three tasks with squared losses, as a step sees it: a large table, a layer, and heads."""

    def __init__(self, there=THERE, scale=1.0, dtype=tf.float32):
        self.there, self.scale, self.dtype, self.step = np.float32(there), scale, dtype, tf.Variable(0, dtype=tf.int64)
        weights = {"table": TABLE, "shared": SHARED, **HEADS}
        self.trainable_variables = [tf.Variable(np.float32(w), name=name) for name, w in weights.items()]

    def run(self, rows=None):
        rows = tf.range(ROWS) if rows is None else rows
        table, shared, *heads = self.trainable_variables
        state = tf.cast(tf.matmul(tf.gather(table, tf.gather(IDS, rows)), shared), self.dtype)
        losses = {}
        for number, (task, head) in enumerate(zip(TASKS, heads, strict=True)):
            found = tf.cast(tf.matmul(state, tf.cast(head, self.dtype))[:, 0], tf.float32)
            weights = tf.gather(self.there[:, number], rows)
            error = tf.square(found - tf.gather(np.float32(LABELS[:, number]), rows))
            losses[task] = TaskLoss(tf.where(weights > 0, error, 0), weights)
        return Pass(losses, (state,))

    def shares(self, losses):
        weights = {task: global_sum(loss.weight) for task, loss in losses.items()}
        shares = {task: tf.math.divide_no_nan(loss.total, weights[task]) for task, loss in losses.items()}
        return shares, {task: tf.cast(weight > 0, tf.float32) for task, weight in weights.items()}

    def stream(self, name):
        return tf.stack([tf.constant(len(name), tf.int64), self.step])

    def scaled(self, objective):
        return objective * self.scale

    def unscaled(self, gradients):
        return [None if g is None else tf.convert_to_tensor(g) / self.scale for g in gradients]


def plain_of(there=THERE):
    """In NumPy: by task the loss, and the gradients by the cut, the table, the layer, and its head."""
    state, found = TABLE[IDS] @ SHARED, {}
    for number, task in enumerate(TASKS):
        error, weight = (
            (state @ HEADS[task])[:, 0] - LABELS[:, number],
            there[:, number] / max(there[:, number].sum(), 1),
        )
        by_row = 2 * weight * error
        cut = by_row[:, None] * HEADS[task].T
        table = np.zeros_like(TABLE)
        np.add.at(table, IDS, cut @ SHARED.T)
        found[task] = (weight * error**2).sum(), cut, table, TABLE[IDS].T @ cut, state.T @ by_row[:, None]
    return found


def check_sum(found, plain, weights, private=(1, 1, 1), rtol=1e-4):
    """Gradients are the weighted sums of those that `plain_of` gives; of heads, their own times a factor."""
    expected = [sum(w * of[place] for w, of in zip(weights, plain.values(), strict=True)) for place in (2, 3)]
    expected += [factor * of[4] for factor, of in zip(private, plain.values(), strict=True)]
    for gradient, one in zip(found, expected, strict=True):
        np.testing.assert_allclose(tf.convert_to_tensor(gradient), one, rtol=rtol, atol=rtol)
