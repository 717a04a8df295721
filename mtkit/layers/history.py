"""An encoder of the past: a weighted bag of items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtkit.backend import keras, tf

HALF_LIVES = (7.0, 30.0, 90.0, 365.0)
"""Half-lives of the decays that are mixed, in days."""

DENSE_CATALOG = 8192
"""Up to this many items a bag is a row of the catalog and its sum one matrix product; above, embeddings are gathered."""


@keras.saving.register_keras_serializable(package="mtkit")
class History(keras.layers.Layer):
    """Sums the embeddings of past items, weighted by a learned mixture of exponential decays of their age.

    state = Σ_j d_j w_j e_j / sqrt(Σ_j w_j), w_j = Σ_h softplus(a_h) 2^(-age_j / h), where d drops whole items in training.

    Args:
        entity: what the events are about; the call's input is `history.<entity>`.
        size: number of rows of the entity's table.
        dim: width of the embedding.
        length: events that are read, the last ones.
        content: name of an encoder of the entity; its output is mapped to `dim` and added to the items' own embeddings.
        dropout: share of items dropped from each past in training.

    Call: a dictionary with `history.<entity>` int `[rows, length]` (0 = padding), `history.age` `[rows, length]` in days,
    and `catalog.<content>` `[size, width]`. Returns `[rows, dim]`.
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
        self._map = keras.layers.Dense(dim, use_bias=False, name="content") if content else None
        self._dropout = keras.layers.Dropout(dropout, rng_type="stateful")

    def build(self, input_shape: Any) -> None:
        """Creates the items' own embeddings and the weights of the decays."""
        self.items = self.add_weight("items", (self.size, self.dim), initializer=keras.initializers.RandomNormal(stddev=0.05))
        self.decays = self.add_weight("decays", (len(HALF_LIVES),), initializer="zeros")
        super().build(input_shape)

    def call(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """The embedding of each row's past."""
        ids, age = inputs[f"history.{self.entity}"], inputs["history.age"]
        weights = self._weights(age) * tf.cast(ids > 0, self.compute_dtype)
        norm = tf.math.rsqrt(tf.reduce_sum(weights, axis=1, keepdims=True) + 1.0)
        table = tf.cast(self.items, self.compute_dtype)
        if self._map is not None:
            table += self._map(inputs[f"catalog.{self.content}"])
        if self.size <= DENSE_CATALOG:
            return norm * tf.matmul(self._dropout(self._bag(ids, weights), training=training), table)
        kept = self._dropout(weights, training=training)
        return norm * tf.einsum("rn,rnd->rd", kept, tf.gather(table, ids))

    def _weights(self, age: tf.Tensor) -> tf.Tensor:
        rates = tf.pow(tf.constant(2.0, self.compute_dtype), -tf.cast(age, self.compute_dtype)[..., None] / HALF_LIVES)
        return tf.linalg.matvec(rates, tf.nn.softplus(tf.cast(self.decays, self.compute_dtype)))

    def _bag(self, ids: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Weights by item, `[rows, size]`."""
        rows = tf.shape(ids)[0]
        flat = ids + self.size * tf.range(rows)[:, None]
        bag = tf.math.unsorted_segment_sum(tf.reshape(weights, [-1]), tf.reshape(flat, [-1]), rows * self.size)
        return tf.reshape(bag, [rows, self.size])

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
