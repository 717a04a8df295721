"""Multi-gate mixture of experts."""

from __future__ import annotations

from typing import Any

from mtkit.backend import keras, tf
from mtkit.errors import WiringError
from mtkit.layers.axes import Axis
from mtkit.layers.parallel import ParallelNetworks, Widths, he_uniform, plain, widths
from mtkit.layers.task_states import TaskStates, require_tasks


@keras.saving.register_keras_serializable(package="mtkit")
class Mmoe(keras.layers.Layer):
    """Mixes shared experts by one softmax gate per task.

    Takes `[rows, dim]`, one state shared by all tasks, or `[rows, tasks, dim]`, in which case each task's own state
    goes through the shared experts. Returns `[rows, tasks, units]`, the last width.

    Source: Ma et al., Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts, KDD 2018,
    equations 6 and 7. Deviations: gates have a bias, and tasks may have states of their own.

    Gates begin at 0, so that all tasks begin with the mean of the experts, whose last layer begins `experts` times as wide in
    variance: the mean of what is independent is as wide as one expert then.

    Args:
        tasks: number of tasks.
        experts: number of experts.
        units: width of each layer of an expert; an int is one layer.
        activation: of each layer of an expert.
        residual: add the input to the mixture, so that a task can keep what its encoder gave; the last width is then that
            of the input.
    """

    parts = True

    def __init__(
        self,
        tasks: int,
        experts: int,
        units: Widths,
        activation: str = "relu",
        residual: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.tasks, self.experts, self.units, self.residual = tasks, experts, units, residual
        self.activation = keras.activations.get(activation)
        first, *deeper = widths(units)
        if deeper:
            self.expert = ParallelNetworks(experts, units, activation, experts, name="experts", dtype=self.dtype_policy)
            return
        # Experts of one layer are one matrix, whose outputs need not be divided. Its initializer looks at the fan-in alone,
        # because the fan-out of the wide matrix is not that of an expert.
        self.expert = keras.layers.Dense(
            experts * first, activation, kernel_initializer=he_uniform(experts), name="experts"
        )

    def build(self, input_shape: Any) -> None:
        """Creates the gates.

        Raises:
            WiringError: the input has states of another number of tasks, or cannot be added to the mixture.
        """
        dim, last = input_shape[-1], widths(self.units)[-1]
        require_tasks(self.name, input_shape, self.tasks)
        if self.residual and dim != last:
            raise WiringError(
                f"{self.name}: residual = true adds the input to the mixture, but the input is {dim} wide and "
                f"units = {plain(self.units)}; set units = {plain(_ending(self.units, dim))} or residual = false"
            )
        self.gate_kernel = self.add_weight("gate_kernel", (dim, self.tasks * self.experts), initializer="zeros")
        self.gate_bias = self.add_weight("gate_bias", (self.tasks * self.experts,), initializer="zeros")
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool = False, parts: bool = False) -> tf.Tensor | TaskStates:
        """Task states `[rows, tasks, units]`.

        Args:
            inputs: `[rows, dim]` or `[rows, tasks, dim]`.
            training: changes nothing.
            parts: whether to say with them where tasks part. Of one state for all tasks these are the outputs of the experts,
                and the state itself, as gates read it: gradients of single tasks by these need no pass through the experts.
        """
        if parts and inputs.shape.rank == 2:
            return self._parted(inputs)
        by_task = inputs.shape.rank == 3
        gates = self._gates(inputs)
        experts = self._experts(inputs)
        mixture = tf.squeeze(tf.matmul(gates[:, :, None], experts), 2) if by_task else tf.matmul(gates, experts)
        if not self.residual:
            return mixture
        return mixture + (inputs if by_task else inputs[:, None])

    def gates(self, inputs: tf.Tensor) -> dict[str, tuple[tf.Tensor, list[str]]]:
        """What each task takes of each expert, `[rows, tasks, experts]`, and the names of these."""
        return {"": (self._gates(inputs), [f"shared {number}" for number in range(1, self.experts + 1)])}

    def _gates(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(self._gate_logits(inputs, by_task=inputs.shape.rank == 3))

    def _parted(self, inputs: tf.Tensor) -> TaskStates:
        # A tensor of its own: the experts read the other one.
        beside, experts = tf.identity(inputs), self._experts(inputs)
        gates = self._gates(beside)
        mixtures = tf.unstack(tf.stop_gradient(tf.matmul(gates, experts)), axis=1)
        states = [
            _with_gradient(mixture, gate, experts)
            for mixture, gate in zip(mixtures, tf.unstack(gates, axis=1), strict=True)
        ]
        if self.residual:
            states = [state + beside for state in states]
        return TaskStates(tf.stack(states, 1), cut=(beside, experts), apart=tuple(states))

    def _experts(self, inputs: tf.Tensor) -> tf.Tensor:
        """`[rows, experts, units]`, or `[rows, tasks, experts, units]`."""
        shape = [-1, *inputs.shape[1:-1], self.experts, widths(self.units)[-1]]
        if isinstance(self.expert, keras.layers.Dense):
            return tf.reshape(self.expert(inputs), shape)
        states = self.expert(tf.reshape(inputs, [-1, inputs.shape[-1]]))
        return tf.reshape(tf.stack(states, 1), shape)

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
        if isinstance(self.expert, keras.layers.Dense):
            experts = [Axis(self.expert.kernel, 1, number), Axis(self.expert.bias, 0, number)]
        else:
            experts = self.expert.axes_of(number)
        return [*experts, Axis(self.gate_kernel, 1, "task"), Axis(self.gate_bias, 0, "task")]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "tasks": self.tasks,
            "experts": self.experts,
            "units": plain(self.units),
            "activation": keras.activations.serialize(self.activation),
            "residual": self.residual,
        }


def _with_gradient(mixture: tf.Tensor, gate: tf.Tensor, experts: tf.Tensor) -> tf.Tensor:
    """The mixture of one task, `[rows, units]`, with its gradient by gate and experts alone.

    That of the product that makes the mixtures of all tasks would take as long for one as for all.
    """

    @tf.custom_gradient
    def mixed(gate: tf.Tensor, experts: tf.Tensor) -> tuple[tf.Tensor, Any]:
        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            along = tf.convert_to_tensor(upstream)[:, None]
            return tf.reduce_sum(experts * along, -1), gate[:, :, None] * along

        return tf.identity(mixture), gradient

    return mixed(gate, experts)


def _ending(units: Widths, last: int) -> Widths:
    """Widths with another last one."""
    return last if isinstance(units, int) else [*units[:-1], last]
