"""Multi-gate mixture of experts."""

from __future__ import annotations

from typing import Any

from mtkit.backend import keras, tf
from mtkit.errors import WiringError
from mtkit.layers.axes import Axis


@keras.saving.register_keras_serializable(package="mtkit")
class Mmoe(keras.layers.Layer):
    """Mixes shared experts by one softmax gate per task.

    Takes `[rows, dim]`, one state shared by all tasks, or `[rows, tasks, dim]`, in which case each task's own state
    goes through the shared experts. Returns `[rows, tasks, units]`.

    Source: Ma et al., Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts, KDD 2018,
    equations 6 and 7. Deviations: experts are one layer deep, gates have a bias, and tasks may have states of their
    own.

    Args:
        tasks: number of tasks.
        experts: number of experts.
        units: width of an expert.
        activation: of the experts.
        residual: add the input to the mixture, so that a task can keep what its encoder gave; `units` is then the width
            of the input.
    """

    def __init__(
        self,
        tasks: int,
        experts: int,
        units: int,
        activation: str = "relu",
        residual: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.tasks, self.experts, self.units, self.residual = tasks, experts, units, residual
        self.activation = keras.activations.get(activation)
        # All experts are one matrix, which is several times faster than many small ones. Its initializer looks at the
        # fan-in alone, because the fan-out of the wide matrix is not that of an expert.
        self.expert = keras.layers.Dense(experts * units, activation, kernel_initializer="he_uniform", name="experts")

    def build(self, input_shape: Any) -> None:
        """Creates the gates.

        Raises:
            WiringError: the input has states of another number of tasks, or cannot be added to the mixture.
        """
        dim = input_shape[-1]
        if len(input_shape) == 3 and input_shape[1] != self.tasks:
            raise WiringError(f"{self.name}: expected the states of {self.tasks} tasks, got those of {input_shape[1]}")
        if self.residual and dim != self.units:
            raise WiringError(
                f"{self.name}: residual = true adds the input to the mixture, but the input is {dim} wide and "
                f"units = {self.units}; set units = {dim} or residual = false"
            )
        self.gate_kernel = self.add_weight("gate_kernel", (dim, self.tasks * self.experts))
        self.gate_bias = self.add_weight("gate_bias", (self.tasks * self.experts,), initializer="zeros")
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Task states `[rows, tasks, units]`."""
        by_task = inputs.shape.rank == 3
        gates = tf.nn.softmax(self._gate_logits(inputs, by_task))
        if by_task:
            experts = tf.reshape(self.expert(inputs), [-1, self.tasks, self.experts, self.units])
            mixture = tf.squeeze(tf.matmul(gates[:, :, None], experts), 2)
        else:
            mixture = tf.matmul(gates, tf.reshape(self.expert(inputs), [-1, self.experts, self.units]))
        if not self.residual:
            return mixture
        return mixture + (inputs if by_task else inputs[:, None])

    def _gate_logits(self, inputs: tf.Tensor, by_task: bool) -> tf.Tensor:
        """`[rows, tasks, experts]`."""
        if by_task:
            kernel = tf.reshape(self.gate_kernel, [-1, self.tasks, self.experts])
            logits = tf.einsum("btd,dte->bte", inputs, kernel)
            return logits + tf.reshape(self.gate_bias, [self.tasks, self.experts])
        logits = tf.matmul(inputs, self.gate_kernel) + self.gate_bias
        return tf.reshape(logits, [-1, self.tasks, self.experts])

    def axes(self) -> list[Axis]:
        """The gates of the tasks, and the experts side by side."""
        number = (f"{self.experts} experts",)
        experts = [Axis(self.expert.kernel, 1, number), Axis(self.expert.bias, 0, number)]
        return [*experts, Axis(self.gate_kernel, 1, "task"), Axis(self.gate_bias, 0, "task")]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "tasks": self.tasks,
            "experts": self.experts,
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "residual": self.residual,
        }
