"""Data on the device: entity tables and row tables as variables, batches by gathering columns.

The variables are not trainable and not part of a model's weights: they come from the data, so checkpoints leave them out
and an export holds each once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mtkit.backend import tf
from mtkit.types import Events, Ragged, RowTable

SECONDS_PER_DAY = 86_400


def _variable(name: str, values: np.ndarray) -> tf.Variable:
    return tf.Variable(values, trainable=False, name=name)


class EntityTable(tf.Module):
    """Static features of one entity; row i belongs to id i, row 0 to the unknown.

    Args:
        name: the entity's name.
        rows: number of rows.
        columns: column -> `[rows]` int32, or `[rows, width]` float32.
    """

    def __init__(self, name: str, rows: int, columns: Mapping[str, np.ndarray]) -> None:
        super().__init__(name=name)
        self.rows = rows
        self.columns = {key: _variable(f"{name}.{key}", values) for key, values in columns.items()}

    def gather(self, column: str, ids: tf.Tensor) -> tf.Tensor:
        """The column's values for `ids`, `[*ids.shape]` or `[*ids.shape, width]`."""
        return tf.gather(self.columns[column], ids)


class EventLog(tf.Module):
    """The events that histories are read from, in the order of `Events`."""

    def __init__(self, events: Events, entity: str) -> None:
        super().__init__(name="events")
        self.entity = entity
        # An empty log still needs a row to gather from; no bounds point to it.
        self.ids = _variable("events.ids", _padded(events.ids[entity]))
        self.time = _variable("events.time", _padded(events.time))

    def last(self, bounds: tf.Tensor, time: tf.Tensor, length: int) -> dict[str, tf.Tensor]:
        """The last `length` events in `bounds`, oldest first, padded in front.

        Args:
            bounds: int64 `[rows, 2]`, begin and end.
            time: int64 `[rows]`, seconds, the moment from which ages count.
            length: events per row.

        Returns:
            `history.<entity>` int32 `[rows, length]` with 0 for padding, and `history.age` float32 `[rows, length]`, days.
        """
        position = bounds[:, 1:] - length + tf.range(length, dtype=tf.int64)
        inside = position >= bounds[:, :1]
        position = tf.maximum(position, 0)
        age = tf.cast(time[:, None] - tf.gather(self.time, position), tf.float32) / SECONDS_PER_DAY
        return {
            f"history.{self.entity}": tf.where(inside, tf.gather(self.ids, position), 0),
            "history.age": tf.where(inside, age, 0.0),
        }


class RaggedColumns(tf.Module):
    """Rows of unequal length, gathered end to end: nothing is spent on padding."""

    def __init__(self, name: str, ragged: Ragged) -> None:
        super().__init__(name=name)
        self.offsets = _variable(f"{name}.offsets", ragged.offsets)
        self.values = {key: _variable(f"{name}.{key}", _padded(values)) for key, values in ragged.values.items()}

    def gather(self, rows: tf.Tensor) -> dict[str, tf.Tensor]:
        """The entries of `rows`: `NAME.row` int64 `[n]`, which of `rows` an entry belongs to, and its values `[n, ...]`."""
        entries = tf.ragged.range(tf.gather(self.offsets, rows), tf.gather(self.offsets, rows + 1))
        gathered = {f"{self.name}.{key}": tf.gather(values, entries.values) for key, values in self.values.items()}
        return gathered | {f"{self.name}.row": entries.value_rowids()}


class RowStore(tf.Module):
    """A row table on the device.

    Args:
        table: the rows; its context columns already preprocessed.
    """

    def __init__(self, table: RowTable) -> None:
        super().__init__(name=table.name)
        self.rows = len(table)
        columns = dict(table.ids)
        columns |= {f"context.{key}": values for key, values in table.context.items()}
        columns |= {f"label.{key}": values for key, values in table.labels.items()}
        columns |= {f"weight.{key}": values for key, values in table.weights.items()}
        if len(table.time):
            columns["time"] = table.time
        if len(table.history):
            columns["history"] = table.history
        if table.activity is not None and table.moment is not None:
            columns |= {"activity": table.activity, "moment": table.moment}
        self.columns = {key: _variable(f"{table.name}.{key}", values) for key, values in columns.items()}
        self.shares = {
            entity: _variable(f"{table.name}.{entity}.share", _shares(ids)) for entity, ids in table.ids.items()
        }
        ragged = {"target": table.targets, "own": table.own}
        self.popularity = None if table.popularity is None else _variable("popularity", table.popularity)
        self.ragged = {key: RaggedColumns(key, values) for key, values in ragged.items() if values is not None}

    def gather(self, rows: tf.Tensor) -> dict[str, tf.Tensor]:
        """The batch of `rows`, int64 `[batch]`; where a row is -1, `row.weight` and all label weights are 0."""
        present = tf.cast(rows >= 0, tf.float32)
        rows = tf.maximum(rows, 0)
        batch = {key: tf.gather(values, rows) for key, values in self.columns.items()}
        batch |= {key: value * present for key, value in batch.items() if key.startswith("weight.")}
        for ragged in self.ragged.values():
            batch |= ragged.gather(rows)
        if self.popularity is not None:
            batch["popularity"] = tf.convert_to_tensor(self.popularity)
        return batch | {"row.weight": present}


@dataclass(frozen=True)
class DeviceData:
    """What batches are gathered from.

    Attributes:
        entities: entity -> its table.
        events: what histories are read from; None where rows stand for themselves.
        rows: row table -> its training rows, and with `/eval` behind its name, its evaluation rows.
    """

    entities: Mapping[str, EntityTable]
    events: EventLog | None
    rows: Mapping[str, RowStore]


def _shares(ids: np.ndarray) -> np.ndarray:
    """The share of rows that have each id, float32 up to the largest id."""
    return (np.bincount(ids) / max(len(ids), 1)).astype(np.float32)


def _padded(values: np.ndarray) -> np.ndarray:
    return values if len(values) else np.zeros((1, *values.shape[1:]), values.dtype)
