"""Attention across the tasks of a row."""

from __future__ import annotations

import math
from typing import Any

from mtkit.backend import keras, tf
from mtkit.errors import WiringError
from mtkit.layers.axes import Axis
from mtkit.layers.task_states import require_tasks


@keras.saving.register_keras_serializable(package="mtkit")
class TaskAttention(keras.layers.Layer):
    """Each task of a row takes from all of them what its query finds: z_t = h_t + [heads: Σ_s softmax_s(q_t·k_s / √d) v_s] W.

    Takes `[rows, tasks, dim]`, or `[rows, dim]`, one state for all tasks, to which a trained vector of each task is then added,
    so that queries differ. Returns `[rows, tasks, dim]`.

    Source: Vaswani et al., Attention Is All You Need, NeurIPS 2017, equation 1 and section 3.2.2, over the tasks of a row
    instead of positions. Deviations: no normalization, and queries, keys and values have no bias.

    Args:
        tasks: number of tasks.
        heads: attention heads; they divide the width of the states.
        residual: whether what is found is added to the state instead of replacing it.
    """

    def __init__(self, tasks: int, heads: int = 2, residual: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.tasks, self.heads, self.residual = tasks, heads, residual

    def build(self, input_shape: Any) -> None:
        """Creates the weights.

        Raises:
            WiringError: the input has states of another number of tasks, or a width that the heads do not divide.
        """
        dim = input_shape[-1]
        require_tasks(self.name, input_shape, self.tasks)
        if dim % self.heads:
            raise WiringError(
                f"{self.name}: heads = {self.heads} does not divide the width {dim} of its input; set heads to a divisor"
            )
        if len(input_shape) == 2:
            self.task_vectors = self.add_weight("task_vectors", (self.tasks, dim))
        self.asked = self.add_weight("asked", (dim, 3 * dim))
        self.mixed = self.add_weight("mixed", (dim, dim))
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Task states `[rows, tasks, dim]`."""
        states = inputs if inputs.shape.rank == 3 else inputs[:, None] + self.task_vectors
        dim = states.shape[-1]
        asked = tf.matmul(tf.reshape(states, [-1, dim]), self.asked)
        by_head = tf.reshape(asked, [-1, self.tasks, 3, self.heads, dim // self.heads])
        queries, keys, values = tf.unstack(tf.transpose(by_head, [2, 0, 3, 1, 4]))
        shares = tf.nn.softmax(tf.matmul(queries, keys, transpose_b=True) / math.sqrt(dim // self.heads))
        found = tf.reshape(tf.transpose(tf.matmul(shares, values), [0, 2, 1, 3]), [-1, dim])
        taken = tf.reshape(tf.matmul(found, self.mixed), [-1, self.tasks, dim])
        return states + taken if self.residual else taken

    def axes(self) -> list[Axis]:
        """The vectors of the tasks, where there are any."""
        return [Axis(self.task_vectors, 0, "task")] if hasattr(self, "task_vectors") else []

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "tasks": self.tasks, "heads": self.heads, "residual": self.residual}
