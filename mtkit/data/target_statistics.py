"""What became of earlier events with the same key: how many there were, and the smoothed mean of each label."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from mtkit.data.columns import raw
from mtkit.data.key_values import code_of, key_column, of_events, of_rows
from mtkit.data.running_sums import RunningSums, Timeline
from mtkit.errors import DataError
from mtkit.spec import Key, KeyColumn, KeyNumbers
from mtkit.types import Fold, RowTable


class _Channels(NamedTuple):
    """What is summed of the events: when it is known, and float64 `[events, n]`."""

    time: Timeline
    values: np.ndarray


class _Place(NamedTuple):
    """Where the sum of a label, and the number of events that have it, lie: the delay of channels, and their columns."""

    delay: int
    total: int
    number: int


@dataclass(frozen=True)
class TargetPast:
    """The past of all keys, and what it says of a moment.

    Attributes:
        fold: the events; those before the cut count.
        labels: labels, or numbers, of the interactions; those with a horizon are known when that is over.
        smoothing: how many events with the mean of all events are added to those of a key.
        half_life: seconds after which an event counts half; None = all count alike.
    """

    fold: Fold
    labels: Sequence[str]
    smoothing: float
    half_life: float | None

    def of_rows(self, table: RowTable, keys: Sequence[Key]) -> np.ndarray:
        """Numbers float32 `[rows, keys * (1 + labels)]`, as of the rows' moments, or the cut where that is earlier."""
        moment = np.minimum(table.known, self.fold.cut)
        prior, width = self._prior(moment), 1 + len(self.labels)
        made = np.empty((len(table), len(keys) * width), np.float32)
        for place, key in enumerate(keys):
            columns = self._columns(key)
            code = code_of(columns, [of_rows(table, column) for column in columns])
            sums = self._sums(self._codes(columns))
            made[:, place * width : (place + 1) * width] = self._numbers(sums, code, moment, prior)
        return made

    def by_key(self, keys: Sequence[Key]) -> Iterator[KeyNumbers]:
        """Numbers of every value of each key as of the cut."""
        for key in keys:
            columns = self._columns(key)
            sums = self._sums(self._codes(columns))
            codes = np.append(0, sums[0].keys)  # what is not known has no events
            moment = np.full(len(codes), self.fold.cut)
            numbers = self._numbers(sums, codes, moment, self._prior(moment)).astype(np.float32)
            yield KeyNumbers(columns, codes[1:], numbers[1:], numbers[0])

    @cached_property
    def _before(self) -> np.ndarray:
        """Positions of the events that count for any row."""
        return np.flatnonzero(self.fold.events.time < self.fold.cut)

    @cached_property
    def _channels(self) -> tuple[dict[int, _Channels], list[_Place]]:
        """What is summed, by how many seconds after the events it is known; and where the sum and number of each label lie."""
        events, declared = self.fold.events, self.fold.schema.interactions
        columns, places = {0: [np.ones(len(self._before))]}, list[_Place]()
        for label in self.labels:
            values = raw(events.columns[label], declared[label])[self._before]
            there, horizon = np.isfinite(values), declared[label].horizon
            delay = 0 if horizon is None else math.ceil(horizon.total_seconds())
            found = columns.setdefault(delay, [])
            found.append(np.where(there, values, 0))
            every = not delay and bool(there.all())
            if not every:
                found.append(there)
            places.append(_Place(delay, len(found) - (1 if every else 2), 0 if every else len(found) - 1))
        time = events.time[self._before]
        made = {delay: _Channels(Timeline(time + delay), np.stack(of, 1)) for delay, of in columns.items()}
        return made, places

    def _columns(self, key: Key) -> tuple[KeyColumn, ...]:
        columns = tuple(key_column(self.fold, address) for address in key)
        if math.prod(column.size for column in columns) >= 2**63:
            raise DataError(
                f"{' x '.join(key)}: more combinations of values than 64 bits tell apart; name fewer together"
            )
        return columns

    def _codes(self, columns: Sequence[KeyColumn]) -> np.ndarray:
        return code_of(columns, [of_events(self.fold, column)[self._before] for column in columns])

    def _sums(self, code: np.ndarray) -> dict[int, RunningSums]:
        """By how many seconds after the events what is summed is known."""
        channels, _ = self._channels
        return {delay: RunningSums(of.time, code, of.values, self.half_life) for delay, of in channels.items()}

    def _prior(self, moment: np.ndarray) -> np.ndarray:
        """The mean of each label over all events known before a moment, `[rows, labels]`; 0 where there are none."""
        sums = self._sums(np.ones(len(self._before), np.int64))
        moments, row = np.unique(moment, return_inverse=True)
        _, totals, counts = self._found(sums, np.ones(len(moments), np.int64), moments)
        means: np.ndarray = np.divide(totals, counts, out=np.zeros_like(totals), where=counts > 0)[row]
        return means

    def _numbers(
        self, sums: Mapping[int, RunningSums], code: np.ndarray, moment: np.ndarray, prior: np.ndarray
    ) -> np.ndarray:
        """log(1 + events), then the mean of each label, `[rows, 1 + labels]`."""
        events, totals, counts = self._found(sums, code, moment)
        means = (totals + self.smoothing * prior) / (counts + self.smoothing)
        return np.column_stack([np.log1p(events), means])

    def _found(
        self, sums: Mapping[int, RunningSums], code: np.ndarray, moment: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """How many events there were `[rows]`; the sum of each label, and how many have it, both `[rows, labels]`."""
        found = {delay: past.before(code, moment) for delay, past in sums.items()}
        _, places = self._channels
        totals = np.column_stack([found[place.delay][:, place.total] for place in places])
        counts = np.column_stack([found[place.delay][:, place.number] for place in places])
        return found[0][:, 0], totals, counts
