"""Raw tables standardized: every column as it is declared, times in seconds, ids of an entity in one type.

Rows that cannot be used are left out and counted; what was taken to mean something is said in notes; what fits no declaration is
refused, all of it in one message.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtkit.data.column_values import UnfitError, converted, decoded, escaped_quotes, oddities, within_float32
from mtkit.data.id_types import matched
from mtkit.data.list_values import lists
from mtkit.data.times import Times, read_times
from mtkit.errors import DataError
from mtkit.schema import INTERACTIONS, Column
from mtkit.shown import counted
from mtkit.types import Dataset

#: Mistakes that are listed.
_SHOWN = 20


def cleaned(
    dataset: Dataset, unreadable: Mapping[tuple[str, str], tuple[str, ...]] | None = None, *, repeated: bool = False
) -> Dataset:
    """The data set with its declared columns alone, in the types that the rest of mtkit reads.

    An entity without a table, and without declared columns, gets one of the ids that interactions have. Interactions without
    an id or a time, or with a time that cannot be, are left out and counted in `left_out`; those of equal seconds are in the
    order of their full times. What is cleaned already stays as it is.

    Args:
        dataset: the raw tables.
        unreadable: (table, column) -> texts that are read as missing.
        repeated: whether an id may be in several rows of its entity's table, for cleaners are to see them.

    Raises:
        DataError: columns are missing or do not fit their declaration; every mistake in a line of its own.
    """
    return _Cleaning(dataset, unreadable or {}, repeated).done()


@dataclass
class _Cleaning:
    """A data set being cleaned: what is found on the way.

    Attributes:
        raw: the data set as it came.
        unreadable: texts that are read as missing.
        repeated: whether ids may be repeated in tables of entities.
        tables: table -> column -> its values, cleaned.
        notes: what a reader of the results should know.
        mistakes: what fits no declaration.
    """

    raw: Dataset
    unreadable: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    repeated: bool = False
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)
    times: Times | None = None

    def done(self) -> Dataset:
        schema = self.raw.schema
        self._convert(INTERACTIONS, self.raw.interactions, schema.interactions)
        for entity, columns in schema.entities.items():
            if entity in self.raw.entities:
                self._convert(entity, self.raw.entities[entity], {"id": Column(kind="id", entity=entity), **columns})
            elif columns or entity not in schema.roles.values():
                why = f"{', '.join(columns)} of it are declared" if columns else "no interaction refers to it"
                self.mistakes.append(f"{entity}: the data have no such table, and {why}")
        if not self.mistakes:
            for entity in schema.entities:
                self._match(entity)
        if self.mistakes:
            more = len(self.mistakes) - _SHOWN
            raise DataError(
                "\n".join([*self.mistakes[:_SHOWN], *([f"and {more:,} more mistakes"] if more > 0 else [])])
            )
        rows, left_out = self._rows()
        entities = {entity: self._keyed(entity) for entity in schema.entities}
        interactions = pa.table(self.tables[INTERACTIONS])
        return replace(
            self.raw,
            interactions=interactions if rows is None else interactions.combine_chunks().take(pa.array(rows)),
            entities=entities,
            notes=(*self.raw.notes, *self.notes),
            left_out={**self.raw.left_out, **left_out},
        )

    def _convert(self, name: str, table: pa.Table, columns: Mapping[str, Column]) -> None:
        found = self.tables[name] = {}
        for column, declared in columns.items():
            if column not in table.column_names:
                there = ", ".join(table.column_names)
                self.mistakes.append(f"{self.raw.place(name, column)}: declared, but the table has only {there}")
                continue
            try:
                found[column] = self._converted(name, column, self._readable(name, column, table[column]), declared)
            except UnfitError as error:
                row = "" if error.row is None else f", row {error.row + 1:,}"
                self.mistakes.append(f"{self.raw.place(name, column)}{row}: {error} (it is declared {declared.kind})")

    def _readable(self, table: str, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """The column without texts that stand for no value."""
        if not (placeholders := self.unreadable.get((table, name))):
            return column
        text = decoded(column).cast(pa.string())
        found = pc.is_in(pc.utf8_trim_whitespace(text), pa.array(placeholders, pa.string()))
        count = counted(pc.sum(found).as_py() or 0, "value is", "values are")
        self.notes.append(
            f"{self.raw.place(table, name)}: {count} read as missing, {' or '.join(map(repr, placeholders))}"
        )
        return pc.if_else(found, pa.scalar(None, column.type), column)

    def _converted(self, table: str, name: str, column: pa.ChunkedArray, declared: Column) -> pa.ChunkedArray:
        if declared.kind == "time":
            times = read_times(column)
            if times.read_as:
                self.notes.append(f"{self.raw.place(table, name)}: read as {times.read_as}")
            if table == INTERACTIONS:
                self.times = times
            if (apart := times.apart()).any():
                self.notes.append(
                    f"{self.raw.place(table, name)}: {int(apart.sum()):,} times lie beyond a year without any, seen from "
                    f"the others ({_years(times, apart)})"
                )
            return pa.chunked_array([pa.array(times.seconds, mask=~times.known)])
        if declared.listed:
            return self._lists(self.raw.place(table, name), column, declared)
        values, lost = converted(column, declared), 0
        if declared.kind == "categorical" or (declared.kind == "id" and not declared.entity) or declared.classes:
            self.notes += [f"{self.raw.place(table, name)}: {oddity}" for oddity in oddities(values)]
        if escaped := escaped_quotes(values):
            self.notes.append(f"{self.raw.place(table, name)}: {escaped}")
        if declared.kind in ("numeric", "label"):
            values, lost = within_float32(values)
        if lost:
            count = counted(lost, "value counts as missing", "values count as missing")
            self.notes.append(f"{self.raw.place(table, name)}: {count}, infinite or beyond float32 (3.4e38)")
        return values

    def _lists(self, place: str, column: pa.ChunkedArray, declared: Column) -> pa.ChunkedArray:
        values, longer = lists(column, declared)
        if longer:
            which = "heaviest" if declared.weighted else "first in sorted order"
            self.notes.append(f"{place}: {longer:,} rows have more than {declared.length} values; the {which} are read")
        return values

    def _match(self, entity: str) -> None:
        """Brings the ids of an entity's table, and all that refer to it, to one type; without a table, they are its rows."""
        schema = self.raw.schema
        at = {self.raw.place(entity, "id"): (entity, "id")} if entity in self.tables else {}
        for role, of in schema.roles.items():
            if of == entity:
                at[self.raw.place(INTERACTIONS, schema.reference(role))] = (INTERACTIONS, schema.reference(role))
        try:
            columns = matched({place: self.tables[table][name] for place, (table, name) in at.items()})
        except UnfitError as error:
            self.mistakes.append(f"{entity}: {error}")
            return
        for place, (table, name) in at.items():
            self.tables[table][name] = columns[place]
        everything = pa.chunked_array([chunk for column in columns.values() for chunk in column.chunks])
        self.notes += [f"ids of {entity}: {oddity}" for oddity in oddities(everything)]
        if entity in self.tables:
            if self.repeated:
                return
            self._refuse_repeated(entity, self.tables[entity]["id"])
        else:
            self.tables[entity] = {"id": pa.chunked_array([everything.unique().drop_null()])}

    def _refuse_repeated(self, entity: str, ids: pa.ChunkedArray) -> None:
        """Each row of an entity's table has an id of its own."""
        values, counts = pc.value_counts(ids.drop_null()).flatten()
        if not len(repeated := values.filter(pc.greater(counts, 1))):
            return
        rows = np.flatnonzero(pc.equal(ids, repeated[0]).fill_null(pa.scalar(value=False)).to_numpy()) + 1
        self.mistakes.append(
            f"{self.raw.place(entity, 'id')}, row {rows[1]:,}: {repeated[0].as_py()!r} is in row {rows[0]:,} already, and "
            f"{len(repeated):,} ids in all are in several rows; keep one row of each, or let a cleaner make one of them: "
            f'[clean.NAME] use = "one_per_entity", entity = "{entity}"'
        )

    def _rows(self) -> tuple[np.ndarray | None, dict[str, int]]:
        """Numbers of the interactions that can be used, in the order of their times; None = all as they are."""
        count = len(self.raw.interactions)
        kept, left_out = np.ones(count, bool), {}
        for reason, wrong in self._unusable():
            if number := int((wrong & kept).sum()):
                left_out[reason] = number
                kept &= ~wrong
        if count and not kept.any():
            reasons = "; ".join(f"{number:,} {reason}" for reason, number in left_out.items())
            raise DataError(f"{self._where(INTERACTIONS)}: no row can be used: {reasons}")
        order = self.times.order() if self.times else None
        if order is not None:
            return order[kept[order]], left_out
        return (None if kept.all() else np.flatnonzero(kept)), left_out

    def _unusable(self) -> Iterator[tuple[str, np.ndarray]]:
        """Reasons for which interactions are left out: (reason, bool `[interactions]`)."""
        table, schema = self.tables[INTERACTIONS], self.raw.schema
        for name in schema.of_kind("id"):
            yield f"without a value in {name!r}", np.asarray(table[name].is_null().to_numpy(), bool)
        if self.times is not None:
            yield f"without a time in {schema.time!r}", ~self.times.known
            impossible = self.times.impossible()
            years = _years(self.times, impossible)
            yield f"with a time in {schema.time!r} that cannot be, years from all others ({years})", impossible

    def _keyed(self, entity: str) -> pa.Table:
        """An entity's table without the rows that have no id."""
        table = pa.table(
            {**{n: c for n, c in self.tables[entity].items() if n != "id"}, "id": self.tables[entity]["id"]}
        )
        if nulls := table["id"].null_count:
            if nulls == len(table):
                raise DataError(f"{self.raw.place(entity, 'id')}: no row has an id")
            self.notes.append(f"{self.raw.place(entity, 'id')}: left out: {counted(nulls, 'row')} without an id")
            return table.filter(table["id"].is_valid())
        return table

    def _where(self, table: str) -> str:
        origin = self.raw.origins.get(table)
        return origin.name if origin else table


def _years(times: Times, rows: np.ndarray) -> str:
    """The years of selected times, the first of them."""
    years = sorted({_year(second) for second in np.unique(times.seconds[rows]).tolist()})
    return ", ".join(years[:3]) + (", …" if len(years) > 3 else "")


def _year(second: int) -> str:
    try:
        return str(datetime.fromtimestamp(second, UTC).year)
    except (ValueError, OverflowError, OSError):
        return "beyond 9999" if second > 0 else "before 1"
