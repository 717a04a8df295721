"""Values of columns by which the past is looked at, as numbers: those of events, of rows, and of several columns as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtkit.data.columns import plain
from mtkit.schema import CONTEXT, Address
from mtkit.spec import KeyColumn
from mtkit.types import Fold, RowTable


def key_column(fold: Fold, address: Address) -> KeyColumn:
    """The values of an address, as numbers in their order; of the rows' own columns, those before the cut."""
    if address.scope == CONTEXT:
        before = pa.array(fold.events.time < fold.cut)
        values = _distinct(_strings(fold.events.columns[address.column].filter(before)))
        return KeyColumn(address, len(values) + 1, tuple(values.to_pylist()), None)
    catalog = fold.catalog(address.scope)
    if address.column == "id":
        return KeyColumn(address, len(catalog), None, np.arange(len(catalog)))
    column = _strings(catalog.columns[address.column])
    values = _distinct(column)
    return KeyColumn(address, len(values) + 1, tuple(values.to_pylist()), _places(column, values))


def of_events(fold: Fold, column: KeyColumn) -> np.ndarray:
    """The number of each event's value, int64 `[events]`."""
    if column.rows is not None:
        numbers: np.ndarray = column.rows[fold.events.ids[column.address.scope]]
        return numbers
    return _places(_strings(fold.events.columns[column.address.column]), pa.array(column.values, pa.string()))


def of_rows(table: RowTable, column: KeyColumn) -> np.ndarray:
    """The number of each row's value, int64 `[rows]`."""
    if column.rows is not None:
        numbers: np.ndarray = column.rows[table.ids[column.address.scope]]
        return numbers
    values = pa.array(column.values, pa.string())
    return _places(pa.array(table.context[column.address.column], pa.string()), values)


def code_of(columns: Sequence[KeyColumn], numbers: Sequence[np.ndarray]) -> np.ndarray:
    """Numbers of several columns as one int64 `[rows]`, the last one fastest; 0 where one of them is 0."""
    code, known = np.zeros(len(numbers[0]), np.int64), np.ones(len(numbers[0]), bool)
    for column, number in zip(columns, numbers, strict=True):
        code = code * column.size + number
        known &= number > 0
    return np.where(known, code, 0)


def _strings(column: pa.ChunkedArray) -> pa.Array:
    strings = plain(column).cast(pa.string())
    return strings.combine_chunks() if isinstance(strings, pa.ChunkedArray) else strings


def _distinct(column: pa.Array) -> pa.Array:
    """The distinct values in their order, without null; an empty one is none."""
    values = pc.unique(column).drop_null()
    return values.filter(pc.not_equal(values, "")).sort()


def _places(column: pa.Array, values: pa.Array) -> np.ndarray:
    """1 + the place of each value among the values, 0 if it is not there."""
    found: np.ndarray = pc.index_in(column, value_set=values).fill_null(-1).to_numpy(zero_copy_only=False)
    return found.astype(np.int64) + 1
