"""Whether encoders of a past can know what they read of its events."""

from __future__ import annotations

from collections.abc import Iterator

from mtkit.recipe.toml_positions import KeyPath
from mtkit.schema import HISTORY, Address, Schema
from mtkit.spec import Encoder


def unfit_pasts(encoder: Encoder | None, schema: Schema) -> Iterator[tuple[KeyPath, str]]:
    """Columns of past events without the past, or that are not known when an event happens: (path, message)."""
    reads = [Address(address) for address in encoder.reads] if encoder else []
    for item in [*schema.roles][1:2]:
        past = Address.of(HISTORY, item)
        for index, address in enumerate(reads):
            if address.scope == HISTORY and past not in reads[: index + 1]:
                yield ("reads", index), f"{address} is read of the events of {past!r}; name that before it"
    where = encoder.history_where if encoder else None
    for name in where.columns if where else ():
        if name in schema.interactions and (message := schema.not_of_past(name)):
            yield ("where",), message
