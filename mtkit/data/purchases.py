"""Events as purchases: an item once per group (basket), in the order in which the past is counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mtkit.types import Events


@dataclass(frozen=True)
class Purchases:
    """Items once per basket, sorted by user, item, time; and the baskets themselves, sorted by user, time.

    Attributes:
        user: int32 `[purchases]`.
        item: int32 `[purchases]`.
        time: int64 `[purchases]`, seconds, of the first event with the item in the basket.
        offsets: int64 `[users + 1]`; user u's purchases are `offsets[u]:offsets[u + 1]`.
        basket_time: int64 `[baskets]`, seconds, of the basket's first event.
        basket_offsets: int64 `[users + 1]`; user u's baskets are `basket_offsets[u]:basket_offsets[u + 1]`.
    """

    user: np.ndarray
    item: np.ndarray
    time: np.ndarray
    offsets: np.ndarray
    basket_time: np.ndarray
    basket_offsets: np.ndarray

    @classmethod
    def of(cls, events: Events) -> Purchases:
        """The purchases of events that are sorted by user, then time."""
        user, item = list(events.ids.values())[:2]
        size = item.max(initial=0) + np.int64(1)
        users = np.arange(len(events.offsets))
        # events are sorted by time within a user, so the first occurrence is the earliest
        _, first = np.unique(events.group * size + item, return_index=True)
        first.sort()
        first = first[item[first] > 0]  # the unknown is several items
        first = first[np.argsort(user[first] * size + item[first], kind="stable")]
        _, basket = np.unique(events.group, return_index=True)
        basket.sort()
        return cls(
            user=user[first],
            item=item[first],
            time=events.time[first],
            offsets=np.searchsorted(user[first], users),
            basket_time=events.time[basket],
            basket_offsets=np.searchsorted(user[basket], users),
        )

    def first_times(self) -> tuple[np.ndarray, np.ndarray]:
        """When users had each of their items first: offsets int64 `[users + 1]`, and times int64, ascending for each user."""
        first = run_starts(self.user, self.item)
        user, time = self.user[first], self.time[first]
        order = np.lexsort((time, user))
        return np.searchsorted(user[order], np.arange(len(self.offsets))), time[order]

    def baskets_before(self, user: np.ndarray, time: np.ndarray) -> np.ndarray:
        """How many baskets of `user` began strictly before `time`, int64 `[rows]`."""
        return count_before(self.basket_offsets, self.basket_time, user, time)


def count_before(offsets: np.ndarray, times: np.ndarray, user: np.ndarray, time: np.ndarray) -> np.ndarray:
    """How many of the user's `times` (sorted within users) are strictly before `time`, int64 `[rows]`."""
    if not len(times):
        return np.zeros(len(user), dtype=np.int64)
    low = times.min()
    span = times.max() - low + 2
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    wanted = user * span + np.clip(time - low, 0, span - 1)
    count: np.ndarray = np.searchsorted(owner * span + (times - low), wanted) - offsets[user]
    return count


def run_starts(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Where runs of equal pairs begin, int64 `[runs]`; the values of both arrays are not negative."""
    return np.flatnonzero((np.diff(first, prepend=-1) != 0) | (np.diff(second, prepend=-1) != 0))
