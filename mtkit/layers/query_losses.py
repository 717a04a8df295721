"""Losses of the rows of a query: each row's part of what the order of all of them costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from mtkit.backend import tf

APPROXIMATION = 0.1
"""The temperature of `approx_ndcg`: how near the ranks by which it is learned are to those that there are."""


class Query(NamedTuple):
    """Rows, and all rows of their queries, themselves among them.

    Attributes:
        scores: float32 `[rows]`.
        labels: float32 `[rows]`, 0 or more.
        all_scores: float32 `[rows, n]`, of the rows of the query.
        all_labels: the same of labels.
        weights: the same of weights, 0 where there is no row.
    """

    scores: tf.Tensor
    labels: tf.Tensor
    all_scores: tf.Tensor
    all_labels: tf.Tensor
    weights: tf.Tensor


def rows_of_queries(queries: tf.Tensor, others: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Where among `others`, int `[others]`, the rows of each query are, int32 `[rows, n]`, and which of these places are taken.

    n is the number of rows of the largest query.
    """
    order = tf.argsort(others, stable=True)
    ordered = tf.gather(others, order)
    begin, end = (tf.searchsorted(ordered, queries, side) for side in ("left", "right"))
    place = begin[:, None] + tf.range(tf.reduce_max(tf.concat([end - begin, [0]], 0)))
    there = place < end[:, None]
    return tf.gather(order, tf.where(there, place, 0)), there


def gains(labels: tf.Tensor) -> tf.Tensor:
    """2^label - 1, as in NDCG."""
    return tf.pow(2.0, labels) - 1


def listnet(query: Query) -> tuple[tf.Tensor, tf.Tensor]:
    """The cross-entropy of the softmax over the rows of the query, and the row's share of its labels; both `[rows]`.

    Source: Cao et al., Learning to Rank: From Pairwise Approach to Listwise Approach, ICML 2007, top one. Deviation: what is to
    be predicted are shares of the labels themselves, so that rows with 0 are never to be on top.
    """
    there = query.weights > 0
    logits = tf.where(there, query.all_scores + tf.math.log(tf.where(there, query.weights, 1.0)), tf.float32.min)
    return tf.reduce_logsumexp(logits, 1) - query.scores, _shares(query.labels, query.all_labels, query.weights)


def lambdarank(query: Query) -> tuple[tf.Tensor, tf.Tensor]:
    """Of each row the sum of log(1 + exp(other - own)) over rows below it, by what NDCG would change if the two changed places.

    Ranks are those of the scores as they are; no gradient goes through them.

    Source: Burges, From RankNet to LambdaRank to LambdaMART, MSR-TR-2010-82, section 4; as a loss, Wang et al., The LambdaLoss
    Framework for Ranking Metric Optimization, CIKM 2018, equation 13.
    """
    there, own = query.weights > 0, gains(query.labels)
    of_others = gains(query.all_labels)
    scores, others = tf.stop_gradient(query.scores), tf.stop_gradient(query.all_scores)
    discount = _discount(_count_above(scores, others, there))
    of_other = _discount(_count_above_each(others, there))
    lower = there & (query.all_labels < query.labels[:, None])
    lost = tf.abs(own[:, None] - of_others) * tf.abs(discount[:, None] - of_other)
    costs = tf.where(lower, query.weights * lost * tf.nn.softplus(query.all_scores - query.scores[:, None]), 0.0)
    return _of_gains(tf.reduce_sum(costs, 1), query, there)


def approx_ndcg(query: Query) -> tuple[tf.Tensor, tf.Tensor]:
    """1 - NDCG, each row being as far down as sigmoids of the differences of scores say; of each row its part.

    Sources: Qin et al., A General Approximation Framework for Direct Optimization of Information Retrieval Measures,
    Information Retrieval 13, 2010; Bruch et al., Revisiting Approximate Metric Optimization in the Age of Deep Neural Networks,
    SIGIR 2019.
    """
    there, own = query.weights > 0, gains(query.labels)
    beside = tf.sigmoid((query.all_scores - query.scores[:, None]) / APPROXIMATION)
    # The row itself is among them, and counts one half.
    above = tf.reduce_sum(tf.where(there, beside, 0.0), 1) - 0.5
    whole = tf.reduce_sum(tf.where(there, gains(query.all_labels), 0.0), 1)
    part = tf.math.divide_no_nan(own, whole) - tf.math.divide_no_nan(own * _discount(above), _ideal(query, there))
    losses = tf.math.divide_no_nan(part * whole, own)
    return losses, _shares(own, gains(query.all_labels), query.weights)


def _of_gains(costs: tf.Tensor, query: Query, there: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Losses whose sum by the rows' shares of the gains is that of `costs`, in units of the ideal; and the shares."""
    own, all_gains = gains(query.labels), gains(query.all_labels)
    whole = tf.reduce_sum(query.weights * all_gains, 1)
    losses = tf.math.divide_no_nan(costs * whole, own * _ideal(query, there))
    return losses, _shares(own, all_gains, query.weights)


def _shares(own: tf.Tensor, of_all: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """What a row has of the sum over its query, by weights; 0 where that is 0."""
    return tf.math.divide_no_nan(own, tf.reduce_sum(weights * of_all, 1))


def _discount(above: tf.Tensor) -> tf.Tensor:
    return tf.math.log(2.0) / tf.math.log(2.0 + above)


def _count_above(scores: tf.Tensor, others: tf.Tensor, there: tf.Tensor) -> tf.Tensor:
    """How many rows of its query are above a row, ties counting one half, float32 `[rows]`."""
    higher = tf.cast(others > scores[:, None], tf.float32) + tf.cast(others == scores[:, None], tf.float32) / 2
    return tf.reduce_sum(tf.where(there, higher, 0.0), 1) - 0.5


def _count_above_each(scores: tf.Tensor, there: tf.Tensor) -> tf.Tensor:
    """The same of all rows of the queries, float32 `[rows, n]`."""
    scores = tf.where(there, scores, -float("inf"))
    ordered = tf.sort(scores, 1)
    left, right = (tf.cast(tf.searchsorted(ordered, scores, side), tf.float32) for side in ("left", "right"))
    return tf.cast(tf.shape(scores)[1], tf.float32) - (left + right) / 2 - 0.5


def _ideal(query: Query, there: tf.Tensor) -> tf.Tensor:
    """DCG of the rows of each query in the order of their labels, float32 `[rows]`."""
    ordered = tf.sort(tf.where(there, gains(query.all_labels), 0.0), 1, "DESCENDING")
    return tf.linalg.matvec(ordered, _discount(tf.range(tf.shape(ordered)[1], dtype=tf.float32)))


#: Name in recipes -> from queries to losses of rows and shares of theirs in their query, which add up to 1.
LOSSES: Mapping[str, Callable[[Query], tuple[tf.Tensor, tf.Tensor]]] = {
    "listnet": listnet,
    "lambdarank": lambdarank,
    "approx_ndcg": approx_ndcg,
}
