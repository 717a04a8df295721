"""What layers of components are held to whenever they are called: exact shapes, types of numbers, what they are given."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mtkit.backend import tf
from mtkit.errors import MtkitError, WiringError, shortage
from mtkit.feed.batch import Batch
from mtkit.recipe.blame import blamed, is_own, said

#: Numbers of a variable that is looked at whether it is 0.
_LARGEST = 1 << 20

Place = tuple[str, str]
"""The keys of a component's table: `("encoder", "user")`."""


@contextlib.contextmanager
def calling(place: Place, spec: Any, given: Mapping[str, Any] | None = None) -> Iterator[None]:
    """A call into the layer of a component.

    Args:
        place: its table.
        spec: its declaration.
        given: what it is called with by name; None = nothing that has names.

    Raises:
        ComponentError: the layer of a plugin raised what is no `MtkitError`.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, MtkitError) or is_own(spec) or shortage(error):
            raise
        raise blamed(place, spec, error, hint=_undeclared(error, given)) from error


def _undeclared(error: Exception, given: Mapping[str, Any] | None) -> str:
    """What to say of a name that a layer asks for and is not given."""
    if not isinstance(error, KeyError) or given is None or (name := said(error)) in given:
        return ""
    return (
        f"it is given {', '.join(given) or 'nothing'}, and not {name!r}, which its declaration does not read (`reads`)"
    )


def require(place: Place, what: str, tensor: Any, shape: Sequence[int | None], layer: Any = None) -> None:
    """Refuses what is not float numbers of a shape.

    Args:
        place: the component's table.
        what: the output.
        tensor: as it was returned.
        shape: None = any length.
        layer: whose precision it may have instead of float32.

    Raises:
        WiringError: it is no tensor, or of another shape or type.
    """
    name = ".".join(place)
    if not tf.is_tensor(tensor):
        raise WiringError(f"{name}: expected {what}, {_shape(shape)}, got {type(tensor).__name__}, which is no tensor")
    if not tensor.shape.is_compatible_with(tf.TensorShape(shape)):
        raise WiringError(f"{name}: expected {what}, {_shape(shape)}, got {_shape(tensor.shape)}")
    allowed = dict.fromkeys(("float32", getattr(layer, "compute_dtype", "float32")))
    if tensor.dtype.name not in allowed:
        raise WiringError(f"{name}: expected {what} of type {' or '.join(allowed)}, got {tensor.dtype.name}")


def wake(variables: Iterable[Any]) -> list[Any]:
    """Gives variables that are all 0 other values, for what begins with a gate of 0 shows no fault; returns these variables."""
    asleep = [
        v for v in variables if v.dtype.is_floating and v.shape.num_elements() <= _LARGEST and not tf.reduce_any(v != 0)
    ]
    for variable in asleep:
        places = tf.range(1, 1 + variable.shape.num_elements(), dtype=tf.float32)
        variable.assign(tf.cast(tf.reshape(0.3 + 0.1 * tf.sin(places), variable.shape), variable.dtype))
    return asleep


@contextlib.contextmanager
def awake(variables: Iterable[Any]) -> Iterator[None]:
    """While entered, variables that are all 0 have other values."""
    asleep = wake(variables)
    try:
        yield
    finally:
        for variable in asleep:
            variable.assign(tf.zeros_like(variable))


def rows_of(batch: Batch) -> int | None:
    """How many rows a batch has, where that is known before it is computed."""
    columns = (*batch.ids.values(), batch.present, batch.time, *batch.given.values())
    found = next((column for column in columns if column is not None), None)
    return None if found is None or found.shape.rank in (None, 0) else found.shape[0]


def _shape(shape: Any) -> str:
    return f"[{', '.join('rows' if n is None else str(n) for n in shape)}]"
