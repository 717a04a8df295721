"""The conformance kit for training steps accepts the plain one, and finds what is wrong."""

import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.layers.balancing import Sum
from mtkit.layers.training_step import PlainStep
from mtkit.testing import check_training_step


class Wrong(PlainStep):
    def __init__(self, change):
        super().__init__(Sum())
        self.change = change

    def gradients(self, run, scope):
        found, gradients = super().gradients(run, scope)
        return found, self.change(list(gradients))


def test_the_plain_step():
    check_training_step(PlainStep(Sum()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: found[:-1], "expected a gradient, or None, for each variable"),
        (lambda found: [found[0][:1], *found[1:]], "expected .* for shared"),
        (lambda found: [np.nan * gradient for gradient in found], "the gradient of shared"),
        (lambda found: [tf.zeros_like(gradient) for gradient in found], "the loss of one went from"),
        (lambda found: [*found[:2], found[2] + 1e-3], "a task without labels moves its weights"),
    ],
)
def test_mistakes(change, message):
    with pytest.raises(AssertionError, match=message):
        check_training_step(Wrong(change))
