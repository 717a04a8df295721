"""What was known about a user at a moment: the bounds of the past, and the user's own past items."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mtkit.types import Events, Ragged

DAY = 86400

#: Channels of a user's own past item, all as of the row's moment and all 0 for an item never bought.
OWN_CHANNELS: tuple[str, ...] = (
    "log(1 + baskets with the item)",
    "log(1 + baskets with the item in the last 30 days)",
    "log(1 + baskets with the item in the last 90 days)",
    "log(1 + baskets with the item, each halved every 15 days)",
    "log(1 + baskets with the item, each halved every 60 days)",
    "log(1 + baskets with the item, each halved every 120 days)",
    "log(1 + days since the item was last bought)",
    "log(1 + days since last bought / mean days between purchases), 0 if bought once",
    "share of the user's baskets that hold the item",
)
_RECENT_DAYS = (30.0, 90.0)
_HALF_LIVES = (15.0, 60.0, 120.0)
#: Purchases looked at together: bounds the memory (8 bytes each, in about ten temporary arrays).
_CHUNK = 1 << 21


def history_bounds(events: Events, user: np.ndarray, time: np.ndarray, group: np.ndarray | None = None) -> np.ndarray:
    """Begin and end of each row's own past in `events`, int64 `[rows, 2]`.

    The past holds the user's events strictly before `time`. For rows that are events themselves, `group` makes it end
    before the first event of the row's own group.

    Args:
        events: sorted by user, then time.
        user: int32 `[rows]`.
        time: int64 `[rows]`, seconds.
        group: int64 `[rows]`, groups of `events`, for rows that are events.
    """
    if group is not None:
        starts = np.full(events.group.max(initial=-1) + 1, np.iinfo(np.int64).max)
        np.minimum.at(starts, events.group, events.time)
        time = np.minimum(time, starts[group])
    begin = events.offsets[user]
    return np.stack([begin, begin + _count_before(events.offsets, events.time, user, time)], axis=1)


def own_items(events: Events, user: np.ndarray, time: np.ndarray) -> Ragged:
    """The distinct items that each row's user bought strictly before the row's time.

    Args:
        events: sorted by user, then time; an item counts once per group (basket).
        user: int32 `[rows]`.
        time: int64 `[rows]`, seconds.

    Returns:
        Values `id` int32 `[n]`, ascending within a row, and `channels` float32 `[n, c]` (`OWN_CHANNELS`).
    """
    purchases = _purchases(events)
    sizes = np.diff(purchases.offsets)[user]
    baskets = _count_before(purchases.basket_offsets, purchases.basket_time, user, time)
    parts = [_own_items_of(purchases, user[rows], time[rows], baskets[rows]) for rows in _chunks(sizes)] or [
        (np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros((0, len(OWN_CHANNELS)), np.float32))
    ]
    counts, ids, channels = (np.concatenate(values) for values in zip(*parts, strict=True))
    return Ragged(np.append(0, np.cumsum(counts)), {"id": ids, "channels": channels})


@dataclass(frozen=True)
class _Purchases:
    """Items once per basket, sorted by user, item, time; and the baskets themselves, by user and time."""

    item: np.ndarray
    time: np.ndarray
    offsets: np.ndarray
    basket_time: np.ndarray
    basket_offsets: np.ndarray


def _purchases(events: Events) -> _Purchases:
    user, item = list(events.ids.values())[:2]
    size = item.max(initial=0) + np.int64(1)
    users = np.arange(len(events.offsets))
    # events are sorted by time within a user, so the first occurrence is the earliest
    _, first = np.unique(events.group * size + item, return_index=True)
    first.sort()
    first = first[np.argsort(user[first] * size + item[first], kind="stable")]
    _, basket = np.unique(events.group, return_index=True)
    basket.sort()
    return _Purchases(
        item=item[first],
        time=events.time[first],
        offsets=np.searchsorted(user[first], users),
        basket_time=events.time[basket],
        basket_offsets=np.searchsorted(user[basket], users),
    )


def _count_before(offsets: np.ndarray, times: np.ndarray, user: np.ndarray, time: np.ndarray) -> np.ndarray:
    """How many of the user's `times` (sorted within users) are strictly before `time`, int64 `[rows]`."""
    if not len(times):
        return np.zeros(len(user), dtype=np.int64)
    low = times.min()
    span = times.max() - low + 2
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    wanted = user * span + np.clip(time - low, 0, span - 1)
    count: np.ndarray = np.searchsorted(owner * span + (times - low), wanted) - offsets[user]
    return count


def _chunks(sizes: np.ndarray) -> Iterator[slice]:
    """Slices of rows whose sizes add up to about `_CHUNK`."""
    number = np.cumsum(sizes) // _CHUNK
    bounds = np.flatnonzero(np.diff(number, prepend=-1, append=-1))
    for begin, end in pairwise(bounds):
        yield slice(begin, end)


def _own_items_of(
    purchases: _Purchases, user: np.ndarray, time: np.ndarray, baskets: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct items per row, ids and channels of all rows."""
    begin, size = purchases.offsets[user], np.diff(purchases.offsets)[user]
    row = np.repeat(np.arange(len(user)), size)
    purchase = np.arange(len(row)) + np.repeat(begin - np.cumsum(size) + size, size)
    before = purchases.time[purchase] < time[row]
    row, purchase = row[before], purchase[before]
    item = purchases.item[purchase]
    (first,) = np.nonzero((np.diff(row, prepend=-1) != 0) | (np.diff(item, prepend=-1) != 0))
    age = (time[row] - purchases.time[purchase]) / DAY
    counts = np.bincount(row[first], minlength=len(user))
    return counts, item[first], _channels(age, first, baskets[row[first]])


def _channels(age: np.ndarray, first: np.ndarray, baskets: np.ndarray) -> np.ndarray:
    """Channels float32 `[n, c]` of runs of purchases.

    Args:
        age: days, `[purchases]`, from the oldest to the latest within a run.
        first: int64 `[n]`, where the runs begin.
        baskets: `[n]`, baskets of the run's user.
    """
    if not len(first):
        return np.zeros((0, len(OWN_CHANNELS)), dtype=np.float32)
    last = np.append(first[1:], len(age)) - 1
    count = last - first + 1
    since = age[last]
    recent = [np.add.reduceat(age < days, first, dtype=np.int64) for days in _RECENT_DAYS]
    decayed = [np.add.reduceat(np.exp2(-age / days), first) for days in _HALF_LIVES]
    interval = np.maximum((age[first] - since) / np.maximum(count - 1, 1), 1.0)
    overdue = np.where(count > 1, since / interval, 0.0)
    logs = np.log1p(np.stack([count, *recent, *decayed, since, overdue], axis=1))
    return np.column_stack([logs, count / baskets]).astype(np.float32)
