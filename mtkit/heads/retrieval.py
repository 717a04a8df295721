"""Heads that rank a catalog."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from mtkit.backend import tf
from mtkit.evaluation.metrics import rank_metrics
from mtkit.evaluation.sampled_ranking import SomeScorer
from mtkit.evaluation.user_sums import Measured
from mtkit.feed.batch import Batch, Lists
from mtkit.heads.base import Head, TaskEvaluation, TaskPass
from mtkit.runtime.collectives import gather_rolled


class Positives(NamedTuple):
    """What rows are to be followed by, end to end: the row's own item, or its targets.

    Attributes:
        row: int32 `[n]`, ascending.
        ids: int32 `[n]`; of one row ascending.
        embeddings: `[n, dim]`; None: those of the catalog.
        single: whether each row has one, as row i of n = rows.
    """

    row: tf.Tensor
    ids: tf.Tensor
    embeddings: tf.Tensor | None = None
    single: bool = False


class Candidates(NamedTuple):
    """The candidates that a retrieval loss sees.

    Attributes:
        embeddings: `[candidates, dim]`. Of the `batch`: of the rows of the global batch, rolled so that candidate i is the
            positive of local row i. Of the `catalog`: of every item, row i = item i, row 0 = the unknown. Of those that a head
            draws: as it draws them.
        ids: int32 `[candidates]`.
        weights: `[candidates]`; 0 = not there (padding, removed rows).
        shares: `[candidates]`, each candidate's frequency among training rows (logQ correction); None for those of the catalog.
        positives: of heads that draw, of the rows; None: of a batch, row i's is candidate i.
        expected: `[candidates]`, how often each is expected among those of a step, beside a row's own; None: each is there once.
    """

    embeddings: tf.Tensor
    ids: tf.Tensor
    weights: tf.Tensor
    shares: tf.Tensor | None = None
    positives: Positives | None = None
    expected: tf.Tensor | None = None


class RetrievalHead(Head):
    """Query, candidates, and optionally a sparse term over the query's own past items.

    To write: `query`, `candidate` and `loss`, and `score` where it is more than a dot product.
    """

    def query(self, view: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Query embeddings `[rows, dim]` from the embeddings of the query side."""
        raise NotImplementedError

    def candidate(self, view: Mapping[str, tf.Tensor], ids: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Candidate embeddings `[candidates, dim]` of the items `ids`."""
        raise NotImplementedError

    def loss(self, query: tf.Tensor, candidates: Candidates, batch: Batch, training: bool = False) -> tf.Tensor:
        """Per-row loss `[rows]`.

        Args:
            query: `[rows, dim]`.
            candidates: what the rows are ranked against.
            batch: what the row table has; the columns that the spec names in `TaskHead.columns` are there.
            training: whether dropout is on.
        """
        raise NotImplementedError

    def score(self, query: tf.Tensor, candidates: tf.Tensor, batch: Batch) -> tf.Tensor:
        """Scores `[rows, candidates]` of the whole catalog, the pair term included."""
        return tf.matmul(query, candidates, transpose_b=True)

    def score_some(self, query: tf.Tensor, candidates: tf.Tensor, items: tf.Tensor, batch: Batch) -> tf.Tensor:
        """Scores `[rows, n]` of some items of each row, int32 `[rows, n]`; those that `score` gives, to rounding.

        A head that writes `score` anew may write this one, too, so that the rest of the catalog is not scored.
        """
        if self.plain:
            return tf.einsum("rd,rnd->rn", query, tf.gather(candidates, items))
        return tf.gather(self.score(query, candidates, batch), items, batch_dims=1)

    @property
    def plain(self) -> bool:
        """Whether the dot product of query and candidate is all of the score."""
        return type(self).score is RetrievalHead.score

    @property
    def factored(self) -> bool:
        """Whether scores are `asked` · `folded`, but for those of `own_scores`; servables then compute no more than that."""
        return self.plain

    def alike(self, candidates: tf.Tensor) -> tf.Tensor:
        """The coordinates of candidates that say what items are like, `[items, n]`: the first ones, of these and as `folded`."""
        return candidates

    def asked(self, query: tf.Tensor, batch: Batch) -> tf.Tensor:
        """The query `[rows, width]` that meets candidates as they are `folded`."""
        return query

    def folded(self, candidates: tf.Tensor, batch: Batch) -> tf.Tensor:
        """The candidates with all that their scores depend on beside the query, `[items, width]`, at one moment.

        Args:
            candidates: of the whole catalog.
            batch: rows that all are of that moment.
        """
        return candidates

    def own_scores(self, query: tf.Tensor, folded: tf.Tensor, batch: Batch) -> Lists | None:
        """The scores, `score`, of those items, `id`, that are not scored by their dot product; None = there are none.

        Args:
            query: `[rows, width]`, as `asked`.
            folded: `[width, items]`, as `folded`, transposed.
            batch: the rows.
        """
        return None

    def losses(self, rows: TaskPass) -> tuple[tf.Tensor, tf.Tensor]:
        """The losses of all rows, or of those whose candidate is positive; what a row counts beside others, the core knows."""
        losses = self.loss(self.queries(rows), self.against(rows), rows.batch, training=rows.training)
        label = rows.spec.positive
        if not label:
            return losses, tf.ones_like(losses)
        return losses, tf.where(rows.batch.labels[label] > 0, rows.batch.weights[label], 0.0)

    def queries(self, rows: TaskPass) -> tf.Tensor:
        """Query embeddings of the batch's rows, `[rows, dim]`."""
        return self.query(rows.embeddings(rows.spec.query), training=rows.training)

    def catalog(self, rows: TaskPass) -> tf.Tensor:
        """Candidate embeddings of every item, row i = item i."""
        ids = rows.catalog_ids(rows.spec.candidate[0])
        return self.candidate(rows.catalog(rows.spec.candidate), ids, training=rows.training)

    def candidates(self, rows: TaskPass) -> tf.Tensor:
        """Candidate embeddings of the batch's items, `[rows, dim]`."""
        ids = rows.batch.ids[rows.entity(rows.spec.candidate[0])]
        return self.candidate(rows.embeddings(rows.spec.candidate), ids, training=rows.training)

    def against(self, rows: TaskPass) -> Candidates:
        """What the rows are ranked against in a step; to write by heads that draw."""
        if rows.spec.candidates == "catalog":
            embeddings = self.catalog(rows)
            ids = tf.range(tf.shape(embeddings)[0])
            return Candidates(embeddings, ids, tf.cast(ids > 0, tf.float32))
        role = rows.entity(rows.spec.candidate[0])
        embeddings, ids, there = self.candidates(rows), rows.batch.ids[role], rows.batch.present
        if (scale := rows.batch.scale(rows.spec.scales)) is not None:
            there *= tf.cast(scale > 0, tf.float32)  # a row that does not count is no candidate of others either
        if rows.spec.positive:
            there *= tf.cast(rows.batch.weights[rows.spec.positive] > 0, tf.float32)  # nor is one without a label
        return Candidates(*map(gather_rolled, (embeddings, ids, there, rows.share(role, ids))))

    def answers(self, rows: TaskPass) -> tf.Tensor:
        """Scores of the whole catalog `[rows, items]`."""
        return self.score(self.queries(rows), self.catalog(rows), rows.batch)

    def evaluate(self, rows: TaskEvaluation) -> Measured:
        """The metrics of rankings, the candidates being embedded once."""
        candidates = rows.whole(self.catalog)
        embedded = tf.TensorSpec([None, *candidates.shape[1:]], candidates.dtype)
        if rows.protocol.sampled:
            some = rows.of_rows(self._some_scores, given=[embedded, tf.TensorSpec([None, None], tf.int32)])
            score: Any = SomeScorer(len(candidates), lambda numbers, items: np.array(some(numbers, candidates, items)))
        else:
            scores = rows.of_rows(self._scores, given=[embedded])

            def score(numbers: np.ndarray) -> np.ndarray:
                return np.array(scores(numbers, candidates))

        return rank_metrics(rows.name, score, rows.table, rows.protocol)

    def _scores(self, rows: TaskPass, candidates: tf.Tensor) -> tf.Tensor:
        return self.score(self.queries(rows), candidates, rows.batch)

    def _some_scores(self, rows: TaskPass, candidates: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        return self.score_some(self.queries(rows), candidates, items, rows.batch)
