"""Labels that follow from what a user does later: what the cleaners of `mtkit.standard.label_cleaners` compute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from mtkit.data.columns import codes


@dataclass(frozen=True)
class Ahead:
    """Events that are looked for after others.

    Attributes:
        key: int64 `[events]`, what two events must have in common; -1 = something of it is missing.
        group: int64 `[events]`, events of one basket, which are not ahead of one another; None = each stands alone.
        time: int64 `[events]`, seconds.
        meant: bool `[events]`, which events are looked for.
    """

    key: np.ndarray
    group: np.ndarray | None
    time: np.ndarray
    meant: np.ndarray

    @classmethod
    def of(
        cls, table: pa.Table, same: Sequence[str], group: str | None, clock: str, meant: np.ndarray | None = None
    ) -> Ahead:
        """The events of a table; columns by name, `same` being those that must be equal."""
        key = _joint([codes(table[name]) for name in same])
        grouped = None if group is None else codes(table[group])
        time = np.asarray(table[clock].to_numpy(), np.int64)
        return cls(key, grouped, time, (key >= 0) if meant is None else meant & (key >= 0))

    def sums(self, within: int, values: np.ndarray | None = None) -> np.ndarray:
        """What lies in `(time, time + within]` of each event, float64 `[events]`: how many, or the sum of their values.

        Events of the same basket do not count; nan where the key is missing.
        """
        found = self._sums(self.key, within, values)
        if self.group is not None:
            both = np.where((self.key >= 0) & (self.group >= 0), _joint([self.key, self.group]), -1)
            own = self._sums(both, within, values)
            found -= np.where(both >= 0, own, 0.0)
        return np.where(self.key >= 0, found, np.nan)

    def _sums(self, key: np.ndarray, within: int, values: np.ndarray | None) -> np.ndarray:
        # One number orders events by key, then by time; what is beyond the last time of a key stays before the next key.
        span = int(self.time.max(initial=0)) - int(self.time.min(initial=0)) + within + 2
        moment = key * span + (self.time - self.time.min(initial=0))
        meant = np.flatnonzero(self.meant & (key >= 0))
        order = meant[np.argsort(moment[meant], kind="stable")]
        weights = np.ones(len(order)) if values is None else np.nan_to_num(values[order])
        total = np.concatenate([[0.0], np.cumsum(weights)])
        first, last = (np.searchsorted(moment[order], moment + shift, side="right") for shift in (0, within))
        return np.asarray(total[last] - total[first])


def _joint(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Numbers of tuples from 0 on, int64; -1 where a part is negative."""
    joint, missing = np.zeros(len(parts[0]), np.int64), np.zeros(len(parts[0]), bool)
    for part in parts:
        missing |= part < 0
        _, joint = np.unique(joint * (int(part.max(initial=0)) + 1) + np.maximum(part, 0), return_inverse=True)
    return np.where(missing, -1, joint)
