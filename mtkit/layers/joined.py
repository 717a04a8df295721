"""What heads make of a view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mtkit.backend import tf


def joined(view: Mapping[str, tf.Tensor], names: Sequence[str]) -> tf.Tensor:
    """The named entries of a view side by side, in the order of `names`.

    Args:
        view: name -> `[rows, dim]`, or `[rows]` for the prediction of a task with a binary label.
        names: which entries; others are ignored.

    Returns:
        `[rows, sum of dims]`.
    """
    columns = [view[name] for name in names]
    return tf.concat([column[:, None] if column.shape.rank == 1 else column for column in columns], axis=-1)
