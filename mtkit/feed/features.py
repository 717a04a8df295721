"""Features on the device, by the scope of their address: what encoders are called with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from mtkit.backend import tf
from mtkit.feed.batch import Batch
from mtkit.schema import CONTEXT, HISTORY, WEIGHT, Address
from mtkit.types import DAY, Events

AGE = Address.of(HISTORY, "age")
"""What comes with every past: days since its events."""


class Provider(Protocol):
    """What gives the features of a scope; what a request brings along (`Batch.given`) comes first."""

    def feature(self, address: Address, batch: Batch, history_length: int) -> Mapping[str, tf.Tensor]:
        """The values of an address for the rows of a batch; see `mtkit.feed.interface.Feed.feature`."""


def variable(name: str, values: np.ndarray) -> tf.Variable:
    """Data on the device: not trainable, and no part of a model's weights."""
    return tf.Variable(values, trainable=False, name=name)


def gathered(held: tf.Variable, rows: tf.Tensor) -> tf.Tensor:
    """Rows of data on the device. To gather from the variable itself would copy it, where something else sees its values."""
    return tf.gather(held.read_value(), rows)


def seen(held: tf.Variable, values: np.ndarray) -> np.ndarray:
    """The values as they lie in a variable, so that the array that it was made of can go; elsewhere than on a CPU, that array.

    What is seen cannot be written to.
    """
    if hasattr(held, "values") or "CPU" not in held.device or held.shape[0] != len(values):
        return values  # of several replicas, on another device, or of something to gather from where there is nothing
    view = np.asarray(memoryview(held.read_value()))
    view.flags.writeable = False
    return view


class Context:
    """Columns of the row itself."""

    def feature(self, address: Address, batch: Batch, history_length: int) -> dict[str, tf.Tensor]:
        """The batch's own column."""
        if address in batch.given:
            return with_weights(address, batch.given)
        columns = with_weights(address.column, batch.context)
        return {Address.of(CONTEXT, column): values for column, values in columns.items()}


class EntityTable(tf.Module):
    """Static features of one entity in one role; row i belongs to id i, row 0 to the unknown.

    Args:
        name: the entity's name, or that of a role.
        rows: number of rows.
        columns: column -> `[rows]` or `[rows, n]` int32, or `[rows, width]` float32.
        guests: of the last rows, whose id, as a feature, is that of the unknown.
    """

    def __init__(self, name: str, rows: int, columns: Mapping[str, np.ndarray], guests: int = 0) -> None:
        super().__init__(name=name)
        self.rows, self.guests = rows, guests
        self.columns = {key: variable(f"{name}.{key}", values) for key, values in columns.items()}

    def gather(self, column: str, ids: tf.Tensor) -> tf.Tensor:
        """The column's values for `ids`, `[*ids.shape]` or `[*ids.shape, width]`."""
        return tf.gather(self.columns[column], ids)

    def feature(self, address: Address, batch: Batch, history_length: int) -> dict[str, tf.Tensor]:
        """The column of the rows' ids, or the ids themselves."""
        if address in batch.given:
            return with_weights(address, batch.given)
        ids = batch.ids[address.scope]
        if address.column == "id":
            return {address: tf.where(ids < self.rows - self.guests, ids, 0) if self.guests else ids}
        columns = with_weights(address.column, self.columns)
        return {Address.of(address.scope, column): self.gather(column, ids) for column in columns}


class EventLog(tf.Module):
    """The events that histories are read from, in the order of `Events`."""

    def __init__(self, events: Events, role: str) -> None:
        super().__init__(name="events")
        self.role = role
        # An empty log still needs a row to gather from; no bounds point to it.
        self.ids = variable("events.ids", padded(events.ids[role]))
        self.time = variable("events.time", padded(events.time))

    def seen(self, events: Events) -> Events:
        """The events of which this was made, with columns that lie here."""
        ids = {**events.ids, self.role: seen(self.ids, events.ids[self.role])}
        return replace(events, ids=ids, time=seen(self.time, events.time))

    def feature(self, address: Address, batch: Batch, history_length: int) -> dict[str, tf.Tensor]:
        """The last events of the rows' own pasts, or of the past that a request brings along, with their ages."""
        if address not in batch.given:
            return self.last(batch.history, batch.time, history_length)
        padding = [[0, 0], [history_length, 0]]
        return {name: tf.pad(batch.given[name], padding)[:, -history_length:] for name in (address, AGE)}

    def last(self, bounds: tf.Tensor, time: tf.Tensor, length: int) -> dict[str, tf.Tensor]:
        """The last `length` events in `bounds`, oldest first, padded in front.

        Args:
            bounds: int64 `[rows, 2]`, begin and end.
            time: int64 `[rows]`, seconds, the moment from which ages count.
            length: events per row.

        Returns:
            `history.<role>` int32 `[rows, length]` with 0 for padding, and `history.age` float32 `[rows, length]`, days.
        """
        position = bounds[:, 1:] - length + tf.range(length, dtype=tf.int64)
        inside = position >= bounds[:, :1]
        position = tf.maximum(position, 0)
        age = tf.cast(time[:, None] - gathered(self.time, position), tf.float32) / DAY
        return {
            Address.of(HISTORY, self.role): tf.where(inside, gathered(self.ids, position), 0),
            AGE: tf.where(inside, age, 0.0),
        }

    def latest(self, bounds: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Ids and times of the last events in `bounds`, the latest first, 0 where there are none.

        Both are `[rows, n]`; n is `count`, or the length of the longest past if that is less.
        """
        begin, end = tf.unstack(bounds, axis=1)
        longest = tf.reduce_max(tf.concat([end - begin, [0]], 0))
        position = end[:, None] - 1 - tf.range(tf.minimum(tf.cast(count, tf.int64), longest))
        there, position = position >= begin[:, None], tf.maximum(position, 0)
        return tuple(tf.where(there, gathered(values, position), 0) for values in (self.ids, self.time))


def with_weights(name: str, columns: Mapping[Any, Any]) -> dict[Any, Any]:
    """A column, and the weights of its values if they lie beside it."""
    return {key: columns[key] for key in (name, f"{name}{WEIGHT}") if key in columns}


def providers(entities: Mapping[str, EntityTable], events: EventLog | None) -> dict[str, Provider]:
    """Scope -> what gives its features."""
    found: dict[str, Provider] = {**entities, CONTEXT: Context()}
    return found if events is None else {**found, HISTORY: events}


def padded(values: np.ndarray) -> np.ndarray:
    """The values, or one row of zeros where there are none: something to gather from."""
    return values if len(values) else np.zeros((1, *values.shape[1:]), values.dtype)
