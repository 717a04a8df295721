"""Retrieval by a dot product, with a choice of losses and of negatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mtkit.backend import keras, tf
from mtkit.feed.batch import Batch
from mtkit.heads.base import TaskPass
from mtkit.heads.retrieval import Candidates, Positives, RetrievalHead
from mtkit.layers.axes import Axis
from mtkit.layers.dense_stack import tower
from mtkit.layers.draws import integers
from mtkit.layers.joined import joined, summed
from mtkit.layers.retrieval_losses import LOSSES, Scores, hardest, squared_of_catalog
from mtkit.runtime.collectives import own_rows, replicas

PAIRWISE = ("bpr", "hinge")
#: Up to this many items the squared error of a catalog is that of all scores: to look up the embedding of each target costs more.
SCORED = 32_768
DRAWN = ("uniform", "popularity", "mixed")


@keras.saving.register_keras_serializable(package="mtkit")
class DotRetrieval(RetrievalHead):
    """Scores are dot products of query and candidate, to which an item's bias may be added.

    A tower is the sum of its embeddings, or, with `dim`, a linear layer on them side by side after hidden layers with ReLU; it
    begins as their sum where widths allow. What a step's rows are followed by (their own item, or each of their targets) is
    ranked against the whole catalog, the items of the batch, or items that are drawn anew in each step; see
    `mtkit.layers.retrieval_losses`.

    Args:
        query: names in the view of the query tower.
        candidate: names in the view of the candidate tower.
        size: number of rows of the item table.
        loss: `softmax`, `squared`, `binary`, `bpr` or `hinge`.
        negatives: `catalog`, `batch`, `uniform`, `popularity` or `mixed` (of the batch, and uniform).
        number: how many are drawn, with replacement.
        shared: whether all rows of a step have the same draws; else each has `number` of its own.
        power: of the shares of the items by which `popularity` draws.
        hard: of the others that a row is ranked against, only this many count, those with the highest scores; None = all.
        dim: width of query and candidate; None = that of the embeddings, which are added up.
        hidden: widths of the hidden layers of each tower.
        bias: whether items have a bias.
        normalize: whether query and candidate have the length 1.
        temperature: divides the scores in the loss.
        remove_accidental_hits: whether what a row is followed by is no negative of the row when it is drawn.
        correct_sampling: whether a candidate stands for as many items as its draw does, so that scores rank by probability.
        others: what an item that is no target weighs in the losses `squared` and `binary`.
        queue: how many candidates of earlier steps are added to those of the `batch`, as they were embedded then.

    Source of the queue: Wang et al., Cross-batch memory for embedding learning, CVPR 2020.
    """

    def __init__(
        self,
        query: Sequence[str],
        candidate: Sequence[str],
        size: int,
        *,
        loss: str = "softmax",
        negatives: str = "catalog",
        number: int = 1000,
        shared: bool = True,
        power: float = 0.75,
        hard: int | None = None,
        dim: int | None = None,
        hidden: Sequence[int] = (),
        bias: bool = False,
        normalize: bool = False,
        temperature: float = 1.0,
        remove_accidental_hits: bool = True,
        correct_sampling: bool = True,
        others: float = 1.0,
        queue: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.query_names, self.candidate_names, self.size = tuple(query), tuple(candidate), size
        self.objective, self.negatives, self.number, self.shared = loss, negatives, number, shared
        self.power, self.hard, self.dim, self.hidden = power, hard, dim, tuple(hidden)
        self.normalize, self.temperature, self.others = normalize, temperature, others
        self.remove_accidental_hits, self.correct_sampling = remove_accidental_hits, correct_sampling
        self.queue = queue
        self.earlier: Any = None
        self.bias = self.add_weight("bias", (size,), initializer="zeros") if bias else None
        self.query_tower = tower(dim, hidden, "query") if dim else None
        self.candidate_tower = tower(dim, hidden, "candidate", use_bias=False) if dim else None

    def query(self, view: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Query embeddings `[rows, dim]`; with biases one wider, the last coordinate 1."""
        query = self._state(self.query_tower, view, self.query_names, training)
        return query if self.bias is None else tf.concat([query, tf.ones_like(query[:, :1])], -1)

    def candidate(self, view: Mapping[str, tf.Tensor], ids: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Candidate embeddings `[candidates, dim]`; with biases one wider, the last coordinate the item's."""
        candidate = self._state(self.candidate_tower, view, self.candidate_names, training)
        return candidate if self.bias is None else tf.concat([candidate, tf.gather(self.bias, ids)[:, None]], -1)

    def _state(self, tower: Any, view: Mapping[str, tf.Tensor], names: Sequence[str], training: bool) -> tf.Tensor:
        state = tower(joined(view, names), training=training) if tower else summed(view, names, self.name)
        state = tf.cast(state, tf.float32)
        return tf.math.l2_normalize(state, -1) if self.normalize else state

    def losses(self, rows: TaskPass) -> tuple[tf.Tensor, tf.Tensor]:
        """The losses of all rows; one whose item is not in the catalog has nothing to learn."""
        losses, weights = super().losses(rows)
        ids = rows.batch.ids.get(rows.entity(rows.spec.candidate[0]))
        if ids is None or "target" in rows.batch.lists:
            return losses, weights
        return losses, tf.where(ids > 0, weights, 0.0)

    def against(self, rows: TaskPass) -> Candidates:
        """The whole catalog, the candidates of the batch, or those drawn in this step, with what the rows are followed by."""
        if self.negatives == "catalog":
            found = super().against(rows)
            return found._replace(positives=self._followed(rows))
        if self.negatives == "batch":
            found = super().against(rows)
            if self.queue:
                found = self._with_earlier(rows, found)
            return found._replace(expected=_others(found.weights) * found.shares)
        return self._mixed(rows) if self.negatives == "mixed" else self._drawn(rows)

    def _with_earlier(self, rows: TaskPass, batch: Candidates) -> Candidates:
        """The candidates of a batch, and those of the queue, in which they take the place of the oldest when it trains."""
        # As wide as the embeddings, which are known here first. All replicas see the same candidates, in orders of their own.
        if self.earlier is None:
            once: dict[str, Any] = {
                "initializer": "zeros",
                "trainable": False,
                "aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA,
            }
            shape = (self.queue, batch.embeddings.shape[-1])
            embeddings = self.add_weight("earlier_embeddings", shape, tf.float32, **once)
            self.earlier = (embeddings, self.add_weight("earlier_ids", shape[:1], tf.int32, **once))
        embeddings, ids = map(tf.convert_to_tensor, self.earlier)
        if rows.training:
            self._keep(batch, embeddings, ids)
        return Candidates(
            tf.concat([batch.embeddings, embeddings], 0),
            tf.concat([batch.ids, ids], 0),
            tf.concat([batch.weights, tf.cast(ids > 0, tf.float32)], 0),
            tf.concat([batch.shares, rows.share(rows.entity(rows.spec.candidate[0]), ids)], 0),
        )

    def _keep(self, batch: Candidates, embeddings: tf.Tensor, ids: tf.Tensor) -> None:
        """The newest that there are, of known items; where there are too few, the id is 0."""
        ids = tf.concat([tf.where(batch.weights > 0, batch.ids, 0), ids], 0)
        embeddings = tf.concat([tf.stop_gradient(batch.embeddings), embeddings], 0)
        newest = tf.argsort(tf.cast(ids == 0, tf.int32), stable=True)[: self.queue]
        for variable, values in zip(self.earlier, (embeddings, ids), strict=True):
            variable.assign(tf.gather(values, newest))

    def _followed(self, rows: TaskPass) -> Positives:
        """Which rows are followed by which items, without their embeddings: their targets, or their own."""
        if (targets := rows.batch.lists.get("target")) is not None:
            return Positives(tf.cast(targets.row, tf.int32), targets.values["item"])
        ids = rows.batch.ids[rows.entity(rows.spec.candidate[0])]
        return Positives(tf.range(tf.shape(ids)[0]), ids, single=True)

    def _drawn(self, rows: TaskPass) -> Candidates:
        followed = self._followed(rows)
        drawn, expected = self._draw(rows)
        both = tf.concat([followed.ids, drawn], 0)
        embeddings = self.candidate(rows.of_ids(rows.spec.candidate, both), both, training=rows.training)
        own, others = tf.split(embeddings, [tf.shape(followed.ids)[0], tf.shape(drawn)[0]])
        return Candidates(
            others, drawn, tf.ones_like(expected), positives=followed._replace(embeddings=own), expected=expected
        )

    def _mixed(self, rows: TaskPass) -> Candidates:
        batch, (drawn, expected) = super().against(rows), self._draw(rows)
        role = rows.entity(rows.spec.candidate[0])
        embeddings = self.candidate(rows.of_ids(rows.spec.candidate, drawn), drawn, training=rows.training)
        uniform, others = expected[0], _others(batch.weights)
        return Candidates(
            tf.concat([batch.embeddings, embeddings], 0),
            tf.concat([batch.ids, drawn], 0),
            tf.concat([batch.weights, tf.ones_like(expected)], 0),
            expected=uniform + others * tf.concat([batch.shares, rows.share(role, drawn)], 0),
        )

    def _draw(self, rows: TaskPass) -> tuple[tf.Tensor, tf.Tensor]:
        """Items int32 `[n]`, of all replicas or of this one's rows, and how often each is expected among `number`."""
        count = self.number if self.shared else self.number * replicas() * _rows(rows)
        role = rows.entity(rows.spec.candidate[0])
        if self.negatives == "popularity":
            cumulative = rows.cumulative(role, self.power)
            at = tf.random.stateless_uniform([count], rows.stream(), dtype=tf.float64)
            ids = tf.cast(tf.searchsorted(cumulative, at, side="right"), tf.int32)
            shares = tf.cast(tf.gather(cumulative, ids) - tf.gather(cumulative, ids - 1), tf.float32)
        else:
            ids = integers(rows.stream(), count, 1, self.size, compiled=rows.compiled)
            shares = tf.fill([count], 1 / (self.size - 1))
        if not self.shared:
            ids, shares = (tf.reshape(own_rows(tf.reshape(v, [-1, self.number])), [-1]) for v in (ids, shares))
        return ids, self.number * shares

    def loss(self, query: tf.Tensor, candidates: Candidates, batch: Batch, training: bool = False) -> tf.Tensor:
        """Per-row loss `[rows]`."""
        rows = tf.shape(query)[0]
        positives = candidates.positives or Positives(
            tf.range(rows), candidates.ids[:rows], candidates.embeddings[:rows], single=True
        )
        if self.objective == "squared" and self.negatives == "catalog" and self.size > SCORED:
            there = candidates.embeddings * tf.sign(candidates.weights)[:, None]
            own = positives._replace(embeddings=tf.gather(there, positives.ids))
            return squared_of_catalog(query, there, _scores(query, own), positives.row, self.others)
        others, ids = self._others(query, candidates)
        if self.negatives == "catalog":
            positive = tf.gather_nd(others, tf.stack([positives.row, positives.ids], 1))
        else:
            positive = _scores(query, positives)
        weights = tf.sign(candidates.weights)
        if candidates.expected is not None and self.correct_sampling:
            weights = tf.math.divide_no_nan(weights, candidates.expected)
        weights = tf.reshape(weights, [-1, tf.shape(others)[1]])
        within = self.negatives == "catalog" and self.objective not in PAIRWISE and self.hard is None
        if not within:
            weights = tf.where(self._own(positives, ids, rows), 0.0, weights)
        scores = Scores(
            positives.row, positive / self.temperature, others / self.temperature, weights, within, positives.single
        )
        if self.hard is not None:
            scores = hardest(scores, self.hard)
        weighed = {} if self.objective in ("softmax", *PAIRWISE) else {"others": self.others}
        return LOSSES[self.objective](scores, **weighed)

    def _others(self, query: tf.Tensor, candidates: Candidates) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores `[rows, candidates]` and ids, `[1, candidates]` or `[rows, candidates]`."""
        if self.shared or self.negatives not in DRAWN:
            return tf.matmul(query, candidates.embeddings, transpose_b=True), candidates.ids[None]
        ids = tf.reshape(candidates.ids, [-1, self.number])
        if self.number == 1:  # matrix products of single rows take three times as long
            return tf.reduce_sum(query * candidates.embeddings, 1, keepdims=True), ids
        embeddings = tf.reshape(candidates.embeddings, [-1, self.number, query.shape[-1]])
        return tf.einsum("rd,rnd->rn", query, embeddings), ids

    def _own(self, positives: Positives, ids: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """Which candidates are no negatives of a row, bool `[rows, candidates]`."""
        if not self.remove_accidental_hits:
            batch = self.negatives in ("batch", "mixed")
            return tf.eye(rows, tf.shape(ids)[1], dtype=tf.bool) if batch else tf.zeros_like(ids, tf.bool)
        return hits(positives, ids, rows, self.size)

    def axes(self) -> list[Axis]:
        """The items' biases."""
        return [] if self.bias is None else [Axis(self.bias, 0, "candidate.id")]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "query": list(self.query_names),
            "candidate": list(self.candidate_names),
            "size": self.size,
            "loss": self.objective,
            "negatives": self.negatives,
            "number": self.number,
            "shared": self.shared,
            "power": self.power,
            "hard": self.hard,
            "dim": self.dim,
            "hidden": list(self.hidden),
            "bias": self.bias is not None,
            "normalize": self.normalize,
            "temperature": self.temperature,
            "remove_accidental_hits": self.remove_accidental_hits,
            "correct_sampling": self.correct_sampling,
            "others": self.others,
            "queue": self.queue,
        }


def hits(positives: Positives, ids: tf.Tensor, rows: tf.Tensor, size: int) -> tf.Tensor:
    """Which of some items rows are followed by, bool `[rows, n]`.

    Args:
        positives: what each row is followed by.
        ids: int32 `[1, n]` or `[rows, n]`.
        rows: how many there are.
        size: number of items; ids are smaller.
    """
    if positives.single:
        return ids == positives.ids[:, None]

    def key(row: tf.Tensor, item: tf.Tensor) -> tf.Tensor:
        return tf.cast(row, tf.int64) * size + tf.cast(item, tf.int64)

    # Keys ascend, as rows do, and items within them; what comes last is no item's.
    known = tf.pad(key(positives.row, positives.ids), [[0, 1]], constant_values=tf.int64.max)
    asked = key(tf.range(rows)[:, None], ids)
    place = tf.reshape(tf.searchsorted(known, tf.reshape(asked, [-1])), tf.shape(asked))
    return tf.gather(known, place) == asked


def _scores(query: tf.Tensor, positives: Positives) -> tf.Tensor:
    """Scores `[n]` of what rows are followed by."""
    own = query if positives.single else tf.gather(query, positives.row)
    return tf.reduce_sum(own * positives.embeddings, 1)


def _others(weights: tf.Tensor) -> tf.Tensor:
    """How many candidates of a batch there are beside a row's own."""
    return tf.maximum(tf.reduce_sum(tf.sign(weights)) - 1, 1.0)


def _rows(rows: TaskPass) -> tf.Tensor:
    return tf.shape(next(iter(rows.batch.ids.values())))[0]
