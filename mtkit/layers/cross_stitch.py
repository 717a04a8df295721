"""Networks of the tasks that learn how much they take from one another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mtkit.backend import keras, tf
from mtkit.layers.axes import Axis
from mtkit.layers.parallel import ParallelDense, Widths, plain, widths
from mtkit.layers.task_states import TaskStates, require_tasks


@keras.saving.register_keras_serializable(package="mtkit")
class CrossStitch(keras.layers.Layer):
    """A network for each task, and after each of their layers a unit that mixes what they have: x_A = sum over B of a_AB x_B.

    Takes `[rows, dim]`, one state for all tasks, or `[rows, tasks, dim]`. Returns `TaskStates`: `own` is
    `[rows, tasks, units]`, the last width; `cut` has what the networks give to the last unit, `[rows, units]` of each task.

    Source: Misra et al., Cross-stitch Networks for Multi-task Learning, CVPR 2016, equation 1. Deviations: any number of
    tasks, the others' shares begin equal, and all add up to 1, as 0.9 and 0.1 do for two; dense layers instead of
    convolutions, with one share for all units of a layer; shares learn at the rate of all other weights, where the paper takes a
    larger one.

    Args:
        tasks: number of tasks.
        units: width of each layer; an int is one layer.
        alpha: the share of its own state with which a task begins.
        activation: of each layer.
    """

    def __init__(self, tasks: int, units: Widths, alpha: float = 0.9, activation: str = "relu", **options: Any) -> None:
        super().__init__(**options)
        self.tasks, self.units, self.alpha = tasks, units, alpha
        self.activation = keras.activations.get(activation)
        self.layers = [
            ParallelDense(tasks, width, activation, name=f"layer_{number}", dtype=self.dtype_policy)
            for number, width in enumerate(widths(units))
        ]

    def build(self, input_shape: Any) -> None:
        """Creates the shares.

        Raises:
            WiringError: the input has states of another number of tasks.
        """
        require_tasks(self.name, input_shape, self.tasks)
        self.shares = [
            self.add_weight(f"shares_{number}", (self.tasks, self.tasks), initializer=self._initial)
            for number in range(len(self.layers))
        ]
        super().build(input_shape)

    def _initial(self, _shape: Any, dtype: Any = None, **_options: Any) -> tf.Tensor:
        own = self.alpha if self.tasks > 1 else 1.0
        others = (1 - own) / max(self.tasks - 1, 1)
        return tf.eye(self.tasks, dtype=dtype) * (own - others) + tf.cast(others, dtype)

    def call(self, inputs: tf.Tensor, training: bool = False) -> TaskStates:
        """The states of the tasks after the last unit."""
        states: Any = inputs if inputs.shape.rank == 2 else tf.unstack(inputs, axis=1)
        before: list[tf.Tensor] = []
        for layer, shares in zip(self.layers, self.shares, strict=True):
            before = layer(states)
            states = self._stitched(shares, before)
        return TaskStates(tf.stack(states, 1), cut=tuple(before))

    def _stitched(self, shares: tf.Tensor, states: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """One product for all tasks, over rows and units as one axis."""
        units = states[0].shape[-1]
        mixed = tf.matmul(shares, tf.reshape(tf.stack(states), [self.tasks, -1]))
        return list(tf.unstack(tf.reshape(mixed, [self.tasks, -1, units])))

    def axes(self) -> list[Axis]:
        """The networks of the tasks, and whose share of whom."""
        stitches = [Axis(shares, axis, "task") for shares in self.shares for axis in (0, 1)]
        return [axis for layer in self.layers for axis in layer.axes_of("task")] + stitches

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "tasks": self.tasks,
            "units": plain(self.units),
            "alpha": self.alpha,
            "activation": keras.activations.serialize(self.activation),
        }
