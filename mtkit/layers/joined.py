"""What heads make of a view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mtkit.backend import tf
from mtkit.errors import WiringError
from mtkit.heads.prediction import side_by_side


def joined(view: Mapping[str, tf.Tensor], names: Sequence[str]) -> tf.Tensor:
    """The named entries of a view side by side, in the order of `names`.

    Args:
        view: name -> `[rows, dim]`, or `[rows]` for the prediction of a task with a binary label.
        names: which entries; others are ignored.

    Returns:
        `[rows, sum of dims]`.
    """
    return side_by_side([view[name] for name in names])


def summed(view: Mapping[str, tf.Tensor], names: Sequence[str], task: str) -> tf.Tensor:
    """The sum of the named entries of a view, `[rows, dim]`.

    Args:
        view: name -> `[rows, dim]`.
        names: which entries.
        task: whose view it is, for the message.

    Raises:
        WiringError: they are not of one width.
    """
    widths = {name: int(view[name].shape[-1]) for name in names}
    if len(set(widths.values())) > 1:
        shown = ", ".join(f"{name} {width}" for name, width in widths.items())
        raise WiringError(
            f"task {task}: its embeddings are added up and need one width, got {shown}; give their encoders one `dim`, or the "
            "task a `dim` of its own"
        )
    return tf.add_n([view[name] for name in names])
