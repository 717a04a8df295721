"""What makes one loss of many.

A balancer is called with the losses of the tasks over the global batch, on however many replicas, and returns the scalar to
minimize.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mtkit.backend import keras, tf
from mtkit.layers.axes import Axis


@keras.saving.register_keras_serializable(package="mtkit")
class Sum(keras.layers.Layer):
    """The sum of the task losses."""

    def call(self, losses: Mapping[str, tf.Tensor], present: Mapping[str, tf.Tensor] | None = None) -> tf.Tensor:
        """The scalar to minimize.

        Args:
            losses: task -> scalar.
            present: task -> 1 where the global batch has a label for the task; not needed here, for a task without
                labels has loss 0.
        """
        return tf.add_n(list(losses.values()))


@keras.saving.register_keras_serializable(package="mtkit")
class Uncertainty(keras.layers.Layer):
    """Weighs each task by its own learned uncertainty: Σ exp(-s_t) L_t + s_t / 2 over the tasks that have labels.

    s_t is the logarithm of the task's variance; it starts at 0, where all tasks have weight 1, and is at rest where
    exp(-s_t) L_t = 1/2. A task without labels in the global batch adds nothing, so that s_t stays where it is.

    Source: Kendall, Gal and Cipolla, Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and
    Semantics, CVPR 2018, equations 7 and 10. Deviation: one form serves all tasks; the paper's L_t / 2 for regression
    is the same objective with s_t moved by log 2.

    Args:
        tasks: names of the tasks.
    """

    def __init__(self, tasks: Sequence[str], **options: Any) -> None:
        super().__init__(**options)
        self.tasks = tuple(tasks)
        self.log_variance = self.add_weight("log_variance", (len(self.tasks),), initializer="zeros")

    def call(self, losses: Mapping[str, tf.Tensor], present: Mapping[str, tf.Tensor] | None = None) -> tf.Tensor:
        """The scalar to minimize.

        Args:
            losses: task -> scalar; tasks may be absent.
            present: task -> 1 where the global batch has a label for the task, else 0; None = all have one.
        """
        terms = []
        for task, loss in losses.items():
            s = self.log_variance[self.tasks.index(task)]
            terms.append(tf.exp(-s) * loss + (s / 2 if present is None else s / 2 * present[task]))
        return tf.add_n(terms)

    def task_weights(self) -> dict[str, tf.Tensor]:
        """Task -> what multiplies its loss now, beside the `weight` that the task has."""
        return dict(zip(self.tasks, tf.unstack(tf.exp(-self.log_variance)), strict=True))

    def axes(self) -> list[Axis]:
        """The tasks."""
        return [Axis(self.log_variance, 0, "task")]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "tasks": list(self.tasks)}
