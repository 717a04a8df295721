"""What was known at a moment: the bounds of a user's past, own past items, activity, and the items' popularity."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np

from mtkit.conditions import Where
from mtkit.data.conditions import events_where
from mtkit.data.free_memory import available
from mtkit.data.purchases import Purchases, count_before, run_starts
from mtkit.errors import DataError
from mtkit.types import DAY, Events, Fold, Ragged, RowTable, Shared

#: The columns that `known_columns` makes.
KNOWN = ("own", "activity", "popularity")
_FLOAT = 4

#: Channels of a user's own past item; "last" is its latest purchase, ages are in days.
OWN_CHANNELS: tuple[str, ...] = (
    "log(1 + baskets with the item)",
    "log(1 + baskets with the item in the last 30 days)",
    "log(1 + baskets with the item in the last 90 days)",
    "exp(-age of last / 30)",
    "exp(-age of last / 120)",
    "log(1 + baskets with the item, each halved every 120 days)",
    "log(1 + baskets with the item, each halved every 30 days)",
    "square root of the share of the user's baskets that hold the item",
    "log((age of last + 3) / (mean days between purchases + 3)) within [-2, 2], 0 if bought once",
    "1 if bought more than once",
    "log(1 + baskets with the item in the last 10 days)",
    "exp(-age of last / 7)",
)
#: Channels of a user, each shifted and scaled to about unit size.
ACTIVITY_CHANNELS: tuple[str, ...] = (
    "log(1 + baskets in the last 30 days) / 2 - 1",
    "log(1 + baskets in the last 90 days) / 2 - 1.2",
    "log(1 + distinct items) / 2 - 2",
    "log(1 + baskets) / 2 - 1.7",
)
#: Over how many days an item's channels count, and what; the shortest tell what is coming up, as new films are.
_COUNTS_OF_ITEM = ((30, "users"), (90, "users"), (14, "baskets"), (7, "baskets"), (3, "baskets"), (1, "baskets"))
#: Channels of an item.
POPULARITY_CHANNELS = tuple(f"log(1 + {what} with the item in the last {days} days)" for days, what in _COUNTS_OF_ITEM)
#: Subtracted from the channels of a user.
ACTIVITY_SHIFTS = (1.0, 1.2, 2.0, 1.7)
#: Purchases looked at together: bounds the memory (8 bytes each, in about ten temporary arrays).
_CHUNK = 1 << 21


def known_columns(fold: Fold, table: RowTable, names: Collection[str], where: Where | None = None) -> RowTable:
    """The table with those of the named columns that follow from what was known strictly before its rows' moments.

    Columns that the table has, and names that are none of `KNOWN`, are left as they are.

    Args:
        fold: the events.
        table: rows with who acts, and moments.
        names: some of `own`, a list of the rows' own distinct past items (values `id` int32, ascending within a row, and
            `channels` float32 `[n, c]`, `OWN_CHANNELS`); `activity`, float32 `[rows, a]` (`ACTIVITY_CHANNELS`); and
            `popularity`, float32 `[moments, items, p]` (`POPULARITY_CHANNELS`), shared by the rows of a moment, ascending;
            0 for the unknown item, which no event has.
        where: the events that count; None = all.

    Raises:
        DataError: popularity at all distinct moments does not fit into memory.
    """
    wanted = [name for name in KNOWN if name in names and name not in table.columns()]
    if not wanted or not len(table.known) or len(fold.events.ids) < 2:
        return table
    acting, item = list(fold.events.ids)[:2]
    if acting not in table.ids:
        return table
    events = events_where(fold.events, where, fold.schema.interactions)
    purchases, user = Purchases.of(events), table.ids[acting]
    dense, lists, shared = dict(table.dense), dict(table.lists), dict(table.shared)
    if "own" in wanted:
        lists["own"] = _own_items(purchases, user, table.known)
    if "activity" in wanted:
        dense["activity"] = _activity(purchases, user, table.known)
    if "popularity" in wanted:
        shared["popularity"] = _popularity_of_rows(purchases, table, len(fold.catalog(item)))
    return replace(table, dense=dense, lists=lists, shared=shared)


def before_group(events: Events, positions: np.ndarray) -> np.ndarray:
    """When the groups of some events began, int64 `[rows]` seconds: what rows that are events may know lies before."""
    starts = np.full(events.group.max(initial=-1) + 1, np.iinfo(np.int64).max)
    np.minimum.at(starts, events.group, events.time)
    began: np.ndarray = np.minimum(events.time[positions], starts[events.group[positions]])
    return began


def history_bounds(events: Events, user: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Begin and end of each row's own past in `events`, int64 `[rows, 2]`.

    Args:
        events: sorted by user, then time.
        user: int32 `[rows]`.
        known: int64 `[rows]`, seconds; the past holds the user's events strictly before it.
    """
    begin = events.offsets[user]
    return np.stack([begin, begin + count_before(events.offsets, events.time, user, known)], axis=1)


def _own_items(purchases: Purchases, user: np.ndarray, time: np.ndarray) -> Ragged:
    sizes = np.diff(purchases.offsets)[user]
    baskets = purchases.baskets_before(user, time)
    parts = [_own_items_of(purchases, user[rows], time[rows], baskets[rows]) for rows in _chunks(sizes)] or [
        (np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros((0, len(OWN_CHANNELS)), np.float32))
    ]
    counts, ids, channels = (np.concatenate(values) for values in zip(*parts, strict=True))
    return Ragged(np.append(0, np.cumsum(counts)), {"id": ids, "channels": channels})


def _chunks(sizes: np.ndarray) -> Iterator[slice]:
    """Slices of rows whose sizes add up to about `_CHUNK`."""
    number = np.cumsum(sizes) // _CHUNK
    bounds = np.flatnonzero(np.diff(number, prepend=-1, append=-1))
    for begin, end in pairwise(bounds):
        yield slice(begin, end)


def _own_items_of(
    purchases: Purchases, user: np.ndarray, time: np.ndarray, baskets: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct items per row, ids and channels of all rows."""
    begin, size = purchases.offsets[user], np.diff(purchases.offsets)[user]
    row = np.repeat(np.arange(len(user)), size)
    purchase = np.arange(len(row)) + np.repeat(begin - np.cumsum(size) + size, size)
    before = purchases.time[purchase] < time[row]
    row, purchase = row[before], purchase[before]
    item = purchases.item[purchase]
    first = run_starts(row, item)
    age = (time[row] - purchases.time[purchase]) / DAY
    counts = np.bincount(row[first], minlength=len(user))
    return counts, item[first], _own_channels(age, first, baskets[row[first]])


def _own_channels(age: np.ndarray, first: np.ndarray, baskets: np.ndarray) -> np.ndarray:
    """Channels float32 `[n, c]` of runs of purchases.

    Args:
        age: days, `[purchases]`, from the oldest to the latest within a run.
        first: int64 `[n]`, where the runs begin.
        baskets: `[n]`, baskets of the run's user.
    """
    channels = np.zeros((len(first), len(OWN_CHANNELS)), dtype=np.float32)
    if not len(first):
        return channels
    last = np.append(first[1:], len(age)) - 1
    count, since = last - first + 1, age[last]
    interval = np.maximum((age[first] - since) / np.maximum(count - 1, 1), 1.0)
    channels[:, 0] = np.log1p(count)
    for channel, days in ((1, 30.0), (2, 90.0), (10, 10.0)):
        channels[:, channel] = np.log1p(np.add.reduceat(age <= days, first, dtype=np.int64))
    for channel, days in ((3, 30.0), (4, 120.0), (11, 7.0)):
        channels[:, channel] = np.exp(-since / days)
    for channel, days in ((5, 120.0), (6, 30.0)):
        channels[:, channel] = np.log1p(np.add.reduceat(np.exp2(-age / days), first))
    channels[:, 7] = np.sqrt(count / baskets)
    channels[:, 8] = np.where(count > 1, np.clip(np.log((since + 3) / (interval + 3)), -2, 2), 0)
    channels[:, 9] = count > 1
    return channels


def _activity(purchases: Purchases, user: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Channels float32 `[rows, a]`."""
    distinct = count_before(*purchases.first_times(), user, time)
    baskets = purchases.baskets_before(user, time)
    recent = [baskets - purchases.baskets_before(user, time - days * DAY) for days in (30, 90)]
    counts = np.stack([*recent, distinct, baskets], axis=1)
    channels: np.ndarray = (np.log1p(counts) / 2 - ACTIVITY_SHIFTS).astype(np.float32)
    return channels


def _popularity_of_rows(purchases: Purchases, table: RowTable, items: int) -> Shared:
    moments, moment = np.unique(table.known, return_inverse=True)
    needed = len(moments) * items * len(POPULARITY_CHANNELS) * _FLOAT
    if (free := available()) is not None and needed > free:
        raise DataError(
            f"row table {table.name!r}: the popularity of {items:,} items at {len(moments):,} distinct moments takes "
            f"{needed / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB are free; use rows with few moments (`windows`)"
        )
    return Shared(moment.astype(np.int32), _popularity(purchases, moments, items))


def _popularity(purchases: Purchases, moments: np.ndarray, items: int) -> np.ndarray:
    """Channels float32 `[moments, items, p]`."""
    counts = np.zeros((len(moments), len(_COUNTS_OF_ITEM), items))
    for number, moment in enumerate(moments):
        for channel, (days, what) in enumerate(_COUNTS_OF_ITEM):
            recent = _recent(purchases, moment, days)
            item = purchases.item[recent]
            counted = run_starts(purchases.user[recent], item) if what == "users" else slice(None)
            counts[number, channel] = np.bincount(item[counted], minlength=items)
    channels: np.ndarray = np.log1p(counts).astype(np.float32).transpose(0, 2, 1)
    return np.ascontiguousarray(channels)


def _recent(purchases: Purchases, moment: int, days: int) -> np.ndarray:
    """Positions of the purchases before `moment` that are at most `days` old."""
    return np.flatnonzero((purchases.time < moment) & (purchases.time >= moment - days * DAY))
