"""The conformance kit for weights of gradients finds what is wrong."""

import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.layers.gramian import Weighting
from mtkit.testing import check_weighting


class Equal(Weighting):
    """1 for each gradient; what the tests change."""

    linear_under_scaling = strongly_stationary = True

    def __init__(self, change=lambda weights, gradients: weights, **declared):
        self.change = change
        vars(self).update(declared)

    def weights(self, gradients, seed):
        return self.change(tf.ones_like(gradients.norms), gradients)


class Told(Weighting):
    """The same with a memory; the tests change what comes out in the end."""

    def __init__(self, change=lambda weights, memory: (weights, memory)):
        self.change = change

    def memory(self, tasks):
        return {"sum": np.zeros(tasks)}

    def __call__(self, gramian, memory, seed):
        return self.change(1 + 0 * tf.reduce_sum(gramian, 0), memory)


def test_equal_weights():
    check_weighting(Equal())
    check_weighting(Told())


@pytest.mark.parametrize(
    ("weighting", "message"),
    [
        (Equal(lambda weights, g: weights / tf.round(g.norms)), "weights of gradients of the size 1e-06 are not finite"),
        (Told(lambda weights, memory: (tf.debugging.check_numerics(weights, ""), memory)), "that are nan end the program"),
        (Equal(lambda weights, g: -weights), "a weight above 0 for one task alone"),
        (Equal(lambda weights, g: weights / weights.shape[0]), "the sum with a task that has no gradient differs"),
        (Equal(non_conflicting=True), "non_conflicting is declared, and a task's product with the sum is -"),
        (Equal(lambda weights, g: weights + tf.eye(weights.shape[0], dtype=tf.float64)[0]), "in another order differs"),
        (Equal(scale_invariant=True), "scale_invariant is declared, and factors of the losses turn the sum by"),
        (Equal(lambda weights, g: g.inverse), "linear_under_scaling is declared, and it is off by"),
        (
            Equal(lambda _, g: tf.cast(g.there & (tf.reduce_min(g.cosines) > 1e-9 - 1), tf.float64), linear_under_scaling=False),
            "strongly_stationary is declared, and the sum is 0",
        ),
        (Told(lambda weights, memory: (weights, {})), "other names or shapes than before"),
        (Told(lambda weights, memory: (weights[1:], memory)), "expected weights"),
        (Told(lambda weights, memory: (tf.cast(weights, tf.float16), memory)), "in the Gramian's float64, got float16"),
    ],
)  # fmt: skip
def test_mistakes(weighting, message):
    with pytest.raises(AssertionError, match=message):
        check_weighting(weighting)
