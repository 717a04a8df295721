"""Columns of the raw interactions as numbers, each encoded once, and what is asked of such numbers without sorting them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtkit.data.columns import codes, plain, raw, seconds
from mtkit.schema import Schema
from mtkit.spec import Cut
from mtkit.types import Dataset

_FEW = 1 << 16
"""Rows that rule most coincidences out."""
_SLOTS = 1 << 26
"""Of a table that says which hashes may be there, one byte each."""


class Encoded:
    """The interactions of a data set; every column is encoded when it is asked for first, and kept.

    Args:
        dataset: the raw tables.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.interactions: pa.Table = dataset.interactions
        self.entities: Mapping[str, pa.Table] = dataset.entities
        self.schema: Schema = dataset.schema
        self._codes: dict[str, np.ndarray] = {}
        self._numbers: dict[str, np.ndarray] = {}
        self._rows: dict[str, np.ndarray] = {}

    def codes(self, name: str) -> np.ndarray:
        """Numbers int32 `[interactions]` of the distinct values of a column, from 0 on, all of which occur; -1 where null."""
        if name not in self._codes:
            self._codes[name] = codes(self.interactions[name]).astype(np.int32)
        return self._codes[name]

    def numbers(self, name: str) -> np.ndarray:
        """A numeric column, or a label that is no class, as float32 `[interactions]`; nan where null."""
        if name not in self._numbers:
            self._numbers[name] = raw(self.interactions[name], self.schema.interactions[name])
        return self._numbers[name]

    @cached_property
    def time(self) -> np.ndarray:
        """When interactions happened, int64 `[interactions]` seconds; for data with times."""
        assert self.schema.time is not None
        return seconds(self.interactions[self.schema.time])

    def moments(self, cut: Cut) -> np.ndarray:
        """When interactions happened by the clock of a cut, int64 `[interactions]`."""
        return self.time if cut.clock is None else cut.clock

    def rows(self, role: str, first: int | None = None) -> np.ndarray:
        """The row int32 `[interactions]` of the entity's table that each refers to in a role, -1 where there is none.

        Args:
            role: the role.
            first: how many interactions to look at; None = all.
        """
        if role in self._rows:
            return self._rows[role][:first]
        keys = plain(self.entities[self.schema.roles[role]]["id"]).combine_chunks()
        found = pc.index_in(plain(self.interactions[self.schema.reference(role)].slice(0, first)), value_set=keys)
        rows = np.asarray(found.fill_null(-1).to_numpy(), np.int32)
        if len(rows) == len(self.interactions):
            self._rows[role] = rows
        return rows

    def row_hashes(self, without: Collection[str]) -> np.ndarray:
        """uint64 `[interactions]`, the same for interactions that are equal in all declared columns but some."""
        hashes = np.zeros(len(self.interactions), np.uint64)
        for name in (name for name in self.schema.interactions if name not in without):
            hashes *= np.uint64(0x9E3779B97F4A7C15)
            hashes += (
                _bits(self.interactions[name]) if name not in self._codes else (self._codes[name] + 2).astype(np.uint64)
            )
            hashes ^= hashes >> np.uint64(29)
        return hashes


def first_rows(rows: int) -> Iterator[int]:
    """Numbers of rows to look at one after another: what a few rule out need not be looked for in all."""
    if rows > _FEW:
        yield _FEW
    if rows // 8 > _FEW:
        yield rows // 8 + 1
    yield rows


def present(code: np.ndarray, selected: np.ndarray | None = None) -> np.ndarray:
    """Whether each number up to the largest is among the selected (None = all), bool `[numbers + 1]`; the last is for -1."""
    found = np.zeros(code.max(initial=-1) + 2, bool)
    found[code if selected is None else code[selected]] = True
    return found


def value_of(key: np.ndarray, values: np.ndarray, keys: int = 0, missing: float = -1) -> np.ndarray | None:
    """The value that each key goes with, `[keys]`, or up to the largest key if that is more; None if one goes with several.

    Args:
        key: int `[rows]`, not negative.
        values: `[rows]`, without nan.
        keys: how many there are at least.
        missing: the value of keys that do not occur.
    """
    found = np.full(max(keys, int(key.max(initial=-1)) + 1), missing, values.dtype)
    found[key] = values
    return found if np.array_equal(found[key], values) else None


def which_in(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which of some hashes, uint64, are among many others; bool `[values]`."""
    there = np.zeros(_SLOTS, bool)
    there[values % np.uint64(_SLOTS)] = True
    # Few of the others share a slot with a value, so that there is little to sort.
    return np.isin(values, others[there[others % np.uint64(_SLOTS)]])


class Repeats:
    """When what happens happens again.

    Args:
        time: int64 `[rows]`, seconds.
        of: int32 `[rows]`, who acts.
        on: int32 `[rows]`, what has to be the same again, too; None = nothing.
    """

    def __init__(self, time: np.ndarray, of: np.ndarray, on: np.ndarray | None = None) -> None:
        self._time, self._of, self._on = time, of, on

    @cached_property
    def last(self) -> np.ndarray:
        """Whether there is nothing later of who acts, bool `[rows]`."""
        latest = np.full(self._of.max(initial=-1) + 2, np.iinfo(np.int64).min)
        np.maximum.at(latest, self._of, self._time)
        last: np.ndarray = self._time == latest[self._of]
        return last

    @cached_property
    def gap(self) -> np.ndarray:
        """Seconds to the next strictly later row that is the same, float64 `[rows]`; inf where there is none."""
        key = self._of.astype(np.int64)
        if self._on is not None:
            key = key * (int(self._on.max(initial=0)) + 2) + self._on
        order, time = _order(key, self._time), self._time
        key, time = key[order], time[order]
        starts = np.flatnonzero((np.diff(key, prepend=key[:1] - 1) != 0) | (np.diff(time, prepend=time[:1] - 1) != 0))
        same = np.append(key[starts][1:] == key[starts][:-1], False)
        gap = np.where(same, np.append(np.diff(time[starts]), 0), np.inf)
        result = np.empty(len(key))
        result[order] = np.repeat(gap, np.diff(np.append(starts, len(key))))
        return result


def _order(key: np.ndarray, time: np.ndarray) -> np.ndarray:
    """What sorts by key, then time; as one number where both fit into it, which is faster."""
    low, span = int(time.min(initial=0)), int(np.ptp(time)) + 1 if len(time) else 1
    if (int(key.max(initial=0)) + 2) * span < 2**62:
        return np.argsort(key * span + (time - low))
    return np.lexsort((time, key))


def _bits(column: pa.ChunkedArray) -> np.ndarray:
    """uint64 `[rows]`, the same for equal values: floats as they are stored, others by their codes."""
    if pa.types.is_floating(column.type) and not column.null_count:
        bits: np.ndarray = column.cast(pa.float64()).to_numpy().view(np.uint64)
        return bits
    return (codes(column) + 2).astype(np.uint64)
