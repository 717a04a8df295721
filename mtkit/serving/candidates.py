"""The candidates of the main task: their scores for requests, and the best of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from mtkit.backend import tf
from mtkit.feed.batch import Batch, Lists

#: Scores up to here are sums that cannot have overflowed on their way.
LARGEST_SUM = 1e38


class Candidates(tf.Module):
    """The whole catalog as candidates, held once.

    A head that is `factored` is asked for one matrix product and the scores of own past items; no other pass over
    `[users, items]` is made than that and the one that takes the top, for each would take as long as they do.

    Args:
        head: a `mtkit.heads.RetrievalHead`.
        embeddings: `[items, dim]`, row i = item i; row 0, the unknown, is never the answer.
        moment: a batch of the moment as of which requests are answered.
    """

    def __init__(self, head: Any, embeddings: tf.Tensor, moment: Batch) -> None:
        super().__init__(name="candidates")
        # A layer would be saved as a Keras object.
        self._head = lambda: head
        self.items = int(embeddings.shape[0])
        held = tf.transpose(head.folded(embeddings, moment)) if head.factored else embeddings
        self.held = tf.Variable(held, trainable=False, name="candidates")
        self._alike = int(head.alike(embeddings).shape[1])
        self._bound = float(np.abs(held.numpy()).max(initial=0))

    def scores(self, query: tf.Tensor, batch: Batch) -> tf.Tensor:
        """Scores of the whole catalog, `[users, items]`, all of them finite.

        What is no finite number has no place in an order, and would take one of those that have.
        """
        head, held = self._head(), tf.convert_to_tensor(self.held)
        if not head.factored:
            return _finite(head.score(query, held, batch))
        query = head.asked(query, batch)
        # Also false where a query is no number.
        safe = tf.reduce_max(tf.reduce_sum(tf.abs(query), 1)) * self._bound < LARGEST_SUM

        def product() -> tf.Tensor:
            return tf.matmul(query, held)

        scores = tf.cond(safe | (tf.shape(query)[0] == 0), product, lambda: _finite(product()))
        own = head.own_scores(query, held, batch)
        return (
            scores if own is None else tf.tensor_scatter_nd_update(scores, _places(own), _finite(own.values["score"]))
        )

    def embeddings(self, items: tf.Tensor) -> tf.Tensor:
        """What items, int32 `[...]`, are like: `[..., n]`."""
        if not self._head().factored:
            return tf.gather(self.held, items)[..., : self._alike]
        found = tf.gather(tf.convert_to_tensor(self.held), items, axis=1)[: self._alike]
        return tf.transpose(found, [*range(1, found.shape.rank), 0])

    def products(self, items: tf.Tensor) -> tf.Tensor:
        """Dot products of what items, int32 `[rows]`, are like with the whole catalog, `[rows, items]`."""
        factored, own = self._head().factored, self.embeddings(items)
        # Other coordinates meet zeros: to slice the catalog would copy it.
        own = tf.pad(own, [[0, 0], [0, self.held.shape[0 if factored else 1] - self._alike]])
        return _finite(tf.matmul(own, self.held, transpose_b=not factored))

    def among(self, lists: Lists, items: tf.Tensor) -> tf.Tensor:
        """Which of the items `[rows, n]` are in the lists of their rows, which lie in the order of rows and of items."""

        def key(row: tf.Tensor, item: tf.Tensor) -> tf.Tensor:
            return tf.cast(row, tf.int64) * self.items + tf.cast(item, tf.int64)

        # Behind what is known lies what is no item's.
        known = tf.pad(key(lists.row, lists.values["id"]), [[0, 1]], constant_values=tf.int64.max)
        wanted = tf.reshape(key(tf.range(tf.shape(items)[0])[:, None], items), [-1])
        found = tf.gather(known, tf.searchsorted(known, wanted)) == wanted
        return tf.reshape(found, tf.shape(items))


def best(scores: tf.Tensor, k: tf.Tensor, excluded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The `k` best, or all: scores and items, `[users, n]`, best first, the first of equal ones.

    Args:
        scores: `[users, items]`.
        k: int32, a scalar.
        excluded: int32 `[users or 1, n]`, items that are out.

    Returns:
        Scores, -inf where there are no more, and items.
    """
    out = tf.pad(excluded, [[0, 0], [1, 0]])
    out += tf.zeros([tf.shape(scores)[0], 1], tf.int32)
    row = tf.range(tf.shape(out)[0])[:, None] + tf.zeros_like(out)
    nothing = tf.fill(tf.shape(out), tf.constant(-np.inf, scores.dtype))
    left = tf.tensor_scatter_nd_update(scores, tf.stack([row, out], 2), nothing)
    top, items = tf.math.top_k(left, tf.minimum(k, tf.shape(scores)[1] - 1))
    return tf.minimum(top, scores.dtype.max), items


def _finite(scores: tf.Tensor) -> tf.Tensor:
    return tf.where(scores > scores.dtype.min, scores, scores.dtype.min)


def _places(own: Lists) -> tf.Tensor:
    return tf.stack([tf.cast(own.row, tf.int32), own.values["id"]], 1)
