"""Sums over past events with the same key: as of any moment, and fading with their age."""

from __future__ import annotations

import math

import numpy as np


class Timeline:
    """Moments of events in their order: the same for all keys.

    Args:
        moment: int64 `[events]`, seconds, when what is summed becomes known.
    """

    def __init__(self, moment: np.ndarray) -> None:
        self.order = np.argsort(moment, kind="stable")
        self.moment = moment[self.order]
        begins = np.diff(self.moment, prepend=self.moment[:1] - 1) > 0
        self.moments, self.rank = self.moment[begins], np.cumsum(begins) - 1


class RunningSums:
    """Sums of the values of events, by key, strictly before a moment.

    Args:
        time: of the events.
        key: int64 `[events]`; events of key 0 count nowhere.
        values: float64 `[events, n]`.
        half_life: seconds after which an event counts half; None = all count alike.
    """

    def __init__(self, time: Timeline, key: np.ndarray, values: np.ndarray, half_life: float | None = None) -> None:
        in_time = key[time.order]
        order = np.argsort(in_time, kind="stable")
        order = order[np.searchsorted(in_time[order], 1) :]
        begins = np.diff(in_time[order], prepend=0) > 0
        self._keys, self._number = in_time[order][begins], np.cumsum(begins) - 1
        self._moments, self._moment, self._half_life = time.moments, time.moment[order], half_life
        # One number that sorts by key, then moment: both are ranks, so that it cannot overflow.
        self._place = self._number * len(time.moments) + time.rank[order]
        self._sums = _recurrence(values[time.order[order]], self._kept())

    @property
    def keys(self) -> np.ndarray:
        """The distinct keys of the events, int64, ascending."""
        return self._keys

    def before(self, key: np.ndarray, moment: np.ndarray) -> np.ndarray:
        """Sums over the events of each key strictly before a moment, float64 `[rows, n]`; 0 where there are none.

        Args:
            key: int64 `[rows]`.
            moment: int64 `[rows]`, seconds.
        """
        found = np.zeros((len(key), self._sums.shape[1]))
        if not len(self._place):
            return found
        number = np.minimum(np.searchsorted(self._keys, key), len(self._keys) - 1)
        asked = number * len(self._moments) + np.searchsorted(self._moments, moment)
        # Sorted questions walk through memory in order, which is several times as fast.
        order = np.argsort(asked)
        last = np.empty(len(key), np.int64)
        last[order] = np.searchsorted(self._place, asked[order]) - 1
        rows = np.flatnonzero((self._keys[number] == key) & (last >= 0) & (self._number[last] == number))
        found[rows] = self._sums[last[rows]]
        if self._half_life is not None:
            found[rows] *= np.exp2((self._moment[last[rows]] - moment[rows]) / self._half_life)[:, None]
        return found

    def _kept(self) -> np.ndarray:
        """What is left of the sum before each event when it happens: 0 at the first of its key."""
        same: np.ndarray = np.diff(self._number, prepend=-1) == 0
        if self._half_life is None:
            return same.astype(np.float64)
        gaps = np.diff(self._moment, prepend=self._moment[:1]).clip(0)
        kept: np.ndarray = same * np.exp2(-gaps / self._half_life)
        return kept


def _recurrence(values: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """s_i = values_i + kept_i s_{i-1}, float64 `[n, c]`.

    In blocks side by side, of about as many as there are in one: the steps of Python are the square root of the rows. Unlike a
    difference of sums over all rows, nothing is lost where later terms are far larger.
    """
    rows, channels = values.shape
    size = math.isqrt(max(rows - 1, 0)) + 1
    blocks = -(-rows // size)
    sums = _in_blocks(values.astype(np.float64), blocks, size)
    through = _in_blocks(kept[:, None], blocks, size)
    for step in range(1, size):
        sums[step] += through[step] * sums[step - 1]
        through[step] *= through[step - 1]
    carried = np.zeros((blocks, channels))
    for block in range(1, blocks):
        carried[block] = sums[-1, block - 1] + through[-1, block - 1] * carried[block - 1]
    sums += through * carried
    return np.ascontiguousarray(sums.transpose(1, 0, 2)).reshape(-1, channels)[:rows]


def _in_blocks(values: np.ndarray, blocks: int, size: int) -> np.ndarray:
    """Rows as `[size, blocks, c]`, block after block, filled up with zeros."""
    filled = np.zeros((blocks * size, values.shape[1]))
    filled[: len(values)] = values
    return np.ascontiguousarray(filled.reshape(blocks, size, -1).transpose(1, 0, 2))
