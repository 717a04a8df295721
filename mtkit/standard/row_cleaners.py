"""Cleaners of rows: which are there, and one in the place of several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from mtkit.conditions import Where
from mtkit.errors import nearest
from mtkit.recipe.condition_checks import unfit_columns
from mtkit.schema import INTERACTIONS, Column, ColumnKind, Schema
from mtkit.shown import counted
from mtkit.spec import Cleaner, Name, PositiveInt, columns_of, no_column, no_table

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

Tables = Mapping[str, "pa.Table"]
Mistakes = Iterator[tuple[tuple[str | int, ...], str]]

#: Kinds of columns that may hold numbers.
NUMBERS: tuple[ColumnKind, ...] = ("numeric", "label", "weight")
_TIMES: tuple[ColumnKind, ...] = ("time",)


class _Chosen(Cleaner):
    """Rows by a condition, by their time, or both."""

    table: str = Field(
        INTERACTIONS, description="`interactions`, or an entity, whose rows take their interactions along"
    )
    where: Where | None = Field(None, description="a condition on the columns of the table; default: any row")
    since: date | None = Field(None, description="first day of the rows that are meant (UTC), by the time of the table")
    until: date | None = Field(None, description="day after the last one")

    def mistakes(self, schema: Schema) -> Mistakes:
        """No condition, no such table or column, and times that the table does not have."""
        if self.where is None and self.since is None and self.until is None:
            yield (), "which rows are meant is not said; give `where`, `since` or `until`"
        if message := no_table(schema, self.table):
            yield ("table",), message
            return
        whose = f"the table {self.table}"
        for message in unfit_columns(self.where, columns_of(schema, self.table), whose) if self.where else ():
            yield ("where",), message
        for key in ("since", "until"):
            if getattr(self, key) and len(schema.of_kind("time", self.table)) != 1:
                yield (key,), f"{whose} has not one column of kind time, by which its rows could be chosen"

    def _meant(self, tables: Tables, schema: Schema) -> np.ndarray:
        import numpy as np

        from mtkit.data.conditions import holding
        from mtkit.data.row_cleaning import within

        table = tables[self.table]
        meant = np.ones(len(table), bool)
        if self.where:
            meant &= holding(self.where, table, columns_of(schema, self.table))
        if self.since or self.until:
            meant &= within(table[schema.of_kind("time", self.table)[0]], self.since, self.until)
        return meant


class Keep(_Chosen):
    """Keeps the rows for which a condition holds, and leaves out all others."""

    def clean(self, tables: Tables, schema: Schema) -> tuple[Tables, str]:
        """Leaves the rows that are meant."""
        from mtkit.data.row_cleaning import with_rows

        return with_rows(tables, schema, self.table, self._meant(tables, schema))


class Drop(_Chosen):
    """Leaves out the rows for which a condition holds; a null holds for `null = true` alone, so it stays elsewhere."""

    def clean(self, tables: Tables, schema: Schema) -> tuple[Tables, str]:
        """Leaves the rows that are not meant."""
        from mtkit.data.row_cleaning import with_rows

        return with_rows(tables, schema, self.table, ~self._meant(tables, schema))


class Duplicates(Cleaner):
    """Of interactions that have the same values, keeps one: the first or the last in the order of time, then of the data.

    A missing value is like another missing one. What the first is depends on nothing later, but `last` and `sum` look ahead: a
    row that trains may hold what came after the cut. With `before`, rows before that day and others are not compared.
    """

    by: tuple[str, ...] = Field((), description="columns of the interactions that are compared; default: all of them")
    keep: Literal["first", "last"] = Field("first", description="which row is kept")
    sum: tuple[str, ...] = Field(
        (), description="columns of numbers: the row that is kept has the sum of all, missing ones as 0"
    )
    before: date | None = Field(
        None, description="a day (UTC), such as the first of validation; default: all rows are compared"
    )

    @property
    def as_of(self) -> date | None:
        """`before`."""
        return self.before

    def mistakes(self, schema: Schema) -> Mistakes:
        """No such columns, sums of what is compared, and days without times."""
        for index, name in enumerate(self.by):
            if message := no_column(schema, INTERACTIONS, name):
                yield ("by", index), message
        for index, name in enumerate(self.sum):
            if message := _no_number(schema, INTERACTIONS, name):
                yield ("sum", index), message
            elif name in self.by:
                yield ("sum", index), f"{name!r} is compared (`by`), so it is the same in all rows of which one is kept"
        if self.before and not schema.time:
            yield ("before",), "interactions have no times"

    def clean(self, tables: Tables, schema: Schema) -> tuple[Tables, str]:
        """One row of several."""
        from mtkit.data.row_cleaning import without_duplicates

        by = self.by or tuple(name for name in schema.interactions if name not in self.sum)
        rows, note = without_duplicates(tables[INTERACTIONS], by, self.keep, self.sum, schema.time, self.before)
        if (self.keep == "last" or self.sum) and not self.before:
            note += "; rows to be evaluated are compared with those that train"
        return {INTERACTIONS: rows}, note


class KCore(Cleaner):
    """Keeps interactions of users and items that have at least `k` of them, again and again, until all have.

    Published data sets are such cores of all interactions, those of the test too: who is left in training is then known by what
    happens later. With `before`, interactions before that day count alone, which is as of that day; then what comes later
    is left in or out by these counts.
    """

    k: PositiveInt | Mapping[Name, PositiveInt] = Field(
        5, description="least number of interactions, of all roles or by role, as in `{user = 5, item = 3}`"
    )
    before: date | None = Field(
        None,
        description="a day (UTC), such as the first of validation, before which interactions count; default: all count",
    )

    @property
    def as_of(self) -> date | None:
        """`before`."""
        return self.before

    def mistakes(self, schema: Schema) -> Mistakes:
        """No such roles, and days without times."""
        if not schema.roles:
            yield (), "interactions have no ids of entities that could be counted"
        for role in self.k if isinstance(self.k, Mapping) else ():
            if role not in schema.roles:
                yield ("k", role), f"interactions have no role {role!r}; {nearest(role, schema.roles)}"
        if self.before and not schema.time:
            yield ("before",), "interactions have no times"

    def clean(self, tables: Tables, schema: Schema) -> tuple[Tables, str]:
        """The interactions that are left."""
        import numpy as np

        from mtkit.data.row_cleaning import k_core, within

        rows = tables[INTERACTIONS]
        least = self.k if isinstance(self.k, Mapping) else dict.fromkeys(schema.roles, self.k)
        counts = (
            within(rows[schema.time], None, self.before) if self.before and schema.time else np.ones(len(rows), bool)
        )
        left, rounds = k_core(rows, {schema.reference(role): number for role, number in least.items()}, counts)
        wanted = " and ".join(f"{number} of each {role}" for role, number in least.items())
        which = f"before {self.before}" if self.before else "over all, those to be evaluated too"
        gone = f"left out {len(rows) - len(left):,} of {len(rows):,} interactions in {counted(rounds, 'round')}"
        return {INTERACTIONS: left}, f"{gone}; at least {wanted} are left, counted {which}"


Taken = Literal["first", "latest", "most_frequent", "mean"]


class OnePerEntity(Cleaner):
    """Makes one row of each id in an entity's table, column by column, of the values that are not missing.

    Tables of entities are descriptions without a date: what they say counts as known at any time. Where rows have a time,
    `before` leaves out those from that day on, so that the description is as of it; an id that has no others is described by
    nothing.
    """

    entity: Name = Field(description="the entity")
    take: Taken = Field(
        "most_frequent",
        description="which value of each column: `first` in the table, `latest` by `time`, `most_frequent` (of equals the "
        "first), or the `mean` of columns of numbers, with the most frequent of the others",
    )
    columns: Mapping[str, Taken] = Field({}, description="column -> the same, for some columns")
    time: str = Field("", description="column of kind time, for `latest` and `before`; default: the only one")
    before: date | None = Field(
        None, description="a day (UTC), such as the first of validation; default: all rows are looked at"
    )

    @property
    def as_of(self) -> date | None:
        """`before`."""
        return self.before

    def mistakes(self, schema: Schema) -> Mistakes:
        """No such entity or columns, means of what is no number, and no times."""
        if self.entity not in schema.entities:
            yield ("entity",), f"there is no entity {self.entity!r}; {nearest(self.entity, schema.entities)}"
            return
        for name, how in self.columns.items():
            if name not in schema.entities[self.entity]:
                yield (
                    ("columns", name),
                    f"{self.entity} has no column {name!r}; {nearest(name, schema.entities[self.entity])}",
                )
            elif how == "mean" and (message := _no_number(schema, self.entity, name)):
                yield ("columns", name), message
        if self.time:
            if message := no_column(schema, self.entity, self.time, _TIMES):
                yield ("time",), message
        elif not self._clock(schema):
            message = (
                f"the table {self.entity} has not one column of kind time, by which this is told; name one as `time`"
            )
            yield from (((key,), message) for key in self._timed())

    def _timed(self) -> Iterator[str]:
        """Options that need a time."""
        if self.take == "latest":
            yield "take"
        if "latest" in self.columns.values():
            yield "columns"
        if self.before:
            yield "before"

    def _clock(self, schema: Schema) -> str | None:
        known = schema.of_kind("time", self.entity)
        return self.time or (known[0] if len(known) == 1 else None)

    def clean(self, tables: Tables, schema: Schema) -> tuple[Tables, str]:
        """The table with one row of each id."""
        from mtkit.data.row_cleaning import one_per_entity

        takes = {name: self._how(name, column) for name, column in schema.entities[self.entity].items()}
        table, note = one_per_entity(tables[self.entity], takes, self._clock(schema), self.before)
        return {self.entity: table}, f"{self.entity}: {note}"

    def _how(self, name: str, column: Column) -> Taken:
        default: Taken = "most_frequent" if self.take == "mean" and not is_number(column) else self.take
        return self.columns.get(name, default)


def is_number(column: Column) -> bool:
    """Whether a column holds numbers, one a row."""
    return column.kind in NUMBERS and not column.classes and not column.multi_label


def _no_number(schema: Schema, table: str, name: str) -> str:
    """Why a column does not hold numbers; empty if it does."""
    if message := no_column(schema, table, name, NUMBERS):
        return message
    return "" if is_number(columns_of(schema, table)[name]) else f"{name!r} is a label of classes, which are no numbers"
