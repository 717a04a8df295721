"""Retrieval that tells repeat consumption from discovery: a pair term over the query's own past items, and a gate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtkit.backend import keras, tf
from mtkit.errors import WiringError
from mtkit.feed.batch import Batch, Lists
from mtkit.heads.retrieval import Candidates, RetrievalHead
from mtkit.layers.axes import Axis


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
    Both are sums over the catalog and over the targets, not means.

    Args:
        size: number of rows of the item table.
        channels: of a past item.
        activity: channels of a user's activity.
        popularity: channels of an item's popularity.
        discovery: weight of the softmax beside the cross-entropy.
    """

    def __init__(
        self, size: int, channels: int, activity: int, popularity: int, discovery: float = 3.0, **options: Any
    ) -> None:
        super().__init__(**options)
        self.size, self.channels, self.activity, self.popularity = size, channels, activity, popularity
        self.discovery = discovery
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
        return self._score(query, candidates, batch, tf.cast(self.own(batch), tf.float32))

    def score_some(self, query: tf.Tensor, candidates: tf.Tensor, items: tf.Tensor, batch: Batch) -> tf.Tensor:
        """Scores `[rows, n]` of some items of each row, int32 `[rows, n]`."""
        own, pair = self._own_pairs(batch, items)
        embeddings, popularity = tf.gather(candidates, items), batch.shared["popularity"]
        dense = tf.einsum("rd,rnd->rn", query[:, :-1], embeddings[..., :-1])
        dense += tf.linalg.matvec(batch.dense["activity"], self.new_bias_by_activity)[:, None]
        index = tf.stack([tf.broadcast_to(popularity.index[:, None], tf.shape(items)), items], -1)
        channels = tf.gather_nd(popularity.values, index)
        prior, prior_if_own = (tf.linalg.matvec(channels, weights) for weights in (self.prior, self.prior_if_own))
        return embeddings[..., -1] + prior + own * prior_if_own + pair + (1.0 - own) * dense

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

    def loss(self, query: tf.Tensor, candidates: Candidates, batch: Batch, training: bool = False) -> tf.Tensor:
        """Per-row loss `[rows]`."""
        own = self.own(batch)
        logits = self._score(query, candidates.embeddings, batch, tf.cast(own, tf.float32))
        labels = tf.cast(self._marked(batch, "target", "item"), tf.float32) * candidates.weights
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits) * candidates.weights
        new = tf.logical_and(~own, candidates.weights > 0)
        return tf.reduce_sum(losses, 1) + self.discovery * _softmax_loss(logits, labels, new)

    def own(self, batch: Batch) -> tf.Tensor:
        """Which items are in the rows' own past, bool `[rows, size]`."""
        return self._marked(batch, "own", "id")

    def _score(self, query: tf.Tensor, candidates: tf.Tensor, batch: Batch, own: tf.Tensor) -> tf.Tensor:
        dense = tf.matmul(query[:, :-1], candidates[:, :-1], transpose_b=True)
        dense += tf.linalg.matvec(batch.dense["activity"], self.new_bias_by_activity)[:, None]
        pair = self._scattered(batch, "own", "id", self._pair(batch))
        popularity = batch.shared["popularity"]
        prior = tf.gather(tf.linalg.matvec(popularity.values, self.prior), popularity.index)
        prior_if_own = tf.gather(tf.linalg.matvec(popularity.values, self.prior_if_own), popularity.index)
        return candidates[:, -1] + prior + own * prior_if_own + pair + (1.0 - own) * dense

    def _pair(self, batch: Batch) -> tf.Tensor:
        """The pair term of each past item, `[n]`."""
        own, activity = batch.lists["own"], batch.dense["activity"]
        rows, ids = own.row, own.values["id"]
        weights = self.pair + tf.gather(self.pair_of_item, ids)
        weights += tf.gather(tf.matmul(activity, self.pair_by_activity), rows)
        bias = self.own_bias + tf.gather(self.own_bias_of_item, ids)
        bias += tf.gather(tf.linalg.matvec(activity, self.own_bias_by_activity), rows)
        return tf.reduce_sum(weights * own.values["channels"], -1) + bias

    def _own_pairs(self, batch: Batch, items: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Whether items of each row are in its past, as 1 or 0, and their pair terms; `[rows, n]` both."""
        own, rows = batch.lists["own"], tf.range(tf.shape(items)[0], dtype=tf.int64)

        def key(row: tf.Tensor, item: tf.Tensor) -> tf.Tensor:
            return row * self.size + tf.cast(item, tf.int64)

        # Past items lie in the order of rows, and of items within them; what comes last is no item's.
        known = tf.pad(key(own.row, own.values["id"]), [[0, 1]], constant_values=tf.int64.max)
        wanted = key(rows[:, None], items)
        place = tf.reshape(tf.searchsorted(known, tf.reshape(wanted, [-1])), tf.shape(items))
        found = tf.gather(known, place) == wanted
        pairs = tf.gather(tf.pad(self._pair(batch), [[0, 1]]), place)
        return tf.cast(found, tf.float32), tf.where(found, pairs, 0.0)

    def _marked(self, batch: Batch, lists: str, items: str) -> tf.Tensor:
        return self._scattered(batch, lists, items, tf.ones_like(batch.lists[lists].values[items], tf.float32)) > 0

    def _scattered(self, batch: Batch, lists: str, items: str, values: tf.Tensor) -> tf.Tensor:
        """Values by row and item, `[rows, size]`."""
        found = batch.lists[lists]
        index = tf.stack([tf.cast(found.row, tf.int32), found.values[items]], 1)
        return tf.scatter_nd(index, values, [tf.shape(batch.dense["activity"])[0], self.size])

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
        }


def _softmax_loss(logits: tf.Tensor, labels: tf.Tensor, among: tf.Tensor) -> tf.Tensor:
    """Sum over a row's positives of their negative log-probability among the items of `among`; 0 without positives."""
    masked = tf.where(among, logits, tf.constant(-1e9, logits.dtype))
    return -tf.reduce_sum(tf.nn.log_softmax(masked, -1) * labels * tf.cast(among, tf.float32), 1)
