"""Embeddings on their way through the correlations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mtkit.backend import tf


class Lane(NamedTuple):
    """An embedding on its way through the correlations.

    Attributes:
        own: `[rows, dim]`, one state for all tasks, or `[rows, tasks, dim]`.
        tasks: the tasks along its axis.
        shared: the state that the last correlation handed on beside it.
        cut: the last tensors that tasks have in common; never empty.
    """

    own: tf.Tensor
    tasks: tuple[str, ...]
    shared: tf.Tensor | None
    cut: tuple[tf.Tensor, ...]

    def of(self, tasks: tuple[str, ...]) -> tf.Tensor:
        """The state for some of its tasks."""
        if self.own.shape.rank == 2 or tasks == self.tasks:
            return self.own
        return tf.gather(self.own, [self.tasks.index(task) for task in tasks], axis=1)


def beginning(state: tf.Tensor) -> Lane:
    """Where an encoder's output sets out."""
    # A tensor of its own: what other encoders read of the same state is no part of this lane, nor of its cut.
    state = tf.identity(state)
    return Lane(state, (), None, (state,))


def last_in_common(own: tf.Tensor, read: Sequence[tf.Tensor]) -> tuple[tf.Tensor, ...]:
    """What tasks have in common last: one state for all of them, or what their own states are made of."""
    return (own,) if own.shape.rank == 2 else tuple(read)


def by_task(states: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """The states with an axis of tasks, if one of them has it."""
    tasks = next((state.shape[1] for state in states if state.shape.rank == 3), None)
    if tasks is None:
        return list(states)
    return [s if s.shape.rank == 3 else tf.repeat(s[:, None], tasks, axis=1) for s in states]
