"""Ids of the data, and the rows of their catalog."""

from __future__ import annotations

import numpy as np

from mtkit.backend import tf


class Lookup(tf.Module):
    """Between the data's ids, as strings, and rows of an entity table; what is not known is row 0.

    Args:
        name: the entity.
        ids: `[rows]` strings or integers; the first stands for the unknown.
    """

    def __init__(self, name: str, ids: np.ndarray) -> None:
        super().__init__(name=name)
        strings = [str(value) for value in ids[1:]]
        rows = tf.range(1, len(ids), dtype=tf.int32)
        self.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(tf.constant(strings), rows), 0)
        self.ids = tf.Variable(["", *strings], trainable=False, name=f"{name}.ids")

    def rows(self, ids: tf.Tensor) -> tf.Tensor:
        """Rows int32 of the shape of `ids`."""
        return self.table.lookup(ids)

    def names(self, rows: tf.Tensor) -> tf.Tensor:
        """Ids, strings of the shape of `rows`."""
        return tf.gather(self.ids, rows)
