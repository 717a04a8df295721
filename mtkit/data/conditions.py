"""Which rows of a table a condition holds for."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa

from mtkit.conditions import Test, Where, as_text
from mtkit.data.columns import distinct, is_number, raw
from mtkit.schema import Column
from mtkit.types import Events

_BOUNDED = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt}


def holding(where: Where, table: pa.Table, declared: Mapping[str, Column]) -> np.ndarray:
    """Whether the condition holds, bool `[rows]`.

    Args:
        where: the condition.
        table: has the columns that it looks at.
        declared: what these columns are.
    """
    known = {name: _values(table[name], declared[name]) for name in where.columns}
    tables = (np.logical_and.reduce([_passes(test, *known[name]) for name, test in of.items()]) for of in where.root)
    found: np.ndarray = np.logical_or.reduce(list(tables))
    return found


def _values(column: pa.ChunkedArray, declared: Column) -> tuple[np.ndarray, np.ndarray | slice]:
    """Raw values of a column, and where each row finds its own: texts are compared once for each distinct one."""
    return (raw(column, declared), slice(None)) if is_number(declared) else distinct(column)


def events_where(events: Events, where: Where | None, declared: Mapping[str, Column]) -> Events:
    """The events for which a condition holds, in their order; all of them without one."""
    if where is None:
        return events
    kept = holding(where, events.columns, declared)
    before = np.append(0, np.cumsum(kept))
    return replace(
        events,
        ids={role: values[kept] for role, values in events.ids.items()},
        time=events.time[kept],
        group=events.group[kept],
        columns=events.columns.filter(pa.array(kept)),
        offsets=before[events.offsets],
        weight=None if events.weight is None else events.weight[kept],
    )


def _passes(test: Test, values: np.ndarray, rows: np.ndarray | slice) -> np.ndarray:
    """Whether raw values, strings or numbers, pass a test, for rows that have them."""
    numbers = values.dtype != object
    null: np.ndarray = np.isnan(values) if numbers else np.array([value is None for value in values], bool)
    if test.null:
        return null[rows]
    passed = ~null
    for sign, bound in test.bounds.items():
        passed &= _BOUNDED[sign](values, bound)
    if test.any_of:
        passed &= np.isin(values, _as_held(test.any_of, numbers=numbers))
    if test.none_of:
        passed &= ~np.isin(values, _as_held(test.none_of, numbers=numbers))
    return passed[rows]


def _as_held(values: tuple[bool | int | float | str, ...], *, numbers: bool) -> np.ndarray:
    return np.array(values, np.float32) if numbers else np.array([as_text(value) for value in values], object)
