"""Whether what training is to hide (`train.hide`) is something that rows have, and that tasks predict by."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from mtkit.errors import nearest
from mtkit.schema import CONTEXT, HISTORY, KNOWN, Address, Schema
from mtkit.spec import Encoder, Rows, TaskHead

#: What stands before the name of an encoder of which all that it reads of entities is hidden.
ENCODER = "encoder"


def hides_ids(hide: Collection[str], role: str) -> bool:
    """Whether training hides ids of a role: those that it never sees are then the unknown's, in all that reads them."""
    return role in hide or f"{role}.id" in hide


def hides_in(table: str, tasks: Mapping[str, TaskHead]) -> bool:
    """Whether ids are hidden in the rows of a table: whether all tasks that train on it predict a label."""
    training = [spec for spec in tasks.values() if spec.rows == table]
    return bool(training) and all(spec.predicts for spec in training)


def unfit_hiding(
    hide: Collection[str],
    encoders: Mapping[str, Encoder | None],
    rows: Mapping[str, Rows | None],
    tasks: Mapping[str, TaskHead | None],
    schema: Schema,
) -> Iterator[tuple[str, str]]:
    """Keys that hide nothing: (key, message)."""
    heads = {name: head for name, head in tasks.items() if head}
    ids = [*dict.fromkeys((*schema.roles, *schema.entities))]
    tables = [name for name, spec in rows.items() if spec and not spec.sequence_length and hides_in(name, heads)]
    read = {address for encoder in encoders.values() if encoder for address in map(Address, encoder.reads)}
    columns = sorted(address for address in read if address.scope not in (CONTEXT, HISTORY, KNOWN))
    for what in hide:
        known = [*ids, *columns, *(f"{ENCODER}.{name}" for name in encoders)]
        if what not in known:
            yield what, f"is neither a role, nor what an encoder reads of one, nor an encoder; {nearest(what, known)}"
        elif what in ids and not tables:
            yield (
                what,
                "hides whose rows they are where all tasks of a row table predict labels, and there is no such table",
            )
        elif what.startswith(f"{ENCODER}.") and not _of_entities(encoders[what.partition(".")[2]]):
            yield what, "reads nothing of users or items that could be hidden"


def _of_entities(encoder: Encoder | None) -> bool:
    """Whether an encoder reads something of an entity."""
    return encoder is None or any(Address(a).scope not in (CONTEXT, HISTORY, KNOWN) for a in encoder.reads)
