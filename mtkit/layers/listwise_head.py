"""A head that orders the rows of a query: scores, trained on all rows of a query at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mtkit.backend import keras, tf
from mtkit.heads.base import TaskPass
from mtkit.layers.pairwise_head import PairwiseHead
from mtkit.layers.query_losses import LOSSES, Query, rows_of_queries
from mtkit.runtime.collectives import gather_rolled
from mtkit.spec.heads import query_column


@keras.saving.register_keras_serializable(package="mtkit")
class ListwiseHead(PairwiseHead):
    """Scores w·x, x being its inputs side by side, by which the rows of a query come into the order of their labels.

    A query's loss is that of all its rows together; each query with a label above 0 counts 1, whatever its size.

    Args:
        inputs: names in the view, in the order in which they meet w.
        of_query: the loss, a key of `mtkit.layers.query_losses.LOSSES`.
    """

    def __init__(self, inputs: Sequence[str], of_query: str = "listnet", **options: Any) -> None:
        super().__init__(inputs, **options)
        self.of_query = of_query

    def losses(self, rows: TaskPass) -> tuple[tf.Tensor, tf.Tensor]:
        """Each row's part of the loss of its query in the global batch, and its share of it; rows with 0 have none."""
        scores, (labels, weights) = self.outputs(rows), self.labels(rows)
        queries = rows.batch.dense[query_column(rows.spec.query_by)]
        labels, weights = tf.cast(labels, tf.float32), tf.cast(weights, tf.float32)
        there = weights * rows.batch.present
        if (scale := rows.batch.scale(rows.spec.scales)) is not None:
            there *= scale
        places, exist = rows_of_queries(queries, gather_rolled(queries))
        all_scores, all_labels, counts = (tf.gather(gather_rolled(of), places) for of in (scores, labels, there))
        losses, shares = LOSSES[self.of_query](
            Query(scores, labels, all_scores, all_labels, tf.where(exist, counts, 0.0))
        )
        return losses, weights * shares

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "of_query": self.of_query}
