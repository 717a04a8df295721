"""What columns look like that nobody has declared."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from mtkit.data.column_values import UnfitError, numbers
from mtkit.schema import Column, ColumnKind

#: Characters and shares of distinct values from which on strings are texts.
_LONG, _DISTINCT = 40, 0.5
_DATE = r"^\s*\d{4}[-/.]\d\d?[-/.]\d\d?|^\s*\d\d?[./-]\d\d?[./-]\d{4}"


def guessed(table: pa.Table) -> dict[str, Column]:
    """Name -> what a column looks like: a number, a category, a text or a list.

    Others are left out: times, of which nobody says what happened then, and whole numbers that differ in all rows, which name
    these.
    """
    return {name: Column(kind=kind) for name in table.column_names if (kind := _kind(table[name])) is not None}


def _kind(column: pa.ChunkedArray) -> ColumnKind | None:
    types, kind = pa.types, column.type
    if types.is_dictionary(kind):
        return _kind(column.cast(kind.value_type))
    if types.is_list(kind) or types.is_large_list(kind):
        return "list"
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return _of_text(column.cast(pa.string()))
    is_number = types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
    return "numeric" if is_number and not _names_rows(column) else None


def _of_text(column: pa.ChunkedArray) -> ColumnKind | None:
    known = column.drop_null()
    if len(known) and pc.all(pc.match_substring_regex(known[:1000], _DATE)).as_py():
        return None
    try:
        values = numbers(known)
    except UnfitError:
        long = (pc.mean(pc.utf8_length(known)).as_py() or 0) > _LONG
        return "text" if long and _distinct(known) > _DISTINCT * len(known) else "categorical"
    if values.null_count == len(values):
        return "categorical"
    return None if len(known) == len(column) and _names_rows(values) else "numeric"


def _names_rows(column: pa.ChunkedArray) -> bool:
    """Whether numbers are whole, and differ in all rows."""
    if pa.types.is_boolean(column.type) or column.null_count or _distinct(column) < len(column):
        return False
    values = column.cast(pa.float64())
    return bool(pa.types.is_integer(column.type) or pc.all(pc.equal(pc.floor(values), values)).as_py())


def _distinct(column: pa.ChunkedArray) -> int:
    count: int = pc.count_distinct(column).as_py()
    return count
