"""Features on the device, by the scope of their address: what encoders are called with."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from mtkit.backend import tf
from mtkit.conditions import Where
from mtkit.feed.batch import Batch
from mtkit.feed.interface import Past
from mtkit.schema import AGE, CONTEXT, HISTORY, KNOWN, WEIGHT, Address
from mtkit.types import DAY, Events


class Provider(Protocol):
    """What gives the features of a scope; what a request brings along (`Batch.given`) comes first."""

    def feature(self, address: Address, batch: Batch, past: Past) -> Mapping[str, tf.Tensor]:
        """The values of an address for the rows of a batch; see `mtkit.feed.interface.Feed.feature`."""


def variable(name: str, values: np.ndarray) -> tf.Variable:
    """Data on the device: not trainable, and no part of a model's weights."""
    return tf.Variable(values, trainable=False, name=name)


class Mapped:
    """Data that stay in their file: of these, rows are read on the host, when they are asked for.

    Args:
        values: `[rows, ...]`, mapped.
    """

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def gather(self, rows: tf.Tensor) -> tf.Tensor:
        """Some rows, `[*rows.shape, ...]`."""
        found = tf.numpy_function(self.values.__getitem__, [rows], self.values.dtype, stateful=False)
        return tf.ensure_shape(found, [*rows.shape, *self.values.shape[1:]])


def gathered(held: tf.Variable | Mapped, rows: tf.Tensor) -> tf.Tensor:
    """Rows of data on the device. To gather from the variable itself would copy it, where something else sees its values."""
    return held.gather(rows) if isinstance(held, Mapped) else tf.gather(held.read_value(), rows)


def seen(held: tf.Variable | Mapped, values: np.ndarray) -> np.ndarray:
    """The values as they lie in a variable, so that the array that it was made of can go; elsewhere than on a CPU, that array.

    What is seen cannot be written to.
    """
    if isinstance(held, Mapped) or hasattr(held, "values") or "CPU" not in held.device or held.shape[0] != len(values):
        return values  # of several replicas, on another device, or of something to gather from where there is nothing
    view = np.asarray(memoryview(held.read_value()))
    view.flags.writeable = False
    return view


class Context:
    """Columns of the row itself."""

    def feature(self, address: Address, batch: Batch, past: Past) -> dict[str, tf.Tensor]:
        """The batch's own column."""
        if address in batch.given:
            return with_weights(address, batch.given)
        columns = with_weights(address.column, batch.context)
        return {Address.of(CONTEXT, column): values for column, values in columns.items()}


class Known:
    """What preprocessors make of what was known before the row."""

    def feature(self, address: Address, batch: Batch, past: Past) -> dict[str, tf.Tensor]:
        """The numbers of the batch's rows."""
        return {address: batch.given[address] if address in batch.given else batch.dense[address]}


class EntityTable(tf.Module):
    """Static features of one entity in one role; row i belongs to id i, row 0 to the unknown.

    Args:
        name: the entity's name, or that of a role.
        rows: number of rows.
        columns: column -> `[rows]` or `[rows, n]` int32, or `[rows, width]` float32.
        guests: of the last rows, whose id, as a feature, is that of the unknown.
        trained: bool `[rows]`, which ids training sees; that of others is that of the unknown, too. None = all.
    """

    def __init__(
        self,
        name: str,
        rows: int,
        columns: Mapping[str, np.ndarray],
        guests: int = 0,
        trained: np.ndarray | None = None,
    ) -> None:
        super().__init__(name=name)
        self.rows, self.guests = rows, guests
        self.trained = None if trained is None else variable(f"{name}.trained", trained)
        self.columns = {key: variable(f"{name}.{key}", values) for key, values in columns.items()}

    def gather(self, column: str, ids: tf.Tensor) -> tf.Tensor:
        """The column's values for `ids`, `[*ids.shape]` or `[*ids.shape, width]`."""
        return tf.gather(self.columns[column], ids)

    def feature(self, address: Address, batch: Batch, past: Past) -> dict[str, tf.Tensor]:
        """The column of the rows' ids, or the ids themselves."""
        if address in batch.given:
            return with_weights(address, batch.given)
        ids = batch.ids[address.scope]
        if address.column == "id" and self.trained is not None:
            return {address: tf.where(tf.gather(self.trained, ids), ids, 0)}
        if address.column == "id":
            return {address: tf.where(ids < self.rows - self.guests, ids, 0) if self.guests else ids}
        columns = with_weights(address.column, self.columns)
        return {Address.of(address.scope, column): self.gather(column, ids) for column in columns}


class ChosenEvents(tf.Module):
    """The events for which a condition holds, in the order of all.

    Args:
        where: the condition.
        holds: bool `[events]`.
        name: of its variables.
    """

    def __init__(self, where: Where, holds: np.ndarray, name: str) -> None:
        super().__init__(name=name)
        self.where = where
        number = np.int32 if len(holds) <= np.iinfo(np.int32).max else np.int64
        self.before = variable(f"events.{name}.before", np.append(0, np.cumsum(holds)).astype(number))
        self.positions = variable(f"events.{name}.positions", padded(np.flatnonzero(holds).astype(number)))

    def bounds(self, bounds: tf.Tensor) -> tf.Tensor:
        """Bounds among all events, int64 `[rows, 2]`, as such among these."""
        return tf.cast(gathered(self.before, bounds), tf.int64)

    def among_all(self, places: tf.Tensor) -> tf.Tensor:
        """Places among these events, int64, as such among all."""
        return tf.cast(gathered(self.positions, places), tf.int64)


class EventLog(tf.Module):
    """The events that histories are read from, in the order of `Events`.

    Args:
        events: the events.
        role: of what they are about.
        columns: what else is read of them, preprocessed: column -> int32 `[events]`, or float32 `[events, width]`.
        chosen: condition of an encoder -> whether it holds, bool `[events]`.
        mapped: whether ids, times and columns stay in the files that they are of.
    """

    def __init__(
        self,
        events: Events,
        role: str,
        columns: Mapping[str, np.ndarray] | None = None,
        chosen: Mapping[Where, np.ndarray] | None = None,
        *,
        mapped: bool = False,
    ) -> None:
        super().__init__(name="events")
        self.role = role

        # An empty log still needs a row to gather from; no bounds point to it.
        def held(name: str, values: np.ndarray) -> tf.Variable | Mapped:
            return Mapped(padded(values)) if mapped else variable(f"events.{name}", padded(values))

        self.ids, self.time = held("ids", events.ids[role]), held("time", events.time)
        self.columns = {key: held(key, values) for key, values in (columns or {}).items()}
        self.on_device: Callable[[], EventLog] = (
            (lambda: EventLog(events, role, columns, chosen)) if mapped else (lambda: self)
        )
        conditions = enumerate((chosen or {}).items())
        self.chosen = [ChosenEvents(where, holds, f"chosen{number}") for number, (where, holds) in conditions]

    def seen(self, events: Events) -> Events:
        """The events of which this was made, with columns that lie here."""
        ids = {**events.ids, self.role: seen(self.ids, events.ids[self.role])}
        return replace(events, ids=ids, time=seen(self.time, events.time))

    def feature(self, address: Address, batch: Batch, past: Past) -> dict[str, tf.Tensor]:
        """A column of the last events of the rows' own pasts, or of the past that a request brings along.

        Of `history.<role>`, their ages come along.
        """
        item = Address.of(HISTORY, self.role)
        columns = (item, AGE) if address == item else (address,)
        if item in batch.given:
            return _last_given({column: batch.given[column] for column in columns}, batch, past, item)
        return self.last(batch.history, batch.time, past, columns)

    def last(
        self, bounds: tf.Tensor, time: tf.Tensor, past: Past, columns: Collection[Address]
    ) -> dict[str, tf.Tensor]:
        """Columns of the last events in `bounds`, oldest first, padded in front.

        Args:
            bounds: int64 `[rows, 2]`, begin and end.
            time: int64 `[rows]`, seconds, the moment from which ages count.
            past: how many events, and for which a condition holds.
            columns: `history.<role>`, `history.age` and others that lie here.

        Returns:
            `history.<role>` int32 `[rows, length]` with 0 for padding; `history.age` float32 `[rows, length]`, days;
            others int32 `[rows, length]`, 0 for what is unknown, too, or float32 `[rows, length, width]`.
        """
        there, position = self._positions(bounds, past)
        return {column: _where(there, self._values(column.column, position, time)) for column in columns}

    def _values(self, column: str, position: tf.Tensor, time: tf.Tensor) -> tf.Tensor:
        if column == AGE.column:
            return tf.cast(time[:, None] - gathered(self.time, position), tf.float32) / DAY
        return gathered(self.ids if column == self.role else self.columns[column], position)

    def _positions(self, bounds: tf.Tensor, past: Past) -> tuple[tf.Tensor, tf.Tensor]:
        """Which of the `length` events there are, bool `[rows, length]`, and where they are, int64."""
        chosen = None if past.where is None else next(each for each in self.chosen if each.where == past.where)
        bounds = bounds if chosen is None else chosen.bounds(bounds)
        place = bounds[:, 1:] - past.length + tf.range(past.length, dtype=tf.int64)
        there, place = place >= bounds[:, :1], tf.maximum(place, 0)
        return there, place if chosen is None else chosen.among_all(place)

    def latest(self, bounds: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Ids and times of the last events in `bounds`, the latest first, 0 where there are none.

        Both are `[rows, n]`; n is `count`, or the length of the longest past if that is less.
        """
        begin, end = tf.unstack(bounds, axis=1)
        longest = tf.reduce_max(tf.concat([end - begin, [0]], 0))
        position = end[:, None] - 1 - tf.range(tf.minimum(tf.cast(count, tf.int64), longest))
        there, position = position >= begin[:, None], tf.maximum(position, 0)
        return tuple(tf.where(there, gathered(values, position), 0) for values in (self.ids, self.time))


def _last_given(columns: Mapping[Address, tf.Tensor], batch: Batch, past: Past, item: Address) -> dict[str, tf.Tensor]:
    """Columns of the last events that a request brings along, as `EventLog.last` has them."""
    there, order = batch.given[item] > 0, None
    if past.where is not None:
        holds = batch.holding[past.where]
        there, order = there & holds, tf.argsort(tf.cast(holds, tf.int32), 1, stable=True)
    found: dict[str, tf.Tensor] = {}
    for column, values in columns.items():
        kept = _where(there, values)
        kept = kept if order is None else tf.gather(kept, order, batch_dims=1)
        padding = [[0, 0], [past.length, 0]] + [[0, 0]] * (kept.shape.rank - 2)
        found[column] = tf.pad(kept, padding)[:, -past.length :]
    return found


def _where(there: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Values `[rows, n]` or `[rows, n, width]`, 0 where there is nothing."""
    return tf.where(there if values.shape.rank == 2 else there[..., None], values, tf.zeros([], values.dtype))


def with_weights(name: str, columns: Mapping[Any, Any]) -> dict[Any, Any]:
    """A column, and the weights of its values if they lie beside it."""
    return {key: columns[key] for key in (name, f"{name}{WEIGHT}") if key in columns}


def providers(entities: Mapping[str, EntityTable], events: EventLog | None) -> dict[str, Provider]:
    """Scope -> what gives its features."""
    found: dict[str, Provider] = {**entities, CONTEXT: Context(), KNOWN: Known()}
    return found if events is None else {**found, HISTORY: events}


def padded(values: np.ndarray) -> np.ndarray:
    """The values, or one row of zeros where there are none: something to gather from."""
    return values if len(values) else np.zeros((1, *values.shape[1:]), values.dtype)
