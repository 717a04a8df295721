"""Cleaners: what is done to tables once they are read, before anything else sees them (no NumPy, no Arrow at import)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING, ClassVar

from mtkit.errors import nearest
from mtkit.schema import INTERACTIONS, Column, ColumnKind, Schema
from mtkit.spec.base import Spec

if TYPE_CHECKING:
    import pyarrow as pa


class Cleaner(Spec):
    """Changes tables, and what is declared of them. All that follows in a recipe knows the changed tables alone.

    Tables are given by name, `interactions` or an entity, in the types that mtkit reads: times int64 seconds since 1970-01-01
    UTC, numbers as integers or float64, ids of an entity int64 or strings in all tables, categories strings, integers or
    booleans, missing values null. Interactions have ids and times, in the order of the data. The key of an entity's table is
    `id`, and an id may be in several rows. An entity without a table of its own has one of the ids in the interactions, which
    follows these.
    """

    kind: ClassVar[str] = "cleaner"

    @property
    def as_of(self) -> date | None:
        """A day (UTC) of which what is done to earlier rows depends on nothing later; None = it has none."""
        return None

    def mistakes(self, schema: Schema) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """What does not fit the declared columns: (path within its table of the recipe, message)."""
        yield from ()

    def declares(self, schema: Schema) -> Schema:
        """The declared columns afterwards; depends on nothing but the options and the columns before."""
        return schema

    def unreadable(self, schema: Schema) -> Mapping[tuple[str, str], tuple[str, ...]]:
        """(table, column) -> texts that are read as missing where they stand in the source's numbers and times.

        Without it such text is refused before any cleaner sees the tables.
        """
        return {}

    def clean(self, tables: Mapping[str, pa.Table], schema: Schema) -> tuple[Mapping[str, pa.Table], str]:
        """The tables that it changes, with at least the columns that it declares; and what it did, in words with counts.

        Args:
            tables: `interactions` and every entity, under the schema.
            schema: the declared columns before.

        Raises:
            DataError: the values do not fit.
        """
        raise NotImplementedError


def columns_of(schema: Schema, table: str) -> dict[str, Column]:
    """The declared columns of `interactions` or an entity, whose key is `id`; none where there is no such table."""
    if table == INTERACTIONS:
        return dict(schema.interactions)
    key = {"id": Column(kind="id", entity=table)}
    return key | dict(schema.entities[table]) if table in schema.entities else {}


def no_table(schema: Schema, table: str) -> str:
    """Why there is no table of this name; empty if there is one."""
    known = (INTERACTIONS, *schema.entities)
    return "" if table in known else f"there is no table {table!r}; {nearest(table, known)}"


def no_column(schema: Schema, table: str, name: str, kinds: Collection[ColumnKind] = ()) -> str:
    """Why a table that there is has no such column of one of these kinds; empty if it has."""
    columns = columns_of(schema, table)
    known = [column for column, declared in columns.items() if not kinds or declared.kind in kinds]
    if name in known:
        return ""
    if name not in columns:
        return f"{name!r} is no column of {table}; {nearest(name, known)}"
    return f"{name!r} is declared as {columns[name].kind}; expected {' or '.join(kinds)}: {nearest(name, known)}"


def with_columns(schema: Schema, table: str, columns: Mapping[str, Column], of: Collection[str] = ()) -> Schema:
    """The schema with more columns of a table.

    Args:
        schema: the columns before.
        table: `interactions`, or an entity.
        columns: name -> column.
        of: columns of the table from which they follow: where a label is among these, or follows from them, so that they would
            tell it, the new columns are sources of the label, and no features.
    """
    known = {INTERACTIONS: schema.interactions, **schema.entities}
    told = {
        name: column.model_copy(update={"sources": (*column.sources, *columns)})
        for name, column in known[table].items()
        if column.kind == "label" and not {name, *column.sources}.isdisjoint(of)
    }
    known[table] = {**known[table], **told, **columns}
    return Schema(interactions=known.pop(INTERACTIONS), entities=known, known=schema.known)


def taken(schema: Schema, table: str, name: str) -> str:
    """Why a new column of a table cannot have this name; empty if it can."""
    if name in columns_of(schema, table):
        return f"{table} has a column {name!r} already; give the new one another name"
    plain = name.replace("_", "").isalnum() and name.isascii()
    return "" if plain else f"expected a name of letters, digits and underscores, got {name!r}"
