"""The cleaner `derive`: columns that follow from others of their row."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from mtkit.schema import INTERACTIONS, Address, Column, ColumnKind, Schema
from mtkit.spec import Cleaner, columns_of, no_column, no_table, taken, with_columns
from mtkit.standard.column_cleaners import told_label
from mtkit.standard.row_cleaners import NUMBERS, Mistakes, Tables, is_number

if TYPE_CHECKING:
    import pyarrow as pa

Function = Literal[
    "year", "month", "day", "weekday", "hour", "sin", "cos", "ratio", "difference", "log1p", "days_since", "text_length",
    "extract", "equal",
]  # fmt: skip


class _Takes(NamedTuple):
    """What a function is of.

    Attributes:
        of: kinds of columns that it takes.
        makes: the kind of the column that it makes.
        least: the fewest columns.
        most: the most columns.
        options: what may be said beside.
    """

    of: tuple[ColumnKind, ...]
    makes: ColumnKind
    least: int = 1
    most: int = 1
    options: tuple[str, ...] = ()


_TEXTS: tuple[ColumnKind, ...] = ("text", "categorical", "id")
_FUNCTIONS: Mapping[str, _Takes] = {
    **dict.fromkeys(("year", "month", "day", "weekday", "hour"), _Takes(("time",), "categorical", options=("zone",))),
    **dict.fromkeys(("sin", "cos"), _Takes(("time",), "numeric", options=("zone", "period"))),
    **dict.fromkeys(("ratio", "difference"), _Takes(NUMBERS, "numeric", 2, 2)),
    "log1p": _Takes(NUMBERS, "numeric"),
    "days_since": _Takes(("time",), "numeric", 1, 2),
    "text_length": _Takes(_TEXTS, "numeric"),
    "extract": _Takes(_TEXTS, "categorical", options=("pattern",)),
    "equal": _Takes((*_TEXTS, *NUMBERS), "categorical", 2, 2),
}


def _names(given: Any) -> Any:
    return (given,) if isinstance(given, str) else tuple(given) if isinstance(given, list) else given


def _known_zone(name: str) -> str:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone; expected a name such as 'UTC' or 'Europe/Berlin'") from None
    return name


class Derived(BaseModel):
    """A column that follows from others.

    Attributes:
        function: the function.
        of: its columns: of the table, or of an entity of interactions (`user.signup`).
        zone: time zone of parts of dates, `sin` and `cos`.
        period: of `sin` and `cos`.
        pattern: of `extract`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    function: Function
    of: Annotated[tuple[str, ...], BeforeValidator(_names, json_schema_input_type=str | tuple[str, ...])]
    zone: Annotated[str, AfterValidator(_known_zone)] = "UTC"
    period: Literal["day", "week", "year"] = "day"
    pattern: str = ""

    @model_validator(mode="after")
    def _fits_its_function(self) -> Self:
        takes = _FUNCTIONS[self.function]
        if not takes.least <= len(self.of) <= takes.most:
            expected = str(takes.least) if takes.least == takes.most else f"{takes.least} or {takes.most}"
            raise ValueError(f"{self.function} is of {expected} columns, got {len(self.of)}: of = {list(self.of)}")
        for option in ("zone", "period", "pattern"):
            if option not in takes.options and getattr(self, option) != type(self).model_fields[option].default:
                raise ValueError(f"{option} is no option of {self.function}")
        if self.function == "extract" and not self.pattern:
            raise ValueError("extract needs a `pattern`, such as '^(?P<value>[a-z]+)'")
        return self


class Derive(Cleaner):
    r"""Adds columns that follow from others of their row; each may read those before it.

    - `year`, `month`, `day`, `weekday`, `hour` of a time: a category, the number (0 is Monday), in the time zone `zone`, whose
      summer time is known up to 2037
    - `sin`, `cos` of a time: of its place in the `period`, `"day"`, `"week"` or `"year"`, in the time zone: on a circle the end
      lies beside the beginning
    - `ratio`, `difference` of two columns of numbers: the first by the second, null by 0, or without the second
    - `log1p` of a column of numbers: log(1 + x), null up to -1
    - `days_since` of a time and another: days from the first to the second; of interactions one is enough, up to their own time
    - `text_length` of a text, a category or an id: its characters
    - `extract` of the same: what the named group of `pattern`, a regular expression of RE2, matches first, as in
      `'^(?P<value>\w+)'`; null where nothing does
    - `equal` of two columns: whether they are equal, `true` or `false`

    Where a value is missing, so is what follows from it. Of interactions, `of` may name columns of their entities, as in
    `days_since` of `"user.signup"`. A column that follows from a label, or from its sources, is a source of the label, and
    cannot be a feature.
    """

    table: str = Field(INTERACTIONS, description="`interactions`, or an entity")
    columns: Annotated[Mapping[str, Derived], Field(min_length=1)] = Field(
        description='new column -> `{function = ..., of = ...}`, as in `{hour = {function = "hour", of = "time"}}`'
    )

    def mistakes(self, schema: Schema) -> Mistakes:
        """No such table or columns, columns of another kind, and names that are taken."""
        if message := no_table(schema, self.table):
            yield ("table",), message
            return
        for name, column in self.columns.items():
            found = [("columns", name, *path, message) for path, message in self._wrong(name, column, schema)]
            yield from ((tuple(path), message) for *path, message in found)
            if found:
                return
            schema = self._with(schema, name, column)

    def _wrong(self, name: str, column: Derived, schema: Schema) -> Iterator[tuple[tuple[str, ...], str]]:
        if message := taken(schema, self.table, name):
            yield (), message
        for of in column.of:
            if message := self._unfit(of, column.function, schema):
                yield ("of",), message
        if column.function == "days_since" and len(self._of(column, schema)) < 2:
            yield (
                ("of",),
                "days_since is of two times here, as there is no row's own time; name the time up to which days count",
            )
        if column.function == "extract":
            from mtkit.data.derived_columns import refused_pattern

            if message := refused_pattern(column.pattern):
                yield ("pattern",), message

    def _unfit(self, of: str, function: str, schema: Schema) -> str:
        """Why a function cannot be of a column; empty if it can."""
        kinds, table, name = _FUNCTIONS[function].of, self.table, of
        if (role := Address(of).scope) and table == INTERACTIONS and role in schema.roles:
            table, name = schema.roles[role], Address(of).column
            if message := told_label(schema, table, name):
                return message
        if message := no_column(schema, table, name, kinds):
            return message
        column = columns_of(schema, table)[name]
        if column.multi_label or (column.kind in NUMBERS and function != "equal" and not is_number(column)):
            return f"{of!r} is a label of classes, which are no numbers"
        return ""

    def _of(self, column: Derived, schema: Schema) -> tuple[str, ...]:
        """The columns of a function; of `days_since` with the row's own time."""
        own = schema.time if column.function == "days_since" and self.table == INTERACTIONS else None
        return (*column.of, own) if own and len(column.of) == 1 else column.of

    def _with(self, schema: Schema, name: str, column: Derived) -> Schema:
        made = Column(kind=_FUNCTIONS[column.function].makes)
        return with_columns(schema, self.table, {name: made}, column.of)

    def declares(self, schema: Schema) -> Schema:
        """With the new columns."""
        for name, column in self.columns.items():
            schema = self._with(schema, name, column)
        return schema

    def clean(self, tables: Tables, schema: Schema) -> tuple[Tables, str]:
        """The table with the new columns."""
        from mtkit.data.column_cleaning import set_column
        from mtkit.data.derived_columns import derived

        changed, counts = dict(tables), []
        for name, column in self.columns.items():
            of = [self._column(each, changed, schema) for each in self._of(column, schema)]
            values = derived(column.function, of, **column.model_dump(include={"zone", "period", "pattern"}))
            changed[self.table] = set_column(changed[self.table], name, values)
            counts.append(f"{name} ({values.null_count:,} missing)")
        return {self.table: changed[self.table]}, f"added {', '.join(counts)} to {self.table}"

    def _column(self, of: str, tables: Tables, schema: Schema) -> pa.ChunkedArray:
        from mtkit.data.column_cleaning import looked_up

        rows, role = tables[self.table], Address(of).scope
        if not role or role not in schema.roles or self.table != INTERACTIONS:
            return rows[of]
        found, _ = looked_up(rows[schema.reference(role)], tables[schema.roles[role]], {of: Address(of).column})
        return found[of]
