"""What a correlation may hand on beside the states of the tasks."""

from __future__ import annotations

from typing import Any, NamedTuple

from mtkit.backend import tf
from mtkit.errors import WiringError


class TaskStates(NamedTuple):
    """The output of a correlation's layer that has more to say than a tensor.

    Attributes:
        own: `[rows, tasks, dim]`, the states of the tasks; or `[rows, dim]`, one state for all.
        shared: a state beside those of the tasks, of any width, which the next correlation on the embedding is called with
            (`shared=`) if it says so (`Correlation.takes_shared`); None = none.
        cut: the last tensors that several tasks read: every way from the layer's inputs to its output leads through exactly
            one of them. Empty = its inputs.
        apart: the states of the tasks one by one, `[rows, dim]` each, where they were made so; empty = `own` is taken apart.
    """

    own: tf.Tensor
    shared: tf.Tensor | None = None
    cut: tuple[tf.Tensor, ...] = ()
    apart: tuple[tf.Tensor, ...] = ()


def task_states(output: tf.Tensor | TaskStates) -> TaskStates:
    """What a layer returned, whether it says more than a tensor or not."""
    return output if isinstance(output, TaskStates) else TaskStates(output)


def states_of(layer: Any, inputs: Any, parts: bool, **options: Any) -> TaskStates:
    """What a layer makes of its inputs.

    Args:
        layer: a correlation's.
        inputs: of the layer.
        parts: whether gradients of single tasks are asked for; a layer that has `parts` is told, and says where tasks part.
        options: of its call.
    """
    told = {"parts": True} if parts and getattr(layer, "parts", False) else {}
    return task_states(layer(inputs, **told, **options))


def require_tasks(name: str, input_shape: Any, tasks: int) -> None:
    """Refuses states of another number of tasks than a layer has.

    Raises:
        WiringError: the input is `[rows, tasks, dim]` with another number.
    """
    if len(input_shape) == 3 and input_shape[1] != tasks:
        raise WiringError(f"{name}: expected the states of {tasks} tasks, got those of {input_shape[1]}")
