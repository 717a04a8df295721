"""Embeddings of the tasks beside shared ones, which other tasks see and do not train."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mtkit.backend import keras, tf
from mtkit.errors import WiringError
from mtkit.layers.axes import Axis
from mtkit.layers.parallel import Each, ParallelNetworks, Widths, plain
from mtkit.layers.task_states import TaskStates


@keras.saving.register_keras_serializable(package="mtkit")
class Stem(keras.layers.Layer):
    """Divides embeddings into a shared part and one of each task; gates see the experts of all, and train their own task's.

    An embedding `[rows, width]` has the parts of the tasks, `own` entries each, at its end, and before them the shared part.
    With x_t the parts of task t and x_S the shared ones, side by side, E_t(x_t) and E_S(x_S) the outputs of experts, and sg what
    lets no gradient through: z_t = Σ g_t(x_t, x_S) [sg(E_1) .. E_t .. sg(E_T), E_S], g_t a softmax. So all tasks are heard, and
    each trains its own part.

    Takes `[rows, width]`, or a list of such. Returns `TaskStates`: `own` is `[rows, tasks, units]`, the last width; `cut` has
    the parts of the tasks, and what shared experts and gates make of the shared part.

    Source: Su et al., STEM: Unleashing the Power of Embeddings for Multi-task Recommendation, AAAI 2024: all forward,
    task-specific backward gating. Deviations: one level; gates have one layer, and see both parts side by side, not their sum.

    Args:
        tasks: number of tasks.
        own: width of a task's part of each embedding.
        experts: experts of each task.
        shared: experts of the shared part.
        units: width of each layer of an expert; an int is one layer.
        activation: of the experts.
    """

    def __init__(
        self, tasks: int, own: int, experts: int, shared: int, units: Widths, activation: str = "relu", **options: Any
    ) -> None:
        super().__init__(**options)
        self.tasks, self.own, self.experts, self.shared, self.units = tasks, own, experts, shared, units
        self.activation = keras.activations.get(activation)
        self.own_experts = ParallelNetworks(
            tasks * experts, units, activation, name="own_experts", dtype=self.dtype_policy
        )
        self.shared_experts = ParallelNetworks(
            shared, units, activation, name="shared_experts", dtype=self.dtype_policy
        )

    def build(self, input_shape: Any) -> None:
        """Creates the gates, in two parts, so that one is of the tasks.

        Raises:
            WiringError: an embedding is too narrow, or tasks come with states of their own.
        """
        shapes = input_shape if isinstance(input_shape, list) else [input_shape]
        for shape in shapes:
            self._require_parts(shape)
        common = sum(shape[-1] - self.tasks * self.own for shape in shapes)
        width = common + self.own * len(shapes)
        gates = (width, self.tasks, self.tasks * self.experts)
        self.gate_of_own = self.add_weight("gate_of_own", gates, initializer=Each("glorot_uniform"))
        gates = (width, self.tasks, self.shared)
        self.gate_of_shared = self.add_weight("gate_of_shared", gates, initializer=Each("glorot_uniform"))
        super().build(input_shape)

    def _require_parts(self, shape: Any) -> None:
        if len(shape) == 3:
            raise WiringError(
                f"{self.name}: divides embeddings that all tasks share, but tasks come with states of their own; put it "
                "before other correlations"
            )
        if shape[-1] <= (needed := self.tasks * self.own):
            raise WiringError(
                f"{self.name}: own = {self.own} takes {needed} numbers for {self.tasks} tasks, and an embedding has "
                f"{shape[-1]}, of which some have to be shared; set its `dim` to {needed + self.own}, or a smaller `own`"
            )

    def call(self, inputs: tf.Tensor | Sequence[tf.Tensor], training: bool = False) -> TaskStates:
        """The states of the tasks."""
        parts = [self._parts(state) for state in (inputs if isinstance(inputs, list | tuple) else [inputs])]
        common, *own = [tf.concat(part, -1) for part in zip(*parts, strict=True)]
        # A tensor of its own, so that the cut divides the way by gates from that by the shared experts.
        seen = tf.identity(common)
        of_tasks = self.own_experts([part for part in own for _ in range(self.experts)])
        of_all = self.shared_experts(common)
        states = [self._mixed(task, tf.concat([own[task], seen], -1), of_tasks, of_all) for task in range(self.tasks)]
        return TaskStates(tf.stack(states, 1), cut=(*own, seen, *of_all))

    def _parts(self, state: tf.Tensor) -> list[tf.Tensor]:
        """The shared part, and those of the tasks."""
        return list(tf.split(state, [state.shape[-1] - self.tasks * self.own] + [self.own] * self.tasks, -1))

    def _mixed(self, task: int, by: tf.Tensor, of_tasks: Sequence[tf.Tensor], of_all: Sequence[tf.Tensor]) -> tf.Tensor:
        gates = tf.concat([self.gate_of_own[:, task], self.gate_of_shared[:, task]], 1)
        shares = tf.split(tf.nn.softmax(tf.matmul(by, gates)), len(of_tasks) + len(of_all), -1)
        others = [
            state if number // self.experts == task else tf.stop_gradient(state)
            for number, state in enumerate(of_tasks)
        ]
        return tf.add_n([share * state for share, state in zip(shares, [*others, *of_all], strict=True)])

    def axes(self) -> list[Axis]:
        """The experts and gates of the tasks, and the shared experts side by side."""
        number = (f"{self.shared} experts",)
        experts = [*self.own_experts.axes_of("task"), *self.shared_experts.axes_of(number)]
        of_tasks = [Axis(gate, 1, "task") for gate in (self.gate_of_own, self.gate_of_shared)]
        return [*experts, *of_tasks, Axis(self.gate_of_own, 2, "task"), Axis(self.gate_of_shared, 2, number)]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "tasks": self.tasks,
            "own": self.own,
            "experts": self.experts,
            "shared": self.shared,
            "units": plain(self.units),
            "activation": keras.activations.serialize(self.activation),
        }
