"""Rows of a table that lie in files: those of a step are read on the host, ahead of it, and no others are in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from mtkit.backend import tf
from mtkit.feed.batch import Batch, Lists
from mtkit.feed.device_tables import Sequences, SharedColumn, shares_of
from mtkit.types import RowTable

#: What was read of the rows of a step: name of a column, with its kind before it -> tensor.
Read = Mapping[str, tf.Tensor]

_KINDS = ("ids", "context", "labels", "weights", "dense")
_SINGLE = ("time", "known", "history")


class StreamedRows(tf.Module):
    """A row table in files, in the place of a `mtkit.feed.device_tables.RowStore`.

    Args:
        table: the rows, their arrays mapped; its context columns already preprocessed.
        sizes: role -> rows of its catalog.
    """

    streamed = True

    def __init__(self, table: RowTable, sizes: Mapping[str, int] | None = None) -> None:
        super().__init__(name=table.name)
        self.rows, self.units = len(table), table.units
        self.sequences = None if table.sequence is None else Sequences(table.sequence)
        self.shared = {key: SharedColumn(key, values) for key, values in table.shared.items()}
        self.shares = shares_of(table, sizes)
        self._columns = _columns(table)
        self._lists = table.lists
        self.lists = tuple(table.lists)

    def seen(self, table: RowTable) -> RowTable:
        """The table itself: its columns stay in their files."""
        return table

    def gather(self, numbers: tf.Tensor | Read) -> Batch:
        """The batch of rows, or of sequences of them, int64 `[batch]`, or of what `read` gave for them."""
        read = numbers if isinstance(numbers, Mapping) else self.read(numbers)
        if self.sequences is None:
            return self._batch(read)
        _, sequences = self.sequences.rows(read["numbers"])
        return replace(self._batch(read), sequences=sequences)

    def read(self, numbers: tf.Tensor) -> dict[str, tf.Tensor]:
        """The columns of rows, or of those of sequences: read on the host."""
        rows = numbers if self.sequences is None else self.sequences.rows(numbers)[0]
        found = self._read(rows, self._columns, lambda at: [values[at] for values in self._columns.values()])
        for key, ragged in self._lists.items():
            names = list(ragged.values)

            def of_list(at: np.ndarray, ragged: Any = ragged) -> list[np.ndarray]:
                taken = ragged.take(at)
                row = np.repeat(np.arange(len(at)), np.diff(taken.offsets))
                return [row, *taken.values.values()]

            kinds = {f"lists/{key}/row": np.zeros(0, np.int64), **{f"lists/{key}/{n}": ragged.values[n] for n in names}}
            found |= self._read(rows, kinds, of_list, aligned=False)
        return {"numbers": numbers, "rows": rows, **found}

    def _read(
        self,
        rows: tf.Tensor,
        kinds: Mapping[str, np.ndarray],
        read: Callable[[np.ndarray], list[np.ndarray]],
        *,
        aligned: bool = True,
    ) -> dict[str, tf.Tensor]:
        """Arrays that a function of places gives, as tensors: of the dtypes, and the shapes behind the first axis, of others."""
        types = [tf.as_dtype(values.dtype) for values in kinds.values()]
        made = tf.numpy_function(read, [tf.maximum(rows, 0)], types, stateful=False) if kinds else []
        for tensor, values in zip(made, kinds.values(), strict=True):
            tensor.set_shape([rows.shape[0] if aligned else None, *values.shape[1:]])
        return dict(zip(kinds, made, strict=True))

    def _batch(self, read: Read) -> Batch:
        rows = read["rows"]
        present = tf.cast(rows >= 0, tf.float32)
        time = read.get("time")
        lists = {key: _under(f"lists/{key}/", read) for key in self.lists}
        at = tf.maximum(rows, 0)
        return Batch(
            ids=_under("ids/", read),
            present=present,
            time=time,
            known=read.get("known", time),
            history=read.get("history"),
            context=_under("context/", read),
            labels=_under("labels/", read),
            weights={name: values * present for name, values in _under("weights/", read).items()},
            dense=_under("dense/", read),
            lists={key: Lists(values.pop("row"), values) for key, values in lists.items()},
            shared={key: values.gather(at) for key, values in self.shared.items()},
        )


def _columns(table: RowTable) -> dict[str, np.ndarray]:
    found = {f"{kind}/{name}": values for kind in _KINDS for name, values in getattr(table, kind).items()}
    return found | {name: values for name in _SINGLE if len(values := getattr(table, name))}


def _under(prefix: str, read: Read) -> dict[str, tf.Tensor]:
    return {name.removeprefix(prefix): values for name, values in read.items() if name.startswith(prefix)}
