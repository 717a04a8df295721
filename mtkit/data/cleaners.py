"""What a recipe's cleaners do to tables that are read: one after another, with what they say of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time

import numpy as np
import pyarrow as pa

from mtkit.errors import DataError
from mtkit.schema import INTERACTIONS, Schema
from mtkit.shown import counted
from mtkit.spec import Cleaner, Cut
from mtkit.types import Dataset


def midnight(day: date) -> int:
    """Seconds since 1970-01-01 UTC of the begin of a day."""
    return int(datetime.combine(day, time.min, tzinfo=UTC).timestamp())


def unreadable(schema: Schema, cleaners: Mapping[str, Cleaner]) -> dict[tuple[str, str], tuple[str, ...]]:
    """(table, column) of the source -> texts that its cleaners take as missing, and that could not be read otherwise."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for cleaner in cleaners.values():
        for place, texts in cleaner.unreadable(schema).items():
            found[place] = (*found.get(place, ()), *texts)
    return found


def applied(dataset: Dataset, cleaners: Mapping[str, Cleaner], made: Collection[str] = ()) -> Dataset:
    """The data set after its cleaners, under the schema that they declare.

    Each adds a note of what it did. Interactions that it takes away, or leaves without an id or a time, are counted in
    `left_out`.

    Args:
        dataset: as of `cleaning.cleaned`.
        cleaners: name -> cleaner, in their order.
        made: entities whose table is made of the ids in the interactions.

    Raises:
        DataError: values do not fit a cleaner, or it leaves no interactions.
    """
    for name, cleaner in cleaners.items():
        dataset = _applied(dataset, name, cleaner, made)
    return dataset


def late(cleaners: Mapping[str, Cleaner], valid: Cut) -> list[str]:
    """Notes of cleaners that look at rows up to a day which comes after the cut for validation, where it is one by time."""
    return [
        f"clean.{name}: looks at rows before {cleaner.as_of}, and validation begins on {_day(valid.cut)}: training for it knows "
        "what it should not; set `before` to that day, or an earlier one"
        for name, cleaner in cleaners.items()
        if valid.clock is None and cleaner.as_of and midnight(cleaner.as_of) > valid.cut
    ]


def _day(seconds: int) -> date:
    return datetime.fromtimestamp(seconds, UTC).date()


def _applied(dataset: Dataset, name: str, cleaner: Cleaner, made: Collection[str]) -> Dataset:
    before = {INTERACTIONS: dataset.interactions, **dataset.entities}
    try:
        changed, note = cleaner.clean(before, dataset.schema)
    except DataError as error:
        raise DataError(f"clean.{name}: {error}") from error
    schema = cleaner.declares(dataset.schema)
    tables = {table: _declared(values, table, schema) for table, values in {**before, **changed}.items()}
    left_out = {f"by clean.{name}": len(before[INTERACTIONS]) - len(tables[INTERACTIONS])}
    tables[INTERACTIONS], without = _complete(tables[INTERACTIONS], schema)
    for entity in schema.entities:
        tables[entity], note = _keyed(tables[entity], note)
    _refuse_missing_weights(tables, name, schema)
    if len(before[INTERACTIONS]) and not len(tables[INTERACTIONS]):
        raise DataError(f"clean.{name}: none of {len(before[INTERACTIONS]):,} interactions are left; {note}")
    for entity in made:
        if not schema.entities[entity]:
            columns = _id_columns(entity, tables[INTERACTIONS], schema)
            if entity in changed or columns != _id_columns(entity, before[INTERACTIONS], schema):
                tables[entity] = _of_ids(columns)
    return replace(
        dataset,
        interactions=tables.pop(INTERACTIONS),
        entities=tables,
        schema=schema,
        notes=(*dataset.notes, f"clean.{name}: {note}"),
        left_out=_sum(dataset.left_out, left_out, without),
    )


def _declared(table: pa.Table, name: str, schema: Schema) -> pa.Table:
    """The declared columns, the key of an entity last."""
    return table.select([*schema.interactions] if name == INTERACTIONS else [*schema.entities[name], "id"])


def _complete(table: pa.Table, schema: Schema) -> tuple[pa.Table, dict[str, int]]:
    """The interactions that have ids and a time, and reasons for which others are left out -> how many."""
    kept, left_out = np.ones(len(table), bool), {}
    for name in filter(None, (*schema.of_kind("id"), schema.time)):
        if table[name].null_count:
            there = np.asarray(table[name].is_valid().to_numpy(), bool)
            what = "a time" if name == schema.time else "a value"
            left_out[f"without {what} in {name!r}"] = int((kept & ~there).sum())
            kept &= there
    return (table if kept.all() else table.filter(pa.array(kept))), left_out


def _keyed(table: pa.Table, note: str) -> tuple[pa.Table, str]:
    """The rows of an entity that have an id, and what is said of others."""
    if not (nulls := table["id"].null_count):
        return table, note
    return table.filter(table["id"].is_valid()), f"{note}; {counted(nulls, 'row')} without an id are left out"


def _refuse_missing_weights(tables: Mapping[str, pa.Table], cleaner: str, schema: Schema) -> None:
    for table, values in tables.items():
        for name in schema.of_kind("weight", table):
            if nulls := values[name].null_count:
                raise DataError(
                    f"clean.{cleaner}: {table}.{name} is declared as weight, and {counted(nulls, 'row')} would be without one; "
                    "leave such rows out before"
                )


def _id_columns(entity: str, interactions: pa.Table, schema: Schema) -> list[pa.ChunkedArray]:
    return [interactions[schema.reference(role)] for role, of in schema.roles.items() if of == entity]


def _of_ids(columns: Sequence[pa.ChunkedArray]) -> pa.Table:
    """The table of an entity that has none: the ids that interactions have."""
    chunks = [chunk for column in columns for chunk in column.chunks]
    return pa.table({"id": pa.chunked_array(chunks, columns[0].type).unique()})


def _sum(*counts: Mapping[str, int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for of in counts:
        for reason, number in of.items():
            if number:
                found[reason] = found.get(reason, 0) + number
    return found
