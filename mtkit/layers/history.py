"""An encoder of the past: a bag of items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtkit.backend import keras, tf
from mtkit.layers.axes import Axis
from mtkit.layers.initializers import Isometry

GATHERED = 32
"""How many times longer than the past a table is from which on embeddings of the past are gathered."""

_PREPARED = "prepared"


@keras.saving.register_keras_serializable(package="mtkit")
class History(keras.layers.Layer):
    """Sums the embeddings of past items, weighted by how often they occur.

    state = Σ_j d_j log(1 + n_j) e_j / sqrt(number of distinct items), where n_j counts item j among the last events and
    d drops whole items in training. e_j is the item's own embedding, to which a map of the output of another encoder
    (of text, say) is added.

    Args:
        entity: what the events are about; the call's input is `history.<entity>`.
        size: number of rows of the entity's table.
        dim: width of the embedding.
        length: events that are read, the last ones.
        content: name of an encoder of the entity, whose output is mapped to `dim` and added.
        dropout: share of items dropped from each past in training.

    Call: a dictionary with `history.<entity>` int `[rows, length]` (0 = padding) and `catalog.<content>`
    `[size, width]`, or what `prepare` made of the latter. Returns `[rows, dim]`. Time and memory are those of a
    `[rows, size]` matrix, or of one of `[rows, length, dim]` where the table is more than 32 times as long as the past.
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
        self._map = (
            keras.layers.Dense(dim, use_bias=False, kernel_initializer=Isometry(), name="content") if content else None
        )
        self._dropout = keras.layers.Dropout(dropout, rng_type="stateful")
        self.items = self.add_weight("items", (size, dim), initializer=small)

    def call(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """The embedding of each row's past."""
        ids = inputs[f"history.{self.entity}"]
        prepared = inputs if _PREPARED in inputs else self.prepare(inputs)
        items, counts = self._distinct(ids) if self._by_rows else (None, self._counts(ids))
        number = tf.reduce_sum(tf.cast(counts > 0, tf.float32), 1, keepdims=True)
        bag = self._dropout(tf.math.log1p(counts), training=training)
        scale = tf.cast(tf.math.rsqrt(tf.maximum(number, 1.0)), bag.dtype)
        if items is None:
            return tf.matmul(bag, prepared[_PREPARED]) * scale
        return tf.linalg.matvec(self._gathered(items, prepared[_PREPARED]), bag, transpose_a=True) * scale

    def prepare(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """What does not depend on rows, to be computed once for several calls.

        This saves time, and keeps gradients reproducible: calls that each added content to the items would give both
        of them the same gradient tensors, and TensorFlow's AddN begins a sum with the first of its tensors that no
        other operation still holds, even where determinism was asked for.

        Args:
            inputs: `catalog.<content>` `[size, width]`, if there is content.

        Returns:
            One tensor `[size, dim]`, the embeddings; of the content alone where the items' own are gathered.
        """
        with tf.name_scope(self.name):
            content = self._map(inputs[f"catalog.{self.content}"]) if self._map else tf.zeros([], self.compute_dtype)
            return {_PREPARED: content if self._by_rows else tf.cast(self.items, self.compute_dtype) + content}

    @property
    def _by_rows(self) -> bool:
        return self.size > GATHERED * self.length

    def _gathered(self, items: tf.Tensor, content: tf.Tensor) -> tf.Tensor:
        """The embeddings of `items`, `[rows, length, dim]`."""
        own = tf.cast(tf.gather(self.items, items), self.compute_dtype)
        return own + tf.gather(content, items) if self._map else own

    def _counts(self, ids: tf.Tensor) -> tf.Tensor:
        """How often each item occurs, float32 `[rows, size]`."""
        rows = tf.shape(ids)[0]
        flat = tf.reshape(ids + self.size * tf.range(rows)[:, None], [-1])
        there = tf.reshape(tf.cast(ids > 0, tf.float32), [-1])
        return tf.reshape(tf.math.unsorted_segment_sum(there, flat, rows * self.size), [rows, self.size])

    def _distinct(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Each row's distinct items, filled up with 0, and how often they occur, float32; both `[rows, length]`."""
        ids = tf.sort(ids, 1)
        begins = tf.cast(ids[:, 1:] != ids[:, :-1], tf.int32)
        rank = tf.pad(tf.cumsum(begins, 1), [[0, 0], [1, 0]])
        rows, length = tf.unstack(tf.shape(ids))
        flat = tf.reshape(rank + length * tf.range(rows)[:, None], [-1])
        items = tf.maximum(tf.math.unsorted_segment_max(tf.reshape(ids, [-1]), flat, rows * length), 0)
        there = tf.reshape(tf.cast(ids > 0, tf.float32), [-1])
        counts = tf.math.unsorted_segment_sum(there, flat, rows * length)
        return tf.reshape(items, [rows, length]), tf.reshape(counts, [rows, length])

    def axes(self) -> list[Axis]:
        """The rows of the items' own embeddings."""
        return [Axis(self.items, 0, f"{self.entity}.id")]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "entity": self.entity,
            "size": self.size,
            "dim": self.dim,
            "length": self.length,
            "content": self.content,
            "dropout": self.dropout,
        }
