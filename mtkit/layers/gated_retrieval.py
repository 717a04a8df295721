"""Retrieval that tells repeat consumption from discovery: a pair term over the query's own past items, and a gate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtkit.backend import keras, tf
from mtkit.heads import Candidates, RetrievalHead


@keras.saving.register_keras_serializable(package="mtkit")
class GatedRetrieval(RetrievalHead):
    """Scores items of the past by how they were consumed, and all others by a dot product.

    logit(u, i) = b_i + s(u, i) pair(u, i) + (1 - s(u, i)) q_u · c_i, where s is 1 if i is in u's own past, and
    pair(u, i) = (v + V_i + A a_u) · x(u, i) + p_i with x the channels of the past item (counts, recency, intervals), V_i
    and p_i the item's own weights, and a_u the activity of u (the logarithm of its number of past items).

    The loss adds a binary cross-entropy over the whole catalog, which ranks repeats against discoveries, and a softmax over
    the items that are not in the past, which ranks discoveries among themselves.

    Args:
        size: number of rows of the item table.
        channels: number of channels of a past item.
        dim: width of query and candidate.
        discovery: weight of the softmax beside the cross-entropy.
    """

    def __init__(self, size: int, channels: int, dim: int, discovery: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.size, self.channels, self.dim, self.discovery = size, channels, dim, discovery
        self._query = keras.layers.Dense(dim, use_bias=False, name="query")
        self._candidate = keras.layers.Dense(dim, use_bias=False, name="candidate")
        self.bias = self.add_weight("bias", (size,), initializer=keras.initializers.Constant(-4.0))
        self.pair_weights = self.add_weight("pair_weights", (channels,), initializer="zeros")
        self.pair_by_activity = self.add_weight("pair_by_activity", (channels,), initializer="zeros")
        self.pair_of_item = self.add_weight("pair_of_item", (size, channels), initializer="zeros")
        self.pair_bias = self.add_weight("pair_bias", (size,), initializer="zeros")

    def query(self, view: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Query embeddings `[rows, dim + 1]`; the last coordinate is 1 and meets the item's bias."""
        query = self._query(tf.concat(list(view.values()), -1))
        return tf.concat([query, tf.ones_like(query[:, :1])], -1)

    def candidate(self, view: Mapping[str, tf.Tensor], ids: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Candidate embeddings `[candidates, dim + 1]`; the last coordinate is the item's bias."""
        candidate = self._candidate(tf.concat(list(view.values()), -1))
        return tf.concat([candidate, tf.gather(self.bias, ids)[:, None]], -1)

    def score(self, query: tf.Tensor, candidates: tf.Tensor, batch: Mapping[str, Any]) -> tf.Tensor:
        """Scores `[rows, size]` of the whole catalog."""
        dense = tf.matmul(query, candidates, transpose_b=True)
        own = self._own(batch["own.id"])
        pair = self._scatter(batch["own.id"], self._pair(batch["own.id"], batch["own.channels"]))
        bias = candidates[:, -1]
        return tf.where(own, pair + bias, dense)

    def loss(
        self, query: tf.Tensor, candidates: Candidates, batch: Mapping[str, Any], training: bool = False
    ) -> tf.Tensor:
        """Per-row loss `[rows]`: mean cross-entropy per target, and softmax cross-entropy of the discoveries."""
        logits = self.score(query, candidates.embeddings, batch)
        positive = self._own(batch["target.item"])
        count = tf.reduce_sum(tf.cast(positive, tf.float32), 1)
        labels = tf.cast(positive, tf.float32)
        binary = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits) * candidates.weights
        loss = tf.math.divide_no_nan(tf.reduce_sum(binary, 1), count)
        if not self.discovery:
            return loss
        unseen = tf.logical_and(~self._own(batch["own.id"]), candidates.weights > 0)
        return loss + self.discovery * _softmax_loss(logits, labels, unseen)

    def _pair(self, ids: tf.Tensor, channels: tf.Tensor) -> tf.Tensor:
        """The pair term of each past item, `[rows, n]`."""
        activity = tf.math.log1p(tf.reduce_sum(tf.cast(ids > 0, tf.float32), 1))[:, None, None]
        weights = self.pair_weights + self.pair_by_activity * activity + tf.gather(self.pair_of_item, ids)
        return tf.reduce_sum(weights * channels, -1) + tf.gather(self.pair_bias, ids)

    def _scatter(self, ids: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        """Values by item, `[rows, size]`; padding falls on the unknown, which is never a candidate."""
        rows = tf.shape(ids)[0]
        flat = tf.reshape(ids + self.size * tf.range(rows)[:, None], [-1])
        return tf.reshape(tf.math.unsorted_segment_sum(tf.reshape(values, [-1]), flat, rows * self.size), [rows, self.size])

    def _own(self, ids: tf.Tensor) -> tf.Tensor:
        return self._scatter(ids, tf.cast(ids > 0, tf.float32)) > 0

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {
            "size": self.size,
            "channels": self.channels,
            "dim": self.dim,
            "discovery": self.discovery,
        }


def _softmax_loss(logits: tf.Tensor, labels: tf.Tensor, among: tf.Tensor) -> tf.Tensor:
    """Mean over a row's positives of their negative log-probability among the items of `among`; 0 without positives."""
    labels = labels * tf.cast(among, tf.float32)
    masked = tf.where(among, logits, tf.constant(-1e9, logits.dtype))
    losses = -tf.nn.log_softmax(masked, -1) * labels
    return tf.math.divide_no_nan(tf.reduce_sum(losses, 1), tf.reduce_sum(labels, 1))
