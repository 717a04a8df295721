"""Whether options do something, and whether columns for requests are those of the catalog."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import ValidationError

from mtkit.spec import BuildContext, Encoder, Spec
from mtkit.testing.assertions import assert_equal


def check_options(spec: Spec, observe: Callable[[Spec], Any], skip: Sequence[str] = ()) -> None:
    """Each option that has a number, a truth value or one of several words changes something that is observed.

    Args:
        spec: the component.
        observe: from a spec to what can be seen of it: arrays, numbers, texts, and lists and dictionaries of these; the same for
            equal specs.
        skip: options that change what cannot be observed so.
    """
    seen = observe(spec)
    assert _same(seen, observe(spec)), "what is observed is not the same twice; draw by a seed"
    for name in type(spec).model_fields:
        others = [] if name in skip else [made for value in _others(spec, name) if (made := _with(spec, name, value))]
        changed = [other for other in others if not _same(seen, observe(other))]
        assert changed or not others, f"option {name!r} of {type(spec).__name__} changes nothing that is observed"


def _others(spec: Spec, name: str) -> Iterator[Any]:
    """Other values of an option, as far as its type tells."""
    value, annotation = getattr(spec, name), type(spec).model_fields[name].annotation
    if typing.get_origin(annotation) is typing.Literal:
        yield from (word for word in typing.get_args(annotation) if word != value)
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, 2 * value + 3)
    elif isinstance(value, float):
        yield from (value / 2 + 0.1, value / 4 + 0.2)


def _with(spec: Spec, name: str, value: Any) -> Spec | None:
    """The spec with another value; None where it does not take that."""
    values = {key: getattr(spec, key) for key in type(spec).model_fields} | {name: value}
    try:
        return type(spec).model_validate(values)
    except ValidationError:
        return None


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Mapping):
        return isinstance(other, Mapping) and one.keys() == other.keys() and all(_same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if hasattr(one, "shape"):
        first, second = np.asarray(one), np.asarray(other)
        numbers = first.dtype != object and first.dtype.kind in "fiub"
        return first.shape == second.shape and bool(
            np.allclose(first, second, rtol=1e-6, atol=1e-7, equal_nan=True) if numbers else (first == second).all()
        )
    return bool(one == other)


def check_derivation(spec: Encoder, context: BuildContext, inputs: Mapping[str, Any] | None = None) -> None:
    """`derivation` gives for the entities of the catalog what `derive` gives, and `derive` draws from no global random state.

    Args:
        spec: the encoder.
        context: with the raw columns that it reads.
        inputs: name -> what a request carries for each row of the catalog but the first, the unknown; default: the raw columns
            of the addresses that the names stand for (`item_text` for `item.text`).
    """
    from mtkit.backend import tf
    from mtkit.testing.assertions import assert_draws_apart

    with assert_draws_apart("derive"):
        derived = spec.derive(context)
    derivation = spec.derivation(context)
    if derivation is None:
        return
    given = inputs or {name: _raw(spec, context, name) for name in derivation.inputs}
    found = derivation({name: tf.constant(values) for name, values in given.items()})
    assert found.keys() == derived.keys(), f"derive gives {sorted(derived)}, derivation {sorted(found)}"
    for address, values in derived.items():
        assert_equal(found[address], values[1:], f"{address} by derivation and by derive")


def _raw(spec: Encoder, context: BuildContext, name: str) -> np.ndarray:
    address = next((read for read in spec.reads if read.replace(".", "_") == name), None)
    assert address is not None, f"derivation has an input {name!r} that is no address of reads; give its values"
    values: np.ndarray = context.column(address.scope, address.column)[1:]
    if values.dtype == object:
        return np.array(["" if value is None else value for value in values.tolist()], object)
    return values
