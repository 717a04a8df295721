"""Retrieval that tells repeat consumption from discovery: a pair term over the query's own past items, and a gate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtkit.backend import keras, tf
from mtkit.errors import WiringError
from mtkit.feed.batch import Batch, Lists
from mtkit.heads.base import TaskPass
from mtkit.heads.retrieval import Candidates, Positives, RetrievalHead
from mtkit.layers.axes import Axis
from mtkit.layers.catalog_loss import NEVER, Catalog, catalog_losses


@keras.saving.register_keras_serializable(package="mtkit")
class GatedRetrieval(RetrievalHead):
    """Scores items of the past by how they were consumed, and all others by a dot product.

    logit(u, i) = b_i + w·p_i + s (v·p_i + pair(u, i)) + (1 - s) (q_u·c_i + r·a_u), where s is 1 if i is in u's own past and
    else 0, p_i are popularity channels of the item and a_u activity channels of the user, both as of the row's moment,
    q_u and c_i are sums of the embeddings of the query and of the candidate, and

    pair(u, i) = (g + G_i + A a_u)·x_ui + k + k_i + h·a_u, where x_ui are the channels of the past item (counts, recency,
    intervals), and G_i and k_i the item's own weights.

    The loss of a row is Σ_i BCE(logit, target) over the whole catalog, which ranks repeats against discoveries, plus
    `discovery` times the softmax cross-entropy of the targets that are not in the past among the items that are not.
    Both are sums over the catalog and over the targets, not means. With `negatives = "uniform"` a step looks at the own past
    items, the targets, and `number` others, drawn without replacement and the same for all rows, of which each stands for as
    many as there are to one that is drawn: in the mean over draws the cross-entropy is that over the catalog, and so is the sum
    of exponentials in the softmax.

    Args:
        size: number of rows of the item table.
        channels: of a past item.
        activity: channels of a user's activity.
        popularity: channels of an item's popularity.
        discovery: weight of the softmax beside the cross-entropy.
        negatives: against what a step ranks: `catalog`, or `uniform`, items drawn in each step.
        number: how many are drawn, at most all.
    """

    def __init__(
        self,
        size: int,
        channels: int,
        activity: int,
        popularity: int,
        discovery: float = 3.0,
        *,
        negatives: str = "catalog",
        number: int = 1000,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.size, self.channels, self.activity, self.popularity = size, channels, activity, popularity
        self.discovery, self.negatives, self.number = discovery, negatives, number
        self._width = 0  # of embeddings, known from the first call on
        small = keras.initializers.Constant(0.1)
        # Where nearly nothing is bought: the start of a cross-entropy over a whole catalog.
        self.bias = self.add_weight("bias", (size,), initializer=keras.initializers.Constant(-4.0))
        self.prior = self.add_weight("prior", (popularity,), initializer=small)
        self.prior_if_own = self.add_weight("prior_if_own", (popularity,), initializer="zeros")
        self.pair = self.add_weight("pair", (channels,), initializer=small)
        self.pair_of_item = self.add_weight("pair_of_item", (size, channels), initializer="zeros")
        self.pair_by_activity = self.add_weight("pair_by_activity", (activity, channels), initializer="zeros")
        self.own_bias = self.add_weight("own_bias", (), initializer="zeros")
        self.own_bias_of_item = self.add_weight("own_bias_of_item", (size,), initializer="zeros")
        self.own_bias_by_activity = self.add_weight("own_bias_by_activity", (activity,), initializer="zeros")
        self.new_bias_by_activity = self.add_weight("new_bias_by_activity", (activity,), initializer="zeros")

    def query(self, view: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Query embeddings `[rows, dim + 1]`; the last coordinate is 1 and meets the item's bias."""
        query = self._sum(view)
        return tf.concat([query, tf.ones_like(query[:, :1])], -1)

    def candidate(self, view: Mapping[str, tf.Tensor], ids: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Candidate embeddings `[candidates, dim + 1]`; the last coordinate is the item's bias."""
        candidate = self._sum(view)
        return tf.concat([candidate, tf.gather(self.bias, ids)[:, None]], -1)

    def _sum(self, view: Mapping[str, tf.Tensor]) -> tf.Tensor:
        widths = {name: int(state.shape[-1]) for name, state in view.items()}
        self._width = self._width or next(iter(widths.values()))
        if set(widths.values()) != {self._width}:
            shown = ", ".join(f"{name} {width}" for name, width in widths.items())
            raise WiringError(
                f"task {self.name}: its embeddings need one width (`dim`) on both sides, got {shown}, "
                f"expected {self._width}"
            )
        return tf.cast(tf.add_n(list(view.values())), tf.float32)

    def score(self, query: tf.Tensor, candidates: tf.Tensor, batch: Batch) -> tf.Tensor:
        """Scores `[rows, size]` of the whole catalog."""
        vectors, bias = _apart(candidates)
        new = self._if_new(query, vectors, bias, batch)
        return tf.tensor_scatter_nd_update(_logits(new), new.hidden, self._if_own(bias, batch))

    def score_some(self, query: tf.Tensor, candidates: tf.Tensor, items: tf.Tensor, batch: Batch) -> tf.Tensor:
        """Scores `[rows, n]` of some items of each row, int32 `[rows, n]`."""
        rows = tf.repeat(tf.range(tf.shape(items)[0], dtype=tf.int64)[:, None], tf.shape(items)[1], axis=1)
        vectors, bias = _apart(candidates)
        dense = tf.einsum("rd,rnd->rn", query[:, :-1], tf.gather(vectors, items))
        new = self._base(bias, batch, rows, items)[0] + dense + self._of_activity(batch)[:, None]
        own, found = self._own_among(batch, rows, items, self._if_own(bias, batch))
        return tf.where(found, own, new)

    @property
    def factored(self) -> bool:
        """Only items of the own past are not scored by a dot product."""
        return type(self).score is GatedRetrieval.score

    def alike(self, candidates: tf.Tensor) -> tf.Tensor:
        """The embeddings without the bias."""
        return candidates[:, :-1]

    def asked(self, query: tf.Tensor, batch: Batch) -> tf.Tensor:
        """The query, and what all new items have in common for a user: `[rows, dim + 2]`."""
        return tf.concat([query, tf.matmul(batch.dense["activity"], self.new_bias_by_activity[:, None])], -1)

    def folded(self, candidates: tf.Tensor, batch: Batch) -> tf.Tensor:
        """The candidates with their popularity in the bias: `[items, dim + 2]`."""
        popularity = batch.shared["popularity"]
        prior = tf.linalg.matvec(tf.gather(popularity.values, popularity.index[0]), self.prior)
        return tf.concat([candidates[:, :-1], (candidates[:, -1] + prior)[:, None], tf.ones_like(prior)[:, None]], -1)

    def own_scores(self, query: tf.Tensor, folded: tf.Tensor, batch: Batch) -> Lists:
        """The scores of past items."""
        own, popularity = batch.lists["own"], batch.shared["popularity"]
        ids = own.values["id"]
        channels = tf.gather_nd(popularity.values, tf.stack([tf.gather(popularity.index, own.row), ids], -1))
        biases = tf.gather_nd(folded, tf.stack([tf.fill(tf.shape(ids), tf.shape(folded)[0] - 2), ids], -1))
        scores = biases + tf.linalg.matvec(channels, self.prior_if_own) + self._pair(batch)
        return Lists(own.row, {"id": ids, "score": scores})

    def against(self, rows: TaskPass) -> Candidates:
        """The whole catalog, or items drawn in this step, ascending, beside the rows' targets."""
        if self.negatives == "catalog":
            return super().against(rows)
        target, drawn = rows.batch.lists["target"], self._drawn(rows.stream())
        both = tf.concat([target.values["item"], drawn], 0)
        embeddings = self.candidate(rows.of_ids(rows.spec.candidate, both), both, training=rows.training)
        of_targets, of_drawn = tf.split(embeddings, [tf.shape(target.row)[0], tf.shape(drawn)[0]])
        positives = Positives(tf.cast(target.row, tf.int32), target.values["item"], of_targets)
        return Candidates(of_drawn, drawn, tf.ones_like(of_drawn[:, 0]), positives=positives)

    def _drawn(self, seed: tf.Tensor) -> tf.Tensor:
        """Items int32 `[n]`, ascending, no item twice: the first ones of all in an order that follows from the seed."""
        key = tf.random.stateless_uniform([2], seed, None, None, tf.int64)
        places = tf.range(min(self.number, self.size - 1))
        return 1 + tf.sort(tf.random.experimental.index_shuffle(places, key, self.size - 2))

    def loss(self, query: tf.Tensor, candidates: Candidates, batch: Batch, training: bool = False) -> tf.Tensor:
        """Per-row loss `[rows]`.

        All other items are looked at as if nothing was in the past, and without what is; items of the past, and targets,
        of which there are few, are looked at one by one.
        """
        own, target = batch.lists["own"], batch.lists["target"]
        rows, items = target.row, target.values["item"]
        if_new = self._targets_if_new(query, candidates, batch)
        if_own = self._if_own(candidates.embeddings[:, -1] if self.negatives == "catalog" else self.bias, batch)
        logits, found = self._own_among(batch, rows, items, if_own)
        there = self._there(candidates, items)
        discovered = self.discovery * tf.where(found, 0.0, there)
        gained = _by_row((there + discovered) * tf.where(found, logits, if_new), rows, query)
        of_own = _by_row(self._there(candidates, own.values["id"]) * tf.nn.softplus(if_own), own.row, query)
        weights = _by_row(discovered, rows, query)
        if self.negatives == "catalog":
            others = self._against_all(query, candidates, batch, weights)
        else:
            new = tf.where(found | (there == 0), NEVER, if_new)
            others = self._against_drawn(query, candidates, batch, weights, new)
        return others + of_own - gained

    def _targets_if_new(self, query: tf.Tensor, candidates: Candidates, batch: Batch) -> tf.Tensor:
        """The logits of targets as if they were not in the past, `[n]`."""
        target = batch.lists["target"]
        rows, items = target.row, target.values["item"]
        vectors, bias = _apart(candidates.embeddings)
        if candidates.positives is None:
            vectors = tf.gather(vectors, items)
        else:
            vectors, bias = _apart(candidates.positives.embeddings)[0], self.bias
        dense = tf.reduce_sum(tf.gather(query[:, :-1], rows) * vectors, 1)
        return self._base(bias, batch, rows, items)[0] + dense + tf.gather(self._of_activity(batch), rows)

    def _there(self, candidates: Candidates, items: tf.Tensor) -> tf.Tensor:
        """Which items there are, float32; with draws, all but the unknown."""
        if self.negatives == "catalog":
            return tf.gather(candidates.weights, items)
        return tf.cast(items > 0, tf.float32)

    def _against_all(self, query: tf.Tensor, candidates: Candidates, batch: Batch, weights: tf.Tensor) -> tf.Tensor:
        """Σ log(1 + exp(logit)) + weight log Σ exp(logit) of each row over the items that are not in its past, `[rows]`."""
        vectors, bias = _apart(candidates.embeddings)
        bias += tf.where(candidates.weights > 0, 0.0, NEVER)
        return catalog_losses(self._if_new(query, vectors, bias, batch), weights)

    def _against_drawn(
        self, query: tf.Tensor, candidates: Candidates, batch: Batch, weights: tf.Tensor, targets: tf.Tensor
    ) -> tf.Tensor:
        """The same of the targets, `targets` being their logits, and of those that are drawn, for all others."""
        rows, count = batch.lists["target"].row, tf.shape(query)[0]
        new = self._if_new(query, *_apart(candidates.embeddings), batch, candidates.ids)
        logits = tf.tensor_scatter_nd_update(_logits(new), new.hidden, tf.fill(tf.shape(new.hidden)[:1], NEVER))
        each_for = (self.size - 1) / min(self.number, self.size - 1)
        highest = tf.maximum(tf.reduce_max(logits, 1), tf.math.unsorted_segment_max(targets, rows, count))
        highest = tf.stop_gradient(highest)
        exponentials = each_for * tf.reduce_sum(tf.exp(logits - highest[:, None]), 1)
        exponentials += _by_row(tf.exp(targets - tf.gather(highest, rows)), rows, query)
        entropy = each_for * tf.reduce_sum(tf.nn.softplus(logits), 1) + _by_row(tf.nn.softplus(targets), rows, query)
        return entropy + weights * (highest + tf.math.log(exponentials))

    def _if_new(
        self, query: tf.Tensor, vectors: tf.Tensor, bias: tf.Tensor, batch: Batch, drawn: tf.Tensor | None = None
    ) -> Catalog:
        """What logits would be made of if nothing was in the past; items that are, are hidden.

        Where items are drawn (int32 `[n]`, ascending), they are all that there is, and targets among them are hidden, too.
        """
        own, activity, popularity = batch.lists["own"], batch.dense["activity"], batch.shared["popularity"]
        moments = tf.one_hot(popularity.index, popularity.values.shape[0])
        values, hidden = popularity.values, tf.stack([tf.cast(own.row, tf.int32), own.values["id"]], 1)
        if drawn is not None:
            target = batch.lists["target"]
            values = tf.gather(values, drawn, axis=1)
            of_own, of_target = (
                _places(drawn, own.row, own.values["id"]),
                _places(drawn, target.row, target.values["item"]),
            )
            hidden = tf.concat([of_own, of_target], 0)
        by_moment = tf.transpose(tf.tensordot(values, self.prior, 1)) + bias[:, None]
        by_activity = tf.repeat(self.new_bias_by_activity[None], tf.shape(vectors)[0], axis=0)
        terms, features = tf.concat([by_moment, by_activity], 1), tf.concat([moments, activity], 1)
        return Catalog(query[:, :-1], vectors, terms, features, hidden)

    def _if_own(self, item_bias: tf.Tensor, batch: Batch) -> tf.Tensor:
        """The logits of the past items, `[n]`."""
        own = batch.lists["own"]
        base, popularity = self._base(item_bias, batch, own.row, own.values["id"])
        return base + tf.linalg.matvec(popularity, self.prior_if_own) + self._pair(batch)

    def _pair(self, batch: Batch) -> tf.Tensor:
        """The pair term of each past item, `[n]`."""
        own, activity = batch.lists["own"], batch.dense["activity"]
        rows, ids = own.row, own.values["id"]
        weights = self.pair + tf.gather(self.pair_of_item, ids)
        weights += tf.gather(tf.matmul(activity, self.pair_by_activity), rows)
        bias = self.own_bias + tf.gather(self.own_bias_of_item, ids)
        bias += tf.gather(tf.linalg.matvec(activity, self.own_bias_by_activity), rows)
        return tf.reduce_sum(weights * own.values["channels"], -1) + bias

    def _base(self, bias: tf.Tensor, batch: Batch, rows: tf.Tensor, items: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The part that all logits have, of items of some rows, and their popularity channels."""
        popularity = batch.shared["popularity"]
        channels = tf.gather_nd(popularity.values, tf.stack([tf.gather(popularity.index, rows), items], -1))
        return tf.gather(bias, items) + tf.linalg.matvec(channels, self.prior), channels

    def _of_activity(self, batch: Batch) -> tf.Tensor:
        return tf.linalg.matvec(batch.dense["activity"], self.new_bias_by_activity)

    def _own_among(
        self, batch: Batch, rows: tf.Tensor, items: tf.Tensor, values: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The values of past items, `[n]`, where items of some rows are among these, and whether they are."""
        own = batch.lists["own"]

        def key(row: tf.Tensor, item: tf.Tensor) -> tf.Tensor:
            return row * self.size + tf.cast(item, tf.int64)

        # Past items lie in the order of rows, and of items within them; what comes last is no item's.
        known = tf.pad(key(own.row, own.values["id"]), [[0, 1]], constant_values=tf.int64.max)
        wanted = key(rows, items)
        place = tf.reshape(tf.searchsorted(known, tf.reshape(wanted, [-1])), tf.shape(items))
        return tf.gather(tf.pad(values, [[0, 1]]), place), tf.gather(known, place) == wanted

    def axes(self) -> list[Axis]:
        """What each item has of its own."""
        return [Axis(weight, 0, "candidate.id") for weight in (self.bias, self.pair_of_item, self.own_bias_of_item)]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "size": self.size,
            "channels": self.channels,
            "activity": self.activity,
            "popularity": self.popularity,
            "discovery": self.discovery,
            "negatives": self.negatives,
            "number": self.number,
        }


def _logits(new: Catalog) -> tf.Tensor:
    """Those of all rows and candidates, of what is hidden, too."""
    of_rows, of_candidates = tf.concat([new.query, new.features], 1), tf.concat([new.candidates, new.terms], 1)
    return tf.matmul(of_rows, of_candidates, transpose_b=True)


def _places(drawn: tf.Tensor, rows: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
    """Those items of rows that are drawn: rows, and places among what is, int32 `[n, 2]`."""
    place = tf.searchsorted(drawn, items)
    found = tf.gather(tf.pad(drawn, [[0, 1]]), place) == items
    return tf.boolean_mask(tf.stack([tf.cast(rows, tf.int32), place], 1), found)


def _apart(candidates: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The vectors of candidates, `[candidates, dim]`, and their biases, `[candidates]`."""
    vectors, bias = tf.split(candidates, [candidates.shape[1] - 1, 1], 1)
    return vectors, bias[:, 0]


def _by_row(values: tf.Tensor, rows: tf.Tensor, query: tf.Tensor) -> tf.Tensor:
    """Sums of values by row, `[rows]`, as many as queries."""
    return tf.math.unsorted_segment_sum(values, rows, tf.shape(query)[0])
