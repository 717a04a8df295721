"""How many users, items and interactions there are, and how they lie in time: what settings depend on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from mtkit.data.times import read_times
from mtkit.draft.roles import Tables
from mtkit.types import DAY

#: Of the interactions that a split by shares of time tests.
TAIL = 0.1
#: Items of fewer interactions than these are asked about: `Counts.items_of`.
LEAST = (1, 3, 5, 10, 20, 50, 100)


@dataclass(frozen=True)
class Counts:
    """Sizes of the interactions.

    Attributes:
        rows: number of rows.
        users: number of users; 0 where rows stand for themselves.
        items: number of items; 0 likewise.
        repeats: share of the rows that are of a user and an item that are together in another row before.
        items_of: n -> items with n or more rows.
        returning: share of the last rows by time (`TAIL`) whose user was there before; 0 without times.
        days: days from the first to the last row; 0 without times.
        tail_days: days of the last rows; 0 without times.
        unlisted: entity with a table -> rows whose id it lacks.
    """

    rows: int
    users: int = 0
    items: int = 0
    repeats: float = 0.0
    items_of: Mapping[int, int] | None = None
    returning: float = 0.0
    days: float = 0.0
    tail_days: float = 0.0
    unlisted: Mapping[str, int] | None = None

    @property
    def per_item(self) -> float:
        """Rows of an item, on average."""
        return self.rows / max(self.items, 1)


def counts_of(tables: Tables, time: str) -> Counts:
    """The sizes; ids and times are read whole, other columns not at all.

    Args:
        tables: which table is what.
        time: the column of times; empty if there is none.
    """
    rows = tables.interactions.rows
    if not tables.user:
        return Counts(rows)
    ids = tables.interactions.read([tables.user, tables.item, *([time] if time else [])])
    users, items = (_numbered(ids[name]) for name in (tables.user, tables.item))
    pairs = len(np.unique(users.astype(np.int64) * (items.max() + 1) + items))
    each = np.bincount(items)
    return Counts(
        rows,
        users=int(users.max()) + 1,
        items=len(each),
        repeats=1 - pairs / rows,
        items_of={least: int((each >= least).sum()) for least in LEAST},
        unlisted={name: _unlisted(tables, name, ids) for name in tables.entities},
        **(_in_time(users, ids[time]) if time else {}),
    )


def _numbered(ids: pa.ChunkedArray) -> np.ndarray:
    """Ids as numbers from 0 on."""
    return np.asarray(pd.factorize(ids.to_pandas(), use_na_sentinel=False)[0])


def _in_time(users: np.ndarray, values: pa.ChunkedArray) -> dict[str, float]:
    seconds = read_times(values).seconds
    order = np.argsort(seconds, kind="stable")
    users, seconds = users[order], seconds[order]
    cut = int(len(users) * (1 - TAIL))
    before = np.zeros(users.max() + 1, bool)
    before[users[:cut]] = True
    return {
        "returning": float(before[users[cut:]].mean()) if cut < len(users) else 0.0,
        "days": float(seconds[-1] - seconds[0]) / DAY,
        "tail_days": float(seconds[-1] - seconds[cut]) / DAY,
    }


def _unlisted(tables: Tables, entity: str, ids: pa.Table) -> int:
    """Rows whose id is not in the entity's table."""
    found = tables.entities[entity]
    column = ids[tables.user if entity == "user" else tables.item].cast(pa.string()).to_pandas()
    known = found.table.read([found.key])[found.key].cast(pa.string()).to_pandas()
    return int((~column.isin(known)).sum())
