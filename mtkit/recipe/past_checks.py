"""Whether what is asked of past events can be known of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mtkit.conditions import Where
from mtkit.errors import nearest
from mtkit.recipe.toml_positions import KeyPath
from mtkit.schema import HISTORY, Address, Schema
from mtkit.spec import Encoder, Rows


def unfit_pasts(
    rows: Mapping[str, Rows | None], encoders: Mapping[str, Encoder | None], schema: Schema
) -> Iterator[tuple[KeyPath, str]]:
    """Where row tables and encoders ask for what is not known when an event happens: (path, message)."""
    for name, table in rows.items():
        for message in _unknown_then(table.counted if table else None, schema):
            yield ("rows", name), f"the past that it counts: {message}"
    yield from _too_short(rows, encoders)
    for name, encoder in encoders.items():
        if encoder is not None:
            yield from ((("encoder", name, *path), message) for path, message in _of_encoder(encoder, schema))


def _too_short(
    rows: Mapping[str, Rows | None], encoders: Mapping[str, Encoder | None]
) -> Iterator[tuple[KeyPath, str]]:
    """Encoders that would read less than the past that rows in sequences have there."""
    longest, table = max(((spec.sequence_length, name) for name, spec in rows.items() if spec), default=(0, ""))
    for name, encoder in encoders.items():
        if encoder is not None and encoder.reads_sequences and encoder.history_length < longest:
            read = f"it reads {encoder.history_length} past events"
            yield (
                ("encoder", name, "length"),
                f"{read}, and sequences of rows.{table} have up to {longest}; expected as many",
            )


def _of_encoder(encoder: Encoder, schema: Schema) -> Iterator[tuple[KeyPath, str]]:
    """Columns of past events without the past, and conditions that cannot choose events."""
    reads = [Address(address) for address in encoder.reads]
    for past in (Address.of(HISTORY, item) for item in [*schema.roles][1:2]):
        for index, address in enumerate(reads):
            if address.scope == HISTORY and past not in reads[: index + 1]:
                yield ("reads", index), f"{address} is read of the events of {past!r}; name that before it"
    for where in encoder.past_conditions:
        at = "where" if where == encoder.history_where else "edges"
        yield from (((at,), message) for message in _unknown_then(where, schema))
    if encoder.neighborhood and (friends := encoder.neighborhood.friends):
        acting = next(iter(schema.roles))
        lists = schema.of_kind("list", schema.roles[acting])
        if friends not in lists:
            yield ("friends",), f"the {acting} has no column of lists {friends!r}; {nearest(friends, lists)}"


def _unknown_then(where: Where | None, schema: Schema) -> Iterator[str]:
    """Why a condition cannot choose past events."""
    for name in where.columns if where else ():
        if name in schema.interactions and (message := schema.not_of_past(name)):
            yield message
