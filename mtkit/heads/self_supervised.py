"""Heads that train an encoder on what it reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mtkit.backend import tf
from mtkit.evaluation.metrics import own_metrics
from mtkit.evaluation.user_sums import MODEL, Measured
from mtkit.heads.base import Head, TaskEvaluation, TaskPass

Means = dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]


class SelfSupervisedHead(Head):
    """Trains an encoder on what the encoder reads.

    `call(features, ids, encoder, training)` returns per-row losses and their weights, `[rows]` each; a weight of 0 says
    that there is nothing to learn from the row. It gets what the encoder's layer is called with (address -> tensor), the
    rows' ids of the entity, int32 `[rows]`, and the layer itself, whose weights it may use, and owns none of. Without
    `training` the same row always has the same loss.

    To write: `call`, `observe` and `measure`.
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

    def losses(self, rows: TaskPass) -> tuple[tf.Tensor, tf.Tensor]:
        """What `call` gives."""
        losses, weights = self(*self._read(rows), training=rows.training)
        return losses, weights

    def evaluate(self, rows: TaskEvaluation) -> Measured:
        """Its own metrics, and those of its baselines beside them, in blocks as large as training's."""
        measured = {
            name: own_metrics(rows.name, rows.spec, of, rows.table, rows.slices)
            for name, of in self._means(rows).items()
        }
        found = measured.pop(MODEL)
        found.beside = measured
        return found

    def _means(self, rows: TaskEvaluation) -> Means:
        """Metric -> values and weights, float64 `[rows]`, of `model` and of baselines."""
        observe = rows.of_rows(self._observe, training_rows=True)
        observed = tf.add_n([observe(numbers) for numbers in rows.blocks(training_rows=True)])
        measure = rows.of_rows(self._measure, given=[tf.TensorSpec.from_tensor(observed)])
        parts = [tf.nest.map_structure(lambda t: t.numpy(), measure(numbers, observed)) for numbers in rows.blocks()]
        means: Means = tf.nest.map_structure(lambda *arrays: np.concatenate(arrays).astype(np.float64), *parts)
        return means

    def _observe(self, rows: TaskPass) -> tf.Tensor:
        features, _, encoder = self._read(rows)
        return self.observe(features, encoder)

    def _measure(self, rows: TaskPass, observed: tf.Tensor) -> Any:
        return self.measure(*self._read(rows), observed)

    @staticmethod
    def _read(rows: TaskPass) -> tuple[Mapping[str, tf.Tensor], tf.Tensor, Any]:
        """What the encoder reads of the rows, their ids, and the encoder."""
        features, layer = rows.encoder(rows.spec.encoder)
        return features, rows.batch.ids[rows.entity(rows.spec.encoder)], layer
