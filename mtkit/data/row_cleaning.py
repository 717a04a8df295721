"""Rows of tables that are taken away, or made one of several: what the cleaners of `mtkit.standard.row_cleaners` do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mtkit.data.cleaners import midnight
from mtkit.data.columns import codes
from mtkit.schema import INTERACTIONS, Schema
from mtkit.shown import counted

Tables = Mapping[str, pa.Table]

#: Numbers of keys of several columns that int64 holds, at most.
_MOST_KEYS = 2**62


def within(times: pa.ChunkedArray, since: date | None, until: date | None) -> np.ndarray:
    """Whether times lie in `[since, until)`, bool `[rows]`; what is missing lies nowhere."""
    inside = np.asarray(times.is_valid().to_numpy(), bool)
    seconds = times.fill_null(0).to_numpy()
    if since is not None:
        inside &= seconds >= midnight(since)
    if until is not None:
        inside &= seconds < midnight(until)
    return inside


def with_rows(tables: Tables, schema: Schema, table: str, kept: np.ndarray) -> tuple[Tables, str]:
    """Leaves some rows of a table, bool `[rows]`; with an entity that is left in no row go the interactions that are about it."""
    rows = tables[table].filter(pa.array(kept))
    note = f"left out {len(kept) - len(rows):,} of {counted(len(kept), 'row')} of {table}"
    if table == INTERACTIONS or len(rows) == len(kept):
        return {table: rows}, note
    lost = tables[table]["id"].filter(pa.array(~kept)).unique()
    lost = lost.filter(pc.invert(pc.is_in(lost, value_set=rows["id"].combine_chunks())))
    about = tables[INTERACTIONS]
    for role, entity in schema.roles.items():
        if entity == table:
            about = about.filter(pc.invert(pc.is_in(about[schema.reference(role)], value_set=lost)))
    count = len(tables[INTERACTIONS]) - len(about)
    return {table: rows, INTERACTIONS: about}, f"{note}, and {counted(count, 'interaction')} with what they are about"


def without_duplicates(
    table: pa.Table, by: Sequence[str], keep: str, summed: Sequence[str], clock: str | None, before: date | None
) -> tuple[pa.Table, str]:
    """One row of those that have the same values.

    Args:
        table: the rows.
        by: columns whose values are compared; null is a value.
        keep: `first` or `last`, in the order of time, then of the data.
        summed: columns of numbers: the row that is kept has the sum of all.
        clock: the column of times, if there is one.
        before: rows before this day and others are not compared with one another.
    """
    columns = [codes(table[name]) for name in by]
    if before is not None:
        columns.append(within(table[clock], None, before).astype(np.int64))
    key = _one_key(columns, len(table))
    order = None if clock is None or clock in by else _time_order(table[clock])
    repeated = _repeated(key, keep, order)
    note = (
        f"{int(repeated.sum()):,} of {counted(len(table), 'row')} repeat others by {', '.join(by)}; the {keep} is kept"
    )
    if summed:
        group = pd.factorize(key)[0]
        for name in summed:
            table = table.set_column(table.column_names.index(name), name, _sums(table[name], group))
        note += f", with the sum of {', '.join(summed)}"
    return table.filter(pa.array(~repeated)), note


def _one_key(columns: Sequence[np.ndarray], rows: int) -> np.ndarray:
    """Numbers int64 `[rows]` that are equal where all columns of numbers from -1 on are."""
    key, size = np.zeros(rows, np.int64), 1
    for column in columns:
        values = int(column.max(initial=-1)) + 2
        if size * values > _MOST_KEYS:
            key = pd.factorize(key)[0]
            size = int(key.max(initial=-1)) + 1
        key, size = key * values + column + 1, size * values
    return key


def _repeated(key: np.ndarray, keep: str, order: np.ndarray | None) -> np.ndarray:
    if order is None:
        return np.asarray(pd.Series(key).duplicated(keep=keep), bool)
    found = np.zeros(len(key), bool)
    found[order] = pd.Series(key[order]).duplicated(keep=keep).to_numpy()
    return found


def _time_order(times: pa.ChunkedArray) -> np.ndarray | None:
    """Row numbers by time, missing ones first, ties as they come; None where rows are in this order."""
    seconds = times.fill_null(np.iinfo(np.int64).min).to_numpy()
    return None if (np.diff(seconds) >= 0).all() else np.argsort(seconds, kind="stable")


def _sums(column: pa.ChunkedArray, group: np.ndarray) -> pa.Array:
    """The sum of each row's group, null where all are missing; integers stay such."""
    there = np.asarray(column.is_valid().to_numpy(), bool)
    numbers = column.fill_null(0).to_numpy()
    total = np.zeros(int(group.max(initial=-1)) + 1, numbers.dtype)
    np.add.at(total, group, numbers)
    known = np.bincount(group, there, len(total)) > 0
    return pa.array(total[group], mask=~known[group])


def k_core(table: pa.Table, least: Mapping[str, int], counted_rows: np.ndarray) -> tuple[pa.Table, int]:
    """The interactions of ids that have enough of them among those that are left, by each column; and after how many rounds.

    Args:
        table: the interactions.
        least: column of ids -> how many interactions each needs.
        counted_rows: bool `[rows]`, which of them count.
    """
    ids = {name: codes(table[name]) for name in least}
    rows, rounds = np.arange(len(table)), 0
    while True:
        before = len(rows)
        for name, number in least.items():
            values = ids[name][rows]
            counts = np.bincount(values[counted_rows[rows]], minlength=int(ids[name].max(initial=-1)) + 1)
            rows = rows[counts[values] >= number]
        if len(rows) == before:
            break
        rounds += 1
    return (table if len(rows) == len(table) else table.take(pa.array(rows))), rounds


def one_per_entity(
    table: pa.Table, takes: Mapping[str, str], clock: str | None, before: date | None
) -> tuple[pa.Table, str]:
    """One row of each id, in the order in which ids come first.

    Args:
        table: with the key `id`.
        takes: column -> `first`, `latest`, `most_frequent` or `mean` of its values that are not missing.
        clock: the column of times, for `latest`.
        before: rows from this day on, or without a time, are not looked at; ids that have no others have no values.
    """
    group = codes(table["id"])
    rows = np.arange(len(table)) if before is None else np.flatnonzero(within(table[clock], None, before))
    order = None if clock is None else _time_order(table[clock])
    in_time = rows if order is None else order[np.isin(order, rows)]
    size = int(group.max(initial=-1)) + 1
    columns = {name: _taken(table[name], how, group, (rows, in_time), size) for name, how in takes.items()}
    note = f"{counted(len(table), 'row')} are {counted(size, 'row')}, one of each id"
    if before is not None:
        note += f"; {counted(len(table) - len(rows), 'row')} from {before} on, or without a time, are not looked at"
    return pa.table({**columns, "id": table["id"].unique()}), note


def _taken(
    column: pa.ChunkedArray, how: str, group: np.ndarray, rows: tuple[np.ndarray, np.ndarray], size: int
) -> pa.Array | pa.ChunkedArray:
    there = np.asarray(column.is_valid().to_numpy(), bool)
    as_they_come, in_time = (of[there[of]] for of in rows)
    if how == "mean":
        values = column.to_numpy()[as_they_come].astype(np.float64)
        counts = np.bincount(group[as_they_come], minlength=size)
        sums = np.bincount(group[as_they_come], values, size)
        return pa.array(sums / np.maximum(counts, 1), mask=counts == 0)
    chosen = np.full(size, -1)
    # Of several values for one place NumPy keeps the last.
    if how == "latest":
        chosen[group[in_time]] = in_time
    elif how == "first":
        chosen[group[as_they_come][::-1]] = as_they_come[::-1]
    else:
        for places, found in _most_frequent(codes(column), group, as_they_come):
            chosen[places] = found
    return column.take(pa.array(np.maximum(chosen, 0), mask=chosen < 0))


def _most_frequent(values: np.ndarray, group: np.ndarray, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Groups, and a row of each with its most frequent value; of several the one that comes first."""
    if not len(rows):
        return
    pairs = group[rows] * (values.max() + 1) + values[rows]
    _, first, counts = np.unique(pairs, return_index=True, return_counts=True)
    order = np.lexsort((-first, counts))
    yield group[rows][first[order]], rows[first[order]]
