"""Data on the device: entity tables and row tables as variables, batches by gathering columns.

The variables are not trainable and not part of a model's weights: they come from the data, so checkpoints leave them out
and an export holds each once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from mtkit.backend import tf
from mtkit.feed.batch import Batch, InSequences, Lists, SharedValues
from mtkit.feed.features import EntityTable, EventLog, gathered, padded, providers, seen, variable
from mtkit.feed.interface import Past
from mtkit.feed.neighborhoods import Neighborhoods
from mtkit.runtime.collectives import replicas
from mtkit.schema import HISTORY, Address
from mtkit.types import Ragged, RowTable, Shared

_COUNTED = 1 << 20
"""Ids that are counted at once, for which they are copied."""


class RaggedColumns(tf.Module):
    """Rows of unequal length, gathered end to end: nothing is spent on padding."""

    def __init__(self, name: str, ragged: Ragged) -> None:
        super().__init__(name=name)
        self.offsets = variable(f"{name}.offsets", ragged.offsets)
        self.values = {key: variable(f"{name}.{key}", padded(values)) for key, values in ragged.values.items()}

    def seen(self, ragged: Ragged) -> Ragged:
        """What this was made of, as it lies here."""
        return Ragged(seen(self.offsets, ragged.offsets), _seen(self.values, ragged.values))

    def gather(self, rows: tf.Tensor) -> Lists:
        """The entries of `rows`, int64 `[batch]`."""
        entries = tf.ragged.range(gathered(self.offsets, rows), gathered(self.offsets, rows + 1))
        values = {key: gathered(flat, entries.values) for key, flat in self.values.items()}
        return Lists(entries.value_rowids(), values)


class SharedColumn(tf.Module):
    """Values that several rows have in common."""

    def __init__(self, name: str, shared: Shared) -> None:
        super().__init__(name=name)
        self.index = variable(f"{name}.index", shared.index)
        self.values = variable(name, shared.values)

    def seen(self, shared: Shared) -> Shared:
        """What this was made of, as it lies here."""
        return Shared(seen(self.index, shared.index), seen(self.values, shared.values))

    def gather(self, rows: tf.Tensor) -> SharedValues:
        """Which of the values `rows`, int64 `[batch]`, have, and all values."""
        return SharedValues(gathered(self.index, rows), tf.convert_to_tensor(self.values))


class Sequences(tf.Module):
    """Which rows of a table are drawn together.

    Args:
        number: int32 `[rows]`, as of a `RowTable`.
    """

    def __init__(self, number: np.ndarray) -> None:
        super().__init__(name="sequences")
        sizes = np.bincount(number)
        self.longest = int(sizes.max())
        self.offsets = variable("sequences.offsets", np.append(0, np.cumsum(sizes)))

    def rows(self, numbers: tf.Tensor) -> tuple[tf.Tensor, InSequences]:
        """The rows of sequences, int64 `[sequences]`, of which those that are -1 are left out; -1 where there is no row.

        Where there are several replicas, there are rows of -1 behind, so that all have equally many.
        """
        # One has to stay: its rows are then -1.
        kept = (numbers >= 0) | (tf.range(tf.size(numbers)) == 0)
        there = tf.boolean_mask(numbers, kept)
        begin, end = (gathered(self.offsets, tf.maximum(there, 0) + beyond) for beyond in (0, 1))
        rows = tf.ragged.range(begin, end)
        number, last = rows.value_rowids(), tf.cumsum(end - begin) - 1
        found = tf.where(tf.gather(there, number) >= 0, rows.values, -1)
        if replicas() > 1:
            missing = tf.size(numbers) * self.longest - tf.size(found)
            found = tf.pad(found, [[0, missing]], constant_values=-1)
            number = tf.pad(number, [[0, missing]], constant_values=0)
        return found, InSequences(number, last)


class RowStore(tf.Module):
    """A row table on the device.

    Args:
        table: the rows; its context columns already preprocessed.
        sizes: role -> rows of its catalog; default: up to the largest id that the rows have.
    """

    streamed = False

    def __init__(self, table: RowTable, sizes: Mapping[str, int] | None = None) -> None:
        super().__init__(name=table.name)
        self.rows, self.units = len(table), table.units
        name = table.name
        self.ids = _variables(name, table.ids)
        self.context = _variables(f"{name}.context", table.context)
        self.labels = _variables(f"{name}.label", table.labels)
        self.weights = _variables(f"{name}.weight", table.weights)
        self.dense = _variables(name, table.dense)
        self.time = variable(f"{name}.time", table.time) if len(table.time) else None
        alike = table.known is table.time or np.array_equal(table.known, table.time)
        self.known = self.time if alike else variable(f"{name}.known", table.known)
        self.history = variable(f"{name}.history", table.history) if len(table.history) else None
        self.sequences = None if table.sequence is None else Sequences(table.sequence)
        self.lists = {key: RaggedColumns(key, values) for key, values in table.lists.items()}
        self.shared = {key: SharedColumn(key, values) for key, values in table.shared.items()}
        self.shares = shares_of(table, sizes)

    def seen(self, table: RowTable) -> RowTable:
        """The table of which this was made, with the columns that lie here; those of the context are as they were."""
        time = table.time if self.time is None else seen(self.time, table.time)
        return replace(
            table,
            ids=_seen(self.ids, table.ids),
            time=time,
            known=time if self.known is self.time else seen(self.known, table.known),
            history=table.history if self.history is None else seen(self.history, table.history),
            labels=_seen(self.labels, table.labels),
            weights=_seen(self.weights, table.weights),
            dense=_seen(self.dense, table.dense),
            lists={key: self.lists[key].seen(values) for key, values in table.lists.items()},
            shared={key: self.shared[key].seen(values) for key, values in table.shared.items()},
        )

    def read(self, numbers: tf.Tensor) -> tf.Tensor:
        """The numbers themselves: their columns are here."""
        return numbers

    def gather(self, numbers: tf.Tensor) -> Batch:
        """The batch of rows, or of sequences of them, int64 `[batch]`; where a number is -1, `present` and all weights are 0."""
        if self.sequences is None:
            return self._gathered(numbers)
        rows, sequences = self.sequences.rows(numbers)
        return replace(self._gathered(rows), sequences=sequences)

    def _gathered(self, rows: tf.Tensor) -> Batch:
        present = tf.cast(rows >= 0, tf.float32)
        rows = tf.maximum(rows, 0)

        def each(columns: Mapping[str, tf.Variable]) -> dict[str, tf.Tensor]:
            return {key: gathered(values, rows) for key, values in columns.items()}

        return Batch(
            ids=each(self.ids),
            present=present,
            time=None if self.time is None else gathered(self.time, rows),
            known=None if self.known is None else gathered(self.known, rows),
            history=None if self.history is None else gathered(self.history, rows),
            context=each(self.context),
            labels=each(self.labels),
            weights={key: values * present for key, values in each(self.weights).items()},
            dense=each(self.dense),
            lists={key: values.gather(rows) for key, values in self.lists.items()},
            shared={key: values.gather(rows) for key, values in self.shared.items()},
        )


class HeldRows(Protocol):
    """A row table that a feed has.

    Attributes:
        units: how many there are of what steps draw, rows or sequences.
        lists: names of its lists.
        sequences: which rows are drawn together, if rows are.
        shares: role -> float32 `[ids]`, the share of the rows, or of their targets, that have each id.
        streamed: whether `read` reads files.
    """

    units: int
    lists: Any
    sequences: Sequences | None
    shares: Mapping[str, tf.Variable]
    streamed: bool

    def read(self, numbers: tf.Tensor) -> Any:
        """What `gather` takes in the place of numbers, as `mtkit.feed.interface.Feed.read`."""

    def gather(self, numbers: Any) -> Batch:
        """The columns of rows, as `mtkit.feed.interface.Feed.batch`."""


class DeviceTables:
    """A `mtkit.feed.interface.Feed` that has everything on the device, but for rows that are streamed.

    Args:
        entities: entity, or role -> its table.
        events: what histories are read from; None where rows stand for themselves.
        rows: row table, or the `evaluation_of` one -> its rows.
        graph: what encoders read neighborhoods from; None where none does.
    """

    def __init__(
        self,
        entities: Mapping[str, EntityTable],
        events: EventLog | None,
        rows: Mapping[str, HeldRows],
        graph: Neighborhoods | None = None,
    ) -> None:
        self.entities, self.events, self.rows, self.graph = dict(entities), events, dict(rows), graph
        self._providers = providers(entities, events)
        self._cumulative: dict[tuple[str, str, float], tf.Tensor] = {}

    def size(self, table: str) -> int:
        """How many rows a table has, or sequences."""
        return self.rows[table].units

    def batch(self, table: str, rows: tf.Tensor) -> Batch:
        """The columns of rows, or of those of sequences, int64 `[batch]`."""
        return self.rows[table].gather(rows)

    def has_lists(self, table: str) -> bool:
        """Whether rows of a table have lists, or lie in sequences."""
        return bool(self.rows[table].lists) or self.rows[table].sequences is not None

    def share(self, table: str, role: str, ids: tf.Tensor) -> tf.Tensor:
        """How frequent ids are among the rows of a table."""
        return tf.gather(self.rows[table].shares[role], ids)

    def cumulative(self, table: str, role: str, power: float) -> tf.Tensor:
        """Shares of ids to a power, added up; computed once."""
        key = (table, role, power)
        if key not in self._cumulative:
            # Outside of the graph that asks first: others ask, too.
            with tf.init_scope():
                self._cumulative[key] = _cumulative(self.rows[table].shares[role], power)
        return self._cumulative[key]

    def entity_rows(self, scope: str) -> int:
        """How many rows an entity has."""
        return self.entities[scope].rows

    def feature(self, address: Address, batch: Batch, past: Past) -> Mapping[str, tf.Tensor]:
        """What an encoder is called with for an address."""
        if past.around is not None and address.scope == HISTORY:
            assert self.graph is not None, "who reads a graph has one"
            return self.graph.around(batch, past.around, past.draw)
        return self._providers[address.scope].feature(address, batch, past)

    def last_events(self, history: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The last events of pasts, the latest first."""
        assert self.events is not None, "who has a past has events"
        return self.events.latest(history, count)

    def as_of(self, moment: int) -> DeviceTables:
        """The same without rows, and with what the graph is at a moment."""
        return DeviceTables(
            self.entities, self.events and self.events.on_device(), {}, self.graph and self.graph.as_of(moment)
        )

    @property
    def streamed(self) -> bool:
        """Whether rows are read from files."""
        return any(store.streamed for store in self.rows.values())

    def read(self, rows: Mapping[str, tf.Tensor]) -> dict[str, Any]:
        """What `batch` takes in the place of the numbers of a step's rows: their columns, where they are in files."""
        return {name: self.rows[name].read(numbers) for name, numbers in rows.items()}

    def state(self) -> list[tf.Module]:
        """The tables of entities, the events, and the graph."""
        events, graph = [self.events] if self.events else [], self.graph.held if self.graph else []
        return [*self.entities.values(), *events, *graph]


def _variables(prefix: str, columns: Mapping[str, np.ndarray]) -> dict[str, tf.Variable]:
    return {key: variable(f"{prefix}.{key}", values) for key, values in columns.items()}


def _seen(held: Mapping[str, tf.Variable], columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {key: seen(held[key], values) for key, values in columns.items()}


def shares_of(table: RowTable, sizes: Mapping[str, int] | None) -> dict[str, tf.Variable]:
    """Role -> the share of rows, or of their targets, that have each id, float32, up to the size of its catalog at least."""
    return {
        role: variable(f"{table.name}.{role}.share", _shares(ids, (sizes or {}).get(role, 0)))
        for role, ids in _ranked(table, sizes or {}).items()
    }


def _ranked(table: RowTable, sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Role -> ids of which the shares are told: those of the rows, and their targets as each role that the rows lack."""
    if "target" not in table.lists:
        return dict(table.ids)
    targets = table.lists["target"].values["item"]
    return {**table.ids, **{role: targets for role in sizes if role not in table.ids}}


def _cumulative(shares: tf.Variable, power: float) -> tf.Tensor:
    shares = tf.cast(shares, tf.float64)
    drawn = tf.where((shares > 0) & (tf.range(tf.shape(shares)[0]) > 0), tf.pow(shares, power), 0.0)
    added = tf.cumsum(drawn)
    return added / added[-1]


def _shares(ids: np.ndarray, size: int) -> np.ndarray:
    """The share of rows that have each id, float32 `[size]`, or up to the largest id if that is more."""
    counts = np.zeros(size, np.int64)
    for begin in range(0, len(ids), _COUNTED):
        found = np.bincount(ids[begin : begin + _COUNTED], minlength=len(counts))
        found[: len(counts)] += counts
        counts = found
    return (counts / max(len(ids), 1)).astype(np.float32)
