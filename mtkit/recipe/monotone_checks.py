"""What would undo that a prediction is held to a direction, as far as declarations tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from mtkit.errors import nearest
from mtkit.recipe.source_text import Mistake
from mtkit.schema import KNOWN, Address, Schema
from mtkit.spec import Correlation, Encoder, TaskHead


def unfit_directions(
    encoders: Mapping[str, Encoder | None],
    correlations: Mapping[str, Correlation | None],
    tasks: Mapping[str, TaskHead | None],
    depends: Callable[[str], frozenset[Address]],
    schema: Schema,
) -> Iterator[Mistake]:
    """Columns that have no direction, and other ways from such a column to a prediction that is held to one.

    Args:
        encoders: by name; None = not valid.
        correlations: the same.
        tasks: the same.
        depends: from an embedding to all addresses that it depends on.
        schema: the declared columns, and groups that preprocessors make of some.
    """
    held = {name: spec.monotone_in for name, spec in encoders.items() if spec and spec.monotone_in}
    columns = schema.features()
    for name, addresses in held.items():
        for address in addresses:
            made = address.scope == KNOWN or address in schema.groups
            if made or columns[address].kind != "numeric":
                message = f"{address} is no column of kind numeric, whose values alone have a direction"
                yield Mistake(("encoder", name, "reads"), message)
    for name, head in tasks.items():
        for embedding in head.raised_by if head else ():
            if embedding not in held:
                message = (
                    f"{embedding!r} is no encoder that is held to a direction (`monotone`); {nearest(embedding, held)}"
                )
                yield Mistake(("task", name, "rising"), message)
                continue
            if between := _between(embedding, correlations):
                message = f"correlation.{between} works on {embedding!r}, and would undo its direction; name others in its `on`"
                yield Mistake(("task", name, "rising"), message)
            yield from _other_ways(name, head, embedding, held[embedding], depends, schema)


def _between(embedding: str, correlations: Mapping[str, Correlation | None]) -> str | None:
    """The first correlation that changes an embedding on its way to the heads."""
    of_each = {name: spec for name, spec in correlations.items() if spec and spec.apply != "pair"}
    return next((name for name, spec in of_each.items() if not spec.on or embedding in spec.on), None)


def _other_ways(
    name: str,
    head: TaskHead | None,
    embedding: str,
    held: tuple[Address, ...],
    depends: Callable[[str], frozenset[Address]],
    schema: Schema,
) -> Iterator[Mistake]:
    """Inputs of a head that depend on a column which it is to follow in one direction alone."""
    for read in head.reads() if head else ():
        of = {part for address in depends(read.name) for part in (address, *schema.parts(address))}
        if read.name not in (head.raised_by if head else ()) and (both := of & {*held}):
            message = (
                f"{read.name!r} depends on {min(both)}, too, which {embedding!r} holds to a direction; leave it out"
            )
            yield Mistake(("task", name, read.key), message)
