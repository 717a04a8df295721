"""Losses of rows that are ranked against others: pure functions of scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from mtkit.backend import tf


class Scores(NamedTuple):
    """Scores of rows with what they are to be followed by, and with others.

    Attributes:
        row: int32 `[n]`, the row of each positive.
        positive: float32 `[n]`.
        others: float32 `[rows, candidates]`.
        weights: float32 `[rows, candidates]`, or `[1, candidates]`: how many items of the catalog a candidate stands for; 0 = it
            is not there, or is a positive of the row.
        within: whether the positives are among the others, too: these are the whole catalog.
        single: whether each row has one positive, that of its number.
    """

    row: tf.Tensor
    positive: tf.Tensor
    others: tf.Tensor
    weights: tf.Tensor
    within: bool = False
    single: bool = False

    def of_row(self, values: tf.Tensor) -> tf.Tensor:
        """For each positive what its row has, `[n, ...]`, of what rows have, `[rows, ...]`."""
        return values if self.single else tf.gather(values, self.row)

    def by_row(self, values: tf.Tensor) -> tf.Tensor:
        """Sums over the positives of each row, `[rows]`, of what positives have, `[n]`."""
        if self.single:
            return values
        return tf.math.unsorted_segment_sum(values, self.row, tf.shape(self.others)[0])

    def mean(self, values: tf.Tensor) -> tf.Tensor:
        """Means over the positives of each row, `[rows]`, of what positives have, `[n]`; 0 for rows without."""
        if self.single:
            return values
        return tf.math.divide_no_nan(self.by_row(values), self.by_row(tf.ones_like(values)))

    def highest(self) -> tf.Tensor:
        """The highest score of the positives of each row, `[rows]`."""
        if self.single:
            return self.positive
        return tf.math.unsorted_segment_max(self.positive, self.row, tf.shape(self.others)[0])


def softmax(scores: Scores) -> tf.Tensor:
    """Cross-entropy `[rows]` of a row's positives, their mean, in a softmax over all of them and the others.

    A candidate that stands for w items has w times its exponential: with w = 1 / (expected number of draws) the sum is, in the
    mean, that over the whole catalog (importance sampling). What is a positive is there in any case, and is counted once.

    Source: Bengio and Senécal, Adaptive Importance Sampling to Accelerate Training of a Neural Probabilistic Language Model,
    2008. For batches Yi et al., RecSys 2019, who correct the positive, too, as if it had been drawn.
    """
    there = scores.weights > 0
    logits = tf.where(there, scores.others + tf.math.log(tf.where(there, scores.weights, 1.0)), -float("inf"))
    peak = tf.stop_gradient(tf.maximum(tf.reduce_max(logits, 1), scores.highest()))
    total = tf.reduce_sum(tf.exp(logits - peak[:, None]), 1)
    if not scores.within:
        total += scores.by_row(tf.exp(scores.positive - scores.of_row(peak)))
    return scores.mean(scores.of_row(tf.math.log(total) + peak) - scores.positive)


def squared(scores: Scores, others: float = 1.0) -> tf.Tensor:
    """Squared error `[rows]`, summed over items: positives are to have the score 1, all others 0, which weigh `others`."""
    return _pointwise(scores, others, lambda score: tf.square(score - 1), tf.square)


def binary(scores: Scores, others: float = 1.0) -> tf.Tensor:
    """Sigmoid cross-entropy `[rows]`, summed over items: positives have the label 1, all others 0, which weigh `others`."""
    return _pointwise(scores, others, lambda score: tf.nn.softplus(-score), tf.nn.softplus)


def bpr(scores: Scores) -> tf.Tensor:
    """-log sigmoid(positive - other), `[rows]`: the mean over a row's positives and over the others that are there.

    Source: Rendle et al., BPR: Bayesian Personalized Ranking from Implicit Feedback, UAI 2009.
    """
    return _pairwise(scores, lambda margin: tf.nn.softplus(-margin))


def hinge(scores: Scores) -> tf.Tensor:
    """max(0, 1 - (positive - other)), `[rows]`: the mean over a row's positives and over the others that are there."""
    return _pairwise(scores, lambda margin: tf.nn.relu(1 - margin))


def squared_of_catalog(
    query: tf.Tensor, catalog: tf.Tensor, positive: tf.Tensor, row: tf.Tensor, others: float = 1.0
) -> tf.Tensor:
    """`squared` over a whole catalog without its scores: the sum of their squares is q' (C' C) q.

    Time and memory grow with rows + items, instead of with their product.

    Source: Hu, Koren and Volinsky, Collaborative Filtering for Implicit Feedback Datasets, ICDM 2008, section 4.

    Args:
        query: float32 `[rows, dim]`.
        catalog: float32 `[items, dim]`; 0 for what is no item.
        positive: float32 `[n]`, scores of the positives.
        row: int32 `[n]`, their rows.
        others: weight of items that are no positives.
    """
    gram = tf.matmul(catalog, catalog, transpose_a=True)
    squares = tf.reduce_sum(tf.matmul(query, gram) * query, 1)
    excess = tf.square(positive - 1) - others * tf.square(positive)
    return others * squares + tf.math.unsorted_segment_sum(excess, row, tf.shape(query)[0])


LOSSES: Mapping[str, Callable[..., tf.Tensor]] = {
    "softmax": softmax,
    "squared": squared,
    "binary": binary,
    "bpr": bpr,
    "hinge": hinge,
}


def hardest(scores: Scores, number: int) -> Scores:
    """The others with the highest scores of each row alone, `number` of those that are there; each counts 1."""
    there = tf.broadcast_to(scores.weights > 0, tf.shape(scores.others))
    number = tf.minimum(number, tf.shape(scores.others)[1])
    _, places = tf.math.top_k(tf.where(there, tf.stop_gradient(scores.others), -float("inf")), number)
    others = tf.gather(scores.others, places, batch_dims=1)
    weights = tf.cast(tf.gather(there, places, batch_dims=1), tf.float32)
    return scores._replace(others=others, weights=weights)


def _pointwise(
    scores: Scores,
    others: float,
    of_positive: Callable[[tf.Tensor], tf.Tensor],
    of_other: Callable[[tf.Tensor], tf.Tensor],
) -> tf.Tensor:
    total = others * tf.reduce_sum(scores.weights * of_other(scores.others), 1)
    values = of_positive(scores.positive)
    if scores.within:
        values -= others * of_other(scores.positive)
    return total + scores.by_row(values)


def _pairwise(scores: Scores, loss: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    losses = loss(scores.positive[:, None] - scores.of_row(scores.others))
    there = tf.cast(scores.weights > 0, tf.float32)
    there = scores.of_row(tf.broadcast_to(there, tf.shape(scores.others)))
    return scores.mean(tf.math.divide_no_nan(tf.reduce_sum(losses * there, 1), tf.reduce_sum(there, 1)))
