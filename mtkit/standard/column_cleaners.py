"""Cleaners of columns: values that change, and columns that come from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mtkit.conditions import Scalar
from mtkit.durations import in_words
from mtkit.errors import nearest
from mtkit.schema import INTERACTIONS, Column, ColumnKind, Schema
from mtkit.shown import counted
from mtkit.spec import Cleaner, Duration, Name, columns_of, no_column, no_table, taken, with_columns
from mtkit.standard.row_cleaners import Mistakes, Tables, is_number
from mtkit.standard.sources import Encoding

#: Kinds of columns that may be joined, of files and of entities.
_OF_FILES: tuple[ColumnKind, ...] = ("categorical", "numeric", "text", "list", "label", "time")
_OF_ENTITIES: tuple[ColumnKind, ...] = ("categorical", "numeric", "text", "list")


class _OnColumns(Cleaner):
    """Changes values of some columns of a table."""

    table: str = Field(INTERACTIONS, description="`interactions`, or an entity")
    columns: Annotated[tuple[str, ...], Field(min_length=1)] = Field(description="columns of the table")

    def _unfit(self, schema: Schema, kinds: tuple[ColumnKind, ...]) -> Mistakes:
        """No such table, and columns that are not there or of another kind."""
        if message := no_table(schema, self.table):
            yield ("table",), message
            return
        for index, name in enumerate(self.columns):
            if message := no_column(schema, self.table, name, kinds):
                yield ("columns", index), message
            elif columns_of(schema, self.table)[name].listed:
                yield ("columns", index), f"{name!r} has several values a row; expected columns of one"


class Join(Cleaner):
    """Joins columns of a file to a table, by a key that the file has once for each value; rows without a match get nulls.

    The file is read like those of the source `files`. What it says counts as known at any time, like the attributes of entities.
    """

    file: Path = Field(description="file, folder or pattern")
    key: str = Field("id", description="column of the file by which its rows are found")
    columns: Annotated[Mapping[str, Column], Field(min_length=1)] = Field(
        description="columns of the file that are joined: name -> `{kind = ...}`"
    )
    table: str = Field(INTERACTIONS, description="what they are joined to: `interactions`, or an entity")
    on: str = Field(
        "", description="column of the table that has the keys, ids or categories; default: the ids of an entity"
    )
    separator: Annotated[str, Field(max_length=1)] = Field("", description="as of the source `files`")
    encoding: Encoding = Field("utf-8", description="of text files, by Python's name")

    def _on(self) -> str:
        return self.on or ("id" if self.table != INTERACTIONS else "")

    def mistakes(self, schema: Schema) -> Mistakes:
        """No such table or key, names that are taken, and kinds that cannot be joined."""
        if message := no_table(schema, self.table):
            yield ("table",), message
            return
        if message := no_column(schema, self.table, self._on(), ("id", "categorical")):
            yield ("on",), message
        for name, column in self.columns.items():
            if message := taken(schema, self.table, name):
                yield ("columns", name), message
            elif column.kind not in _OF_FILES:
                yield ("columns", name), f"{name!r} is declared as {column.kind}; expected {' or '.join(_OF_FILES)}"
            elif column.kind == "time" and self.table == INTERACTIONS:
                yield ("columns", name), f"interactions have one time, their own; join {name!r} to an entity"

    def declares(self, schema: Schema) -> Schema:
        """With the joined columns."""
        return with_columns(schema, self.table, self.columns, (self._on(),))

    def clean(self, tables: Tables, schema: Schema) -> tuple[Tables, str]:
        """The table with the columns of the file."""
        from mtkit.data.column_cleaning import looked_up, read_side, set_column
        from mtkit.data.text_files import Reading

        side, notes = read_side(self.file, self.key, self.columns, Reading(self.separator, self.encoding))
        table = tables[self.table]
        found, missing = looked_up(table[self._on()], side, {name: name for name in self.columns})
        for name, values in found.items():
            table = set_column(table, name, values)
        note = f"joined {', '.join(found)} to {self.table}; {missing:,} of {counted(len(table), 'row')} have no match"
        return {self.table: table}, "; ".join((note, *notes))


class JoinEntity(Cleaner):
    """Joins columns of an entity's table to the interactions, by their ids: for conditions, and for `derive`.

    Encoders need no such columns: they read `item.category`.
    """

    role: Name = Field(description="the role, or the entity, whose ids are looked up")
    columns: Annotated[Mapping[str, str], Field(min_length=1)] = Field(
        description='name among the interactions -> column of the entity, as in `{item_category = "category"}`'
    )

    def mistakes(self, schema: Schema) -> Mistakes:
        """No such role or columns, names that are taken, and columns that would tell a label."""
        if self.role not in schema.roles:
            yield ("role",), f"interactions have no role {self.role!r}; {nearest(self.role, schema.roles)}"
            return
        entity = schema.roles[self.role]
        for name, column in self.columns.items():
            message = taken(schema, INTERACTIONS, name) or no_column(schema, entity, column, _OF_ENTITIES)
            if message := message or told_label(schema, entity, column):
                yield ("columns", name), message

    def declares(self, schema: Schema) -> Schema:
        """With the joined columns."""
        of = schema.entities[schema.roles[self.role]]
        return with_columns(schema, INTERACTIONS, {name: of[column] for name, column in self.columns.items()})

    def clean(self, tables: Tables, schema: Schema) -> tuple[Tables, str]:
        """The interactions with the columns of the entity."""
        from mtkit.data.column_cleaning import looked_up, set_column

        rows = tables[INTERACTIONS]
        keys = rows[schema.reference(self.role)]
        found, missing = looked_up(keys, tables[schema.roles[self.role]], self.columns)
        for name, values in found.items():
            rows = set_column(rows, name, values)
        total = counted(len(rows), "interaction")
        return {INTERACTIONS: rows}, f"joined {', '.join(found)} of {self.role}; {missing:,} of {total} have no match"


class Sessions(Cleaner):
    """Makes sessions of interactions: a column of ids, which change where a user does nothing for longer than `gap`.

    A session is a group like a basket: what is in it is no history for the rest of it.
    """

    gap: Duration = Field(description="longest time between two interactions of a session")
    name: str = Field("session", description="name of the column")

    def mistakes(self, schema: Schema) -> Mistakes:
        """No times, nobody who acts, groups that there are already, and a name that is taken."""
        if not schema.time or not schema.roles:
            yield (), "sessions are of who acts, by time; interactions need ids of entities, and a column of kind time"
        if schema.group:
            yield (
                (),
                f"interactions are in groups already, by {schema.group!r}; declare that column categorical, or leave it out",
            )
        if message := taken(schema, INTERACTIONS, self.name):
            yield ("name",), message

    def declares(self, schema: Schema) -> Schema:
        """With the column of ids."""
        return with_columns(schema, INTERACTIONS, {self.name: Column(kind="id")})

    def clean(self, tables: Tables, schema: Schema) -> tuple[Tables, str]:
        """The interactions with their sessions."""
        import pyarrow.compute as pc

        from mtkit.data.column_cleaning import sessions, set_column

        rows = tables[INTERACTIONS]
        acting = next(iter(schema.roles))
        numbers = sessions(rows[schema.reference(acting)], rows[schema.time], int(self.gap.total_seconds()))
        count = (pc.max(numbers).as_py() if len(rows) else -1) + 1
        note = f"{counted(len(rows), 'interaction')} are in {counted(count, 'session')} of {acting}"
        return {INTERACTIONS: set_column(rows, self.name, numbers)}, f"{note}, by gaps above {in_words(self.gap)}"


class CanonicalIds(Cleaner):
    """Writes ids in one form, in all tables that refer to the entity; ids that are integers stay as they are.

    Ids of which nothing is left are missing. Rows of an entity's table whose ids are the same then are made one by
    `one_per_entity`, behind this.
    """

    entities: tuple[Name, ...] = Field((), description="whose ids; default: of all entities")
    steps: Annotated[tuple[Literal["strip", "nfkc", "casefold"], ...], Field(min_length=1)] = Field(
        ("strip", "nfkc", "casefold"),
        description="what is done, in this order: without white space at the ends, in the normal form NFKC of Unicode, without "
        "differences of case",
    )

    def mistakes(self, schema: Schema) -> Mistakes:
        """No such entities."""
        for index, entity in enumerate(self.entities):
            if entity not in schema.entities:
                yield ("entities", index), f"there is no entity {entity!r}; {nearest(entity, schema.entities)}"

    def clean(self, tables: Tables, schema: Schema) -> tuple[Tables, str]:
        """The tables with ids in one form."""
        from mtkit.data.column_cleaning import canonical, id_columns, set_column

        changed, notes = dict(tables), []
        for entity in self.entities or schema.entities:
            places, known, left = id_columns(schema, entity), set[object](), set[object]()
            for table, column in places:
                before = changed[table][column]
                after = canonical(before, self.steps)
                changed[table] = set_column(changed[table], column, after)
                known |= {*before.unique().drop_null().to_pylist()}
                left |= {*after.unique().drop_null().to_pylist()}
            notes.append(f"{counted(len(known), 'id')} of {entity} are {len(left):,}")
        return changed, f"{', '.join(notes)}, by {', '.join(self.steps)}"


class Clip(_OnColumns):
    """Numbers that lie beyond bounds become the bound, or missing."""

    at_least: float | None = Field(None, description="the least number")
    at_most: float | None = Field(None, description="the largest number")
    outside: Literal["clip", "null"] = Field("clip", description="what becomes of other numbers: the bound, or none")

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError("there is no bound; give at_least, at_most, or both")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"at_least = {self.at_least:g} is above at_most = {self.at_most:g}")
        return self

    def mistakes(self, schema: Schema) -> Mistakes:
        """Columns of no numbers."""
        yield from self._unfit(schema, ("numeric", "label"))
        for index, name in enumerate(self.columns):
            if columns_of(schema, self.table).get(name, Column(kind="numeric")).classes:
                yield ("columns", index), f"{name!r} is a label of classes, which are no numbers"

    def clean(self, tables: Tables, schema: Schema) -> tuple[Tables, str]:
        """The table with numbers within the bounds."""
        from mtkit.data.column_cleaning import clipped, set_column

        table, counts = tables[self.table], []
        for name in self.columns:
            values, beyond = clipped(table[name], self.at_least, self.at_most, null=self.outside == "null")
            table = set_column(table, name, values)
            counts.append(f"{counted(beyond, 'value')} of {name}")
        what = "missing" if self.outside == "null" else "the bound"
        return {self.table: table}, f"beyond the bounds, and {what} now: {', '.join(counts)}"


class ToNull(_OnColumns):
    """Values that stand for none become missing: `-`, `unknown`, `-1`.

    Texts in columns of numbers or times are missing as they are read, before the first cleaner; all else is in the order of the
    cleaners.
    """

    values: Annotated[tuple[Scalar, ...], Field(min_length=1)] = Field(description="what stands for no value")

    def mistakes(self, schema: Schema) -> Mistakes:
        """Columns that are not there, or cannot be missing."""
        yield from self._unfit(schema, ("id", "categorical", "numeric", "text", "time", "label"))

    def unreadable(self, schema: Schema) -> Mapping[tuple[str, str], tuple[str, ...]]:
        """Texts in columns of numbers, and whatever stands in columns of times."""
        found = {}
        for name in self.columns:
            column = columns_of(schema, self.table).get(name)
            if column and column.kind == "time":
                found[self.table, name] = tuple(str(value) for value in self.values)
            elif column and is_number(column) and (texts := tuple(filter(_is_no_number, self.values))):
                found[self.table, name] = tuple(map(str, texts))
        return found

    def clean(self, tables: Tables, schema: Schema) -> tuple[Tables, str]:
        """The table without these values."""
        from mtkit.data.column_cleaning import set_column, without_values

        table, counts = tables[self.table], []
        for name in self.columns:
            declared = columns_of(schema, self.table)[name]
            numbers = is_number(declared)
            values = [value for value in self.values if not (numbers and _is_no_number(value))]
            if declared.kind != "time" and values:
                column, count = without_values(table[name], values, numbers=numbers)
                table = set_column(table, name, column)
                counts.append(f"{counted(count, 'value')} of {name}")
        said = ", ".join(counts) if counts else "0 values, as all were missing when they were read"
        return {self.table: table}, f"{' or '.join(map(repr, self.values))}, and missing now: {said}"


def _is_no_number(value: Scalar) -> bool:
    try:
        float(value)
    except ValueError:
        return True
    return False


def told_label(schema: Schema, entity: str, name: str) -> str:
    """Why a column of an entity would tell a label of it; empty if it would not."""
    for label, column in schema.entities[entity].items():
        if label == name and column.kind == "label":
            return f"{name!r} is a label of {entity}, and cannot be a feature"
        if name in column.sources:
            return f"{name!r} is a source of label {label!r} of {entity}, and cannot be a feature"
    return ""
