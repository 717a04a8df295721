"""What holds of training steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mtkit.testing.assertions import assert_finite

if TYPE_CHECKING:
    from mtkit.layers.training_step import TaskLoss

TASKS = ("one", "other")
_ROWS, _DIM, _STEPS, _RATE = 8, 3, 60, 0.1


def check_training_step(step: Any) -> None:
    """Finite gradients of the variables' shapes, by which two tasks are learned; tasks without labels move nothing.

    The tasks are linear in a representation that they share.

    Args:
        step: a `mtkit.layers.training_step.TrainingStep`.
    """
    from mtkit.backend import tf

    scope = _Scope()
    before, compiled = (
        _means(scope),
        tf.function(lambda: list(step.gradients(scope.passes(), scope)[1]), autograph=False),
    )
    _check_gradients(step, scope)
    for _ in range(_STEPS):
        for variable, gradient in zip(scope.trainable_variables, compiled(), strict=True):
            if gradient is not None:
                variable.assign_sub(_RATE * gradient)
    for task, mean in _means(scope).items():
        assert mean < before[task] / 2, (
            f"after {_STEPS} steps, the loss of {task} went from {before[task]:.3g} to {mean:.3g}"
        )
    moved = _check_gradients(step, _Scope(absent="other"))
    assert moved[0] is not None, "no gradient of what is shared where one task has labels"
    assert moved[2] is None or not np.any(moved[2]), "a task without labels moves its weights"


def _check_gradients(step: Any, scope: _Scope) -> Sequence[Any]:
    run = scope.passes()
    found, gradients = step.gradients(run, scope)
    gradients = list(gradients)
    assert set(found.losses) == set(TASKS), f"expected the pass with losses of {TASKS}, got {sorted(found.losses)}"
    assert len(gradients) == len(scope.trainable_variables), "expected a gradient, or None, for each variable"
    for variable, gradient in zip(scope.trainable_variables, gradients, strict=True):
        if gradient is not None:
            assert gradient.shape == variable.shape, (
                f"expected {variable.shape} for {variable.name}, got {gradient.shape}"
            )
            assert_finite(gradient, f"the gradient of {variable.name}")
    return gradients


def _means(scope: _Scope) -> dict[str, float]:
    return {task: float(loss.total / loss.weight) for task, loss in scope.passes()().losses.items()}


class _Scope:
    """A model of two tasks, as a training step sees it.

    Args:
        absent: a task without labels.
    """

    def __init__(self, absent: str = "") -> None:
        from mtkit.backend import tf

        self.absent, rng = absent, np.random.default_rng(0)
        self.rows = tf.constant(rng.normal(size=(_ROWS, _DIM)), tf.float32)
        self.labels = [tf.constant(rng.normal(size=_ROWS) / 3, tf.float32) for _ in TASKS]
        shapes = {"shared": [_DIM, _DIM], "one": [_DIM, 1], "other": [_DIM, 1]}
        self.trainable_variables = [
            tf.Variable(rng.normal(size=shape), dtype=tf.float32, name=name) for name, shape in shapes.items()
        ]

    def passes(self) -> Callable[[], Any]:
        """A function that runs the model."""
        from mtkit.backend import tf
        from mtkit.layers.training_step import Pass, TaskLoss

        def run() -> Pass:
            shared, *own = self.trainable_variables
            state, losses = tf.matmul(self.rows, shared), {}
            for task, weight, labels in zip(TASKS, own, self.labels, strict=True):
                there = tf.fill([_ROWS], 0.0 if task == self.absent else 1.0)
                losses[task] = TaskLoss(tf.square(tf.matmul(state, weight)[:, 0] - labels) * there, there)
            return Pass(losses, (state,))

        return run

    def shares(self, losses: Mapping[str, TaskLoss]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Means of the losses, and which tasks have labels."""
        from mtkit.backend import tf

        means = {task: tf.math.divide_no_nan(loss.total, loss.weight) for task, loss in losses.items()}
        return means, {task: tf.cast(loss.weight > 0, tf.float32) for task, loss in losses.items()}

    def stream(self, name: str) -> Any:
        """A seed."""
        from mtkit.backend import tf

        return tf.constant([len(name), 0], tf.int64)

    def scaled(self, objective: Any) -> Any:
        """The objective as it is."""
        return objective

    def unscaled(self, gradients: Sequence[Any]) -> Sequence[Any]:
        """The gradients as they are."""
        return gradients
