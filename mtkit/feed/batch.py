"""The columns of the rows of a step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mtkit.backend import tf
from mtkit.conditions import Where


class Lists(NamedTuple):
    """Lists of unequal length, end to end.

    Attributes:
        row: int64 `[n]`, the row of the batch that an entry belongs to.
        values: name -> `[n, ...]`.
    """

    row: tf.Tensor
    values: Mapping[str, tf.Tensor]


class SharedValues(NamedTuple):
    """What several rows have in common: row r has `values[index[r]]`.

    Attributes:
        index: int32 `[rows]`.
        values: `[distinct, ...]`, of the whole row table.
    """

    index: tf.Tensor
    values: tf.Tensor


class InSequences(NamedTuple):
    """Which sequences rows are places of; rows of one sequence stand together, oldest first.

    Attributes:
        number: int64 `[rows]`, ascending: the sequence of each row.
        last: int64 `[sequences]`: the last row of each, whose past has those of its other rows in it.
    """

    number: tf.Tensor
    last: tf.Tensor


class Repeats(NamedTuple):
    """What a batch repeats: each row of another one comes several times in a row.

    Attributes:
        batch: the other one.
        times: int32, a scalar.
    """

    batch: Batch
    times: tf.Tensor


@dataclass(frozen=True)
class Batch:
    """Columns of the rows of one table, on the device. Each kind has names of its own, as in `mtkit.types.RowTable`.

    Attributes:
        ids: role -> int32 `[rows]`.
        present: float32 `[rows]`; 0 = there is no such row, and all of its weights are 0.
        time: int64 `[rows]`, seconds; None for tables without time.
        known: int64 `[rows]`, seconds: what happened strictly before it is known of the row; None as `time` is.
        history: int64 `[rows, 2]`, begin and end of the own past among the events; None for tables without history.
        context: column -> `[rows]` or `[rows, width]`, preprocessed.
        labels: label -> `[rows]`.
        weights: label -> float32 `[rows]`.
        dense: name -> `[rows, ...]`.
        lists: name -> lists of unequal length.
        shared: name -> what several rows have in common.
        given: address -> tensor: features that a request brings along, in the place of those of the tables.
        holding: condition -> bool `[rows, n]`: for which of the past events that a request brings along it holds.
        sequences: of rows that were drawn in sequences, which these are; encoders may compute what their rows share once.
        repeats: the batch of which this one has each row several times, with ids of other roles beside; None = of none.
    """

    ids: Mapping[str, tf.Tensor]
    present: tf.Tensor | None = None
    time: tf.Tensor | None = None
    known: tf.Tensor | None = None
    history: tf.Tensor | None = None
    context: Mapping[str, tf.Tensor] = field(default_factory=dict)
    labels: Mapping[str, tf.Tensor] = field(default_factory=dict)
    weights: Mapping[str, tf.Tensor] = field(default_factory=dict)
    dense: Mapping[str, tf.Tensor] = field(default_factory=dict)
    lists: Mapping[str, Lists] = field(default_factory=dict)
    shared: Mapping[str, SharedValues] = field(default_factory=dict)
    given: Mapping[str, tf.Tensor] = field(default_factory=dict)
    holding: Mapping[Where, tf.Tensor] = field(default_factory=dict)
    sequences: InSequences | None = None
    repeats: Repeats | None = None

    def of_sequences(self) -> tuple[Batch, tf.Tensor]:
        """The last rows of the sequences, as far as their pasts go, and how many events later than each row's its past ends.

        The second is int64 `[rows]`, 0 for the last row of a sequence.
        """
        assert self.sequences is not None
        assert self.history is not None, "sequences are of events"
        number, last = self.sequences

        def of_last(values: tf.Tensor | None) -> tf.Tensor | None:
            return None if values is None else tf.gather(values, last)

        lasts = Batch(
            {},
            present=of_last(self.present),
            time=of_last(self.time),
            known=of_last(self.known),
            history=of_last(self.history),
        )
        return lasts, tf.gather(self.history[:, 1], tf.gather(last, number)) - self.history[:, 1]

    def scale(self, names: Sequence[str]) -> tf.Tensor | None:
        """What rows count, float32 `[rows]`: the product of some dense columns, those of them that there are; None = 1."""
        found = [self.dense[name] for name in names if name in self.dense]
        return math.prod(found[1:], start=found[0]) if found else None

    def paired(self, role: str, ids: tf.Tensor) -> Batch:
        """Each row with each of several ids of a role, int32 `[rows, n]`, in one batch of `rows * n`; without lists."""
        times = tf.shape(ids)[1]

        def repeated(values: tf.Tensor | None) -> tf.Tensor | None:
            return None if values is None else tf.repeat(values, times, axis=0)

        def each(columns: Mapping[Any, tf.Tensor]) -> dict[Any, tf.Tensor]:
            return {name: tf.repeat(values, times, axis=0) for name, values in columns.items()}

        return Batch(
            ids=each(self.ids) | {role: tf.reshape(ids, [-1])},
            present=repeated(self.present),
            time=repeated(self.time),
            known=repeated(self.known),
            history=repeated(self.history),
            context=each(self.context),
            dense=each(self.dense),
            given=each(self.given),
            holding=each(self.holding),
            repeats=Repeats(self, times),
        )

    def take(self, rows: tf.Tensor) -> Batch:
        """Some of the rows, int `[n]`, ascending and each once; each for itself, where they were of sequences."""

        def taken(values: tf.Tensor | None) -> tf.Tensor | None:
            return None if values is None else tf.gather(values, rows)

        def each(columns: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            return {name: tf.gather(values, rows) for name, values in columns.items()}

        return Batch(
            ids=each(self.ids),
            present=taken(self.present),
            time=taken(self.time),
            known=taken(self.known),
            history=taken(self.history),
            context=each(self.context),
            labels=each(self.labels),
            weights=each(self.weights),
            dense=each(self.dense),
            lists={name: _taken(values, rows) for name, values in self.lists.items()},
            shared={name: SharedValues(tf.gather(v.index, rows), v.values) for name, v in self.shared.items()},
            given=each(self.given),
            holding={where: tf.gather(values, rows) for where, values in self.holding.items()},
        )


def _taken(lists: Lists, rows: tf.Tensor) -> Lists:
    """The entries of some rows, numbered by their places among these."""
    match = lists.row[:, None] == tf.cast(rows, tf.int64)
    kept = tf.reduce_any(match, 1)
    place = tf.boolean_mask(tf.argmax(match, 1), kept)
    return Lists(place, {name: tf.boolean_mask(values, kept) for name, values in lists.values.items()})
