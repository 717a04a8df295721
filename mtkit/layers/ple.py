"""Progressive layered extraction: experts that tasks share, and experts of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mtkit.backend import keras, tf
from mtkit.layers.axes import Axis
from mtkit.layers.parallel import Each, ParallelNetworks, Widths, plain
from mtkit.layers.task_states import TaskStates, require_tasks


class _Level(keras.layers.Layer):
    """Experts of the tasks and shared ones on their states of the level before, and gates over them.

    Args:
        tasks: number of tasks.
        own: experts of each task.
        shared: experts that tasks share.
        units: width of each layer of an expert.
        activation: of the experts.
        last: whether no level follows, which would read the shared state.
    """

    def __init__(
        self, tasks: int, own: int, shared: int, units: Widths, activation: Any, last: bool, **options: Any
    ) -> None:
        super().__init__(**options)
        self.tasks, self.own, self.shared, self.last = tasks, own, shared, last
        self.own_experts = ParallelNetworks(tasks * own, units, activation, name="own_experts", dtype=self.dtype_policy)
        self.shared_experts = ParallelNetworks(
            shared, units, activation, name="shared_experts", dtype=self.dtype_policy
        )

    def build(self, shapes: Any) -> None:
        """Creates the gates; those over the experts of all tasks in two parts, so that one part is of the tasks."""
        dim = shapes[0][-1]
        shape = (dim, self.tasks, self.own + self.shared)
        self.gates = self.add_weight("gates", shape, initializer=Each("glorot_uniform"))
        if not self.last:
            self.gate_of_own = self.add_weight("gate_of_own", (dim, self.tasks * self.own))
            self.gate_of_shared = self.add_weight("gate_of_shared", (dim, self.shared))
        super().build(shapes)

    def call(self, inputs: Sequence[tf.Tensor]) -> tuple[list[tf.Tensor], tf.Tensor | None, list[tf.Tensor]]:
        """The states of the tasks, the shared state, and what the shared experts gave.

        Args:
            inputs: the state of each task, and the shared one, `[rows, dim]` each.
        """
        *states, common = inputs
        own = self.own_experts([state for state in states for _ in range(self.own)])
        shared = self.shared_experts(common)
        gates = zip(states, tf.unstack(self.gates, axis=1), strict=True)
        mixed = [
            _mixture(tf.matmul(state, gate), [*own[task * self.own : (task + 1) * self.own], *shared])
            for task, (state, gate) in enumerate(gates)
        ]
        if self.last:
            return mixed, None, shared
        gate = tf.concat([self.gate_of_own, self.gate_of_shared], 1)
        return mixed, _mixture(tf.matmul(common, gate), [*own, *shared]), shared

    def shares(self, states: Sequence[tf.Tensor]) -> tf.Tensor:
        """What each task takes of its own experts, and then of the shared ones: `[rows, tasks, own + shared]`."""
        logits = [tf.matmul(state, gate) for state, gate in zip(states, tf.unstack(self.gates, axis=1), strict=True)]
        return tf.nn.softmax(tf.stack(logits, 1))

    def axes(self) -> list[Axis]:
        """The experts and the gates of the tasks, and the shared experts side by side."""
        number = (f"{self.shared} experts",)
        axes = [*self.own_experts.axes_of("task"), *self.shared_experts.axes_of(number), Axis(self.gates, 1, "task")]
        return axes if self.last else [*axes, Axis(self.gate_of_own, 1, "task"), Axis(self.gate_of_shared, 1, number)]


def _mixture(logits: tf.Tensor, experts: Sequence[tf.Tensor]) -> tf.Tensor:
    """The experts' outputs, weighted by a softmax.

    A sum of scaled outputs, which was faster than products with outputs that are stacked first: each gate sees others.
    """
    shares = tf.split(tf.nn.softmax(logits), len(experts), -1)
    return tf.add_n([share * expert for share, expert in zip(shares, experts, strict=True)])


@keras.saving.register_keras_serializable(package="mtkit")
class Ple(keras.layers.Layer):
    """Experts that tasks share beside experts of their own, on several levels; one level is CGC.

    On each level a task's gate mixes the experts of the task and the shared ones, by the task's state of the level before; on
    all levels but the last a gate over all experts makes the shared state, which the shared experts of the next level
    read. So on the last level the experts of a task learn from that task alone.

    Takes `[rows, dim]`, one state for all tasks, or `[rows, tasks, dim]`. Returns `TaskStates`: `own` is
    `[rows, tasks, units]`, the last width; `cut` has the states with which tasks enter the last level and what its shared
    experts give, `[rows, width]` each.

    Source: Tang et al., Progressive Layered Extraction (PLE): A Novel Multi-Task Learning Model for Personalized
    Recommendations, RecSys 2020, equations 1 to 3 (CGC) and 5 (levels). Deviation: where tasks come with states of their own,
    the shared experts of the first level read the mean of these.

    Args:
        tasks: number of tasks.
        levels: number of levels.
        own: experts of each task on a level.
        shared: experts that tasks share on a level.
        units: width of each layer of an expert; an int is one layer.
        activation: of the experts.
    """

    def __init__(
        self,
        tasks: int,
        levels: int,
        own: int,
        shared: int,
        units: Widths,
        activation: str = "relu",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.tasks, self.own, self.shared, self.units = tasks, own, shared, units
        self.activation = keras.activations.get(activation)
        self.levels = [
            _Level(
                tasks, own, shared, units, activation, number == levels, name=f"level_{number}", dtype=self.dtype_policy
            )
            for number in range(1, levels + 1)
        ]

    def build(self, input_shape: Any) -> None:
        """Checks the input.

        Raises:
            WiringError: the input has states of another number of tasks.
        """
        require_tasks(self.name, input_shape, self.tasks)
        super().build(input_shape)

    def gates(self, inputs: tf.Tensor) -> dict[str, tuple[tf.Tensor, list[str]]]:
        """Level -> what each task takes of each expert, `[rows, tasks, own + shared]`, and the names of these."""
        states, common = self._entering(inputs)
        numbers = {"own": self.own, "shared": self.shared}
        names = [f"{whose} {number}" for whose, count in numbers.items() for number in range(1, count + 1)]
        found = {}
        for level in self.levels:
            found[level.name] = level.shares(states), names
            states, common, _ = level([*states, common])
        return found

    def _entering(self, inputs: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor]:
        """The states of the tasks and the shared one, before the first level."""
        if inputs.shape.rank == 2:
            # A tensor of its own, so that the cut divides the ways of the tasks from that of the shared experts.
            return [tf.identity(inputs)] * self.tasks, inputs
        return tf.unstack(inputs, axis=1), tf.reduce_mean(inputs, axis=1)

    def call(self, inputs: tf.Tensor, training: bool = False) -> TaskStates:
        """The states of the tasks after the last level."""
        states, common = self._entering(inputs)
        entering, shared = states, []
        for level in self.levels:
            entering = states
            states, common, shared = level([*states, common])
        return TaskStates(tf.stack(states, 1), cut=(*{id(state): state for state in entering}.values(), *shared))

    def axes(self) -> list[Axis]:
        """Those of the levels."""
        return [axis for level in self.levels for axis in level.axes()]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "tasks": self.tasks,
            "levels": len(self.levels),
            "own": self.own,
            "shared": self.shared,
            "units": plain(self.units),
            "activation": keras.activations.serialize(self.activation),
        }
