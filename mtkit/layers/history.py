"""An encoder of the past: a bag of items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtkit.backend import keras, tf


@keras.saving.register_keras_serializable(package="mtkit")
class History(keras.layers.Layer):
    """Sums the embeddings of past items, weighted by how often they occur.

    state = Σ_j d_j log(1 + n_j) e_j / sqrt(number of distinct items), where n_j counts item j among the last events and d
    drops whole items in training. e_j is the item's own embedding, to which a map of the output of another encoder
    (of text, say) is added.

    Args:
        entity: what the events are about; the call's input is `history.<entity>`.
        size: number of rows of the entity's table.
        dim: width of the embedding.
        length: events that are read, the last ones.
        content: name of an encoder of the entity, whose output is mapped to `dim` and added.
        dropout: share of items dropped from each past in training.

    Call: a dictionary with `history.<entity>` int `[rows, length]` (0 = padding) and `catalog.<content>` `[size, width]`.
    Returns `[rows, dim]`. Time and memory are those of a `[rows, size]` matrix.
    """

    def __init__(
        self,
        entity: str,
        size: int,
        dim: int,
        length: int,
        content: str | None = None,
        dropout: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.entity, self.size, self.dim, self.length = entity, size, dim, length
        self.content, self.dropout = content, dropout
        small = keras.initializers.RandomNormal(stddev=0.01)
        self._map = keras.layers.Dense(dim, use_bias=False, name="content") if content else None
        self._dropout = keras.layers.Dropout(dropout, rng_type="stateful")
        self.items = self.add_weight("items", (size, dim), initializer=small)

    def call(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """The embedding of each row's past."""
        table = tf.cast(self.items, self.compute_dtype)
        if self._map is not None:
            table = table + self._map(inputs[f"catalog.{self.content}"])
        counts = self._counts(inputs[f"history.{self.entity}"])
        distinct = tf.reduce_sum(tf.cast(counts > 0, self.compute_dtype), 1, keepdims=True)
        bag = self._dropout(tf.math.log1p(counts), training=training)
        return tf.matmul(bag, table) * tf.math.rsqrt(tf.maximum(distinct, 1.0))

    def _counts(self, ids: tf.Tensor) -> tf.Tensor:
        """How often each item occurs, `[rows, size]`."""
        rows = tf.shape(ids)[0]
        flat = tf.reshape(ids + self.size * tf.range(rows)[:, None], [-1])
        there = tf.reshape(tf.cast(ids > 0, self.compute_dtype), [-1])
        return tf.reshape(tf.math.unsorted_segment_sum(there, flat, rows * self.size), [rows, self.size])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {
            "entity": self.entity,
            "size": self.size,
            "dim": self.dim,
            "length": self.length,
            "content": self.content,
            "dropout": self.dropout,
        }
