"""What a task head's layer does, whoever wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from mtkit.backend import keras, tf


class Candidates(NamedTuple):
    """The candidates that a retrieval loss sees.

    Attributes:
        embeddings: `[candidates, dim]`. With `form = "batch"`: of the rows of the global batch, rolled so that candidate i
            is the positive of local row i. With `form = "catalog"`: of every item, row i = item i, row 0 = the unknown.
        ids: int32 `[candidates]`.
        weights: `[candidates]`; 0 = not there (padding, removed rows).
        shares: `[candidates]`, of the training rows that have this item as theirs; None with `form = "catalog"`.
    """

    embeddings: tf.Tensor
    ids: tf.Tensor
    weights: tf.Tensor
    shares: tf.Tensor | None = None


class PredictionHead(keras.layers.Layer):
    """One output per row. `call(view)` takes name -> `[rows, dim]` and returns logits, `[rows]` or `[rows, classes]`."""

    def loss(self, outputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Per-row loss `[rows]`; the model masks, weights and normalizes."""
        raise NotImplementedError

    def predict(self, outputs: tf.Tensor) -> tf.Tensor:
        """Probabilities of the shape of `outputs`; for numeric labels, numbers."""
        raise NotImplementedError


class RetrievalHead(keras.layers.Layer):
    """Query, candidates, and optionally a sparse term over the query's own past items."""

    def query(self, view: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Query embeddings `[rows, dim]` from the embeddings of the query side."""
        raise NotImplementedError

    def candidate(self, view: Mapping[str, tf.Tensor], ids: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Candidate embeddings `[candidates, dim]` of the items `ids`."""
        raise NotImplementedError

    def loss(
        self, query: tf.Tensor, candidates: Candidates, batch: Mapping[str, Any], training: bool = False
    ) -> tf.Tensor:
        """Per-row loss `[rows]`.

        Args:
            query: `[rows, dim]`.
            candidates: what the rows are ranked against.
            batch: what the row table has. Lists are end to end: `target.item` int32 `[t]` with `target.row` int64 `[t]`,
                the row that an entry belongs to; `own.id` int32 `[n]` and `own.channels` `[n, c]` with `own.row`. As of the
                row's moment: `activity` `[rows, a]`, `moment` int32 `[rows]`, an index into `popularity`
                `[moments, items, p]`.
            training: whether dropout is on.
        """
        raise NotImplementedError

    def score(self, query: tf.Tensor, candidates: tf.Tensor, batch: Mapping[str, Any]) -> tf.Tensor:
        """Scores `[rows, candidates]` of the whole catalog, the pair term included."""
        return tf.matmul(query, candidates, transpose_b=True)


class SelfSupervisedHead(keras.layers.Layer):
    """Trains an encoder on what the encoder reads.

    `call(features, ids, encoder, training)` returns per-row losses and their weights, `[rows]` each; a weight of 0 says
    that there is nothing to learn from the row. It gets what the encoder's layer is called with (address -> tensor), the
    rows' ids of the entity, int32 `[rows]`, and the layer itself, whose weights it may use, and owns none of. Without
    `training` the same row always has the same loss.
    """

    def observe(self, features: Mapping[str, tf.Tensor], encoder: Any) -> tf.Tensor:
        """What the baselines of `measure` know: a tensor that is summed up over blocks of all training rows."""
        raise NotImplementedError

    def measure(
        self, features: Mapping[str, tf.Tensor], ids: tf.Tensor, encoder: Any, observed: tf.Tensor
    ) -> dict[str, dict[str, tuple[tf.Tensor, tf.Tensor]]]:
        """Metric -> values and weights of rows, `[rows]` each, of `model` and of baselines by name.

        Args:
            features: what the encoder is called with.
            ids: the rows' ids of the entity, int32 `[rows]`.
            encoder: the layer.
            observed: the sum of `observe` over the training rows.
        """
        raise NotImplementedError
