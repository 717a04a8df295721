"""Gates by which a scenario scales embeddings, and a person the layers of the tasks' networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mtkit.backend import keras, tf
from mtkit.errors import WiringError
from mtkit.layers.axes import Axis
from mtkit.layers.parallel import ParallelDense, Widths, plain, widths
from mtkit.layers.task_states import TaskStates, require_tasks


@keras.saving.register_keras_serializable(package="mtkit")
class PepNet(keras.layers.Layer):
    """Scales embeddings by gates of the scenario, and each layer of a network for each task by gates of who is asked.

    A gate is U(x) = 2 sigmoid(relu(x W + b) W' + b'), so that it begins near 1. With D the embeddings of the scenario, E all
    others, P those of `personal`, each side by side, and sg what lets no gradient through: O = U(D, sg(E)) ⊗ E. The network of
    task t begins with O, and H_t of each of its layers becomes U_t(P, sg(O)) ⊗ H_t; hidden layers of gates are shared by tasks.

    Takes a list of embeddings `[rows, width]`, or `[rows, tasks, width]`. Returns `TaskStates`: `own` is
    `[rows, tasks, units]`, the last width; `cut` has O and the hidden layers of the tasks' gates.

    Source: Chang et al., PEPNet: Parameter and Embedding Personalized Network for Infusing with Personalized Prior Information,
    KDD 2023: Gate NU, EPNet and PPNet. Deviation: layers are gated where they end, the last too, and not where they begin.

    Args:
        tasks: number of tasks.
        domain: places of the scenario's embeddings in the list.
        personal: places of those that gate the networks of the tasks.
        units: width of each layer of a task's network.
        activation: of these layers.
    """

    def __init__(
        self,
        tasks: int,
        domain: Sequence[int],
        personal: Sequence[int],
        units: Widths,
        activation: str = "relu",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.tasks, self.domain, self.personal, self.units = tasks, list(domain), list(personal), units
        self.activation = keras.activations.get(activation)
        self.layers = [self._parallel(width, activation, f"layer_{i}") for i, width in enumerate(widths(units))]
        self.gates = [self._parallel(width, "sigmoid", f"gates_{i}") for i, width in enumerate(widths(units))]
        self.hidden = [self._dense(width, "relu", f"hidden_{i}") for i, width in enumerate(widths(units))]

    def _parallel(self, width: int, activation: str, name: str) -> ParallelDense:
        return ParallelDense(self.tasks, width, activation, name=name, dtype=self.dtype_policy)

    def _dense(self, width: int, activation: str, name: str) -> Any:
        return keras.layers.Dense(width, activation, name=name, dtype=self.dtype_policy)

    def build(self, input_shape: Any) -> None:
        """Creates the gate of the embeddings, which is as wide as they are.

        Raises:
            WiringError: the input has states of another number of tasks, or all embeddings are the scenario's.
        """
        for shape in input_shape:
            require_tasks(self.name, shape, self.tasks)
        dim = sum(shape[-1] for place, shape in enumerate(input_shape) if place not in self.domain)
        if not dim:
            raise WiringError(f"{self.name}: all embeddings are the scenario's; name others that it is to gate")
        self.domain_hidden, self.domain_gate = (
            self._dense(dim, "relu", "of_domain"),
            self._dense(dim, "sigmoid", "gate"),
        )
        super().build(input_shape)

    def call(self, inputs: Sequence[tf.Tensor], training: bool = False) -> TaskStates:
        """The states of the tasks after the last layer."""
        domain = [inputs[place] for place in self.domain]
        embedded = tf.concat([state for place, state in enumerate(inputs) if place not in self.domain], -1)
        gate = self.domain_gate(self.domain_hidden(tf.concat([*domain, tf.stop_gradient(embedded)], -1)))
        gated = 2 * gate * embedded
        who = tf.concat([*(inputs[place] for place in self.personal), tf.stop_gradient(gated)], -1)
        hidden = [layer(who) for layer in self.hidden]
        states: Any = _each(gated)
        for layer, gates, of_layer in zip(self.layers, self.gates, hidden, strict=True):
            states = [2 * gate * state for gate, state in zip(gates(_each(of_layer)), layer(states), strict=True)]
        return TaskStates(tf.stack(states, 1), cut=(gated, *hidden))

    def axes(self) -> list[Axis]:
        """The networks of the tasks, and their gates."""
        return [axis for layer in (*self.layers, *self.gates) for axis in layer.axes_of("task")]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "tasks": self.tasks,
            "domain": self.domain,
            "personal": self.personal,
            "units": plain(self.units),
            "activation": keras.activations.serialize(self.activation),
        }


def _each(state: tf.Tensor) -> Any:
    """One state for all tasks as it is, or those of the tasks in a list."""
    return state if state.shape.rank == 2 else tf.unstack(state, axis=1)
