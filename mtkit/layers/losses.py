"""Losses of single rows, from what heads compute, and the probabilities that go with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mtkit.backend import tf


class ClassLoss:
    """Cross-entropy of classes from logits, with options, and the probabilities of the logits.

    A row of class y, of probability p, has the loss weight_y (1 - p)^gamma CE, where CE is the cross-entropy of its label, a
    share `smoothing` of which is spread evenly over all classes. All are finite, and so are their gradients, at logits of any
    size that float32 can take the exponential of.

    Sources: Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, equation 4 (its alpha is a weight of classes); Szegedy
    et al., Rethinking the Inception Architecture for Computer Vision, CVPR 2016, section 7. With both options, the factor of
    the focal loss is that of the row's own class.

    Args:
        classes: number of classes; 2 = binary, one logit.
        weights: of the rows of each class; empty = 1.
        focal: gamma.
        smoothing: share of the labels that is spread.
        kept_negatives: share of the rows with 0 that are learned from, for a binary label. Log-odds that are learned so are too
            high by log(1 / share), which probabilities are corrected for (King and Zeng, Logistic Regression in Rare Events
            Data, Political Analysis 9 (2), 2001, section 4.1; He et al., 2014, section 6.3: q = p / (p + (1 - p) / w)).
    """

    def __init__(
        self,
        classes: int = 2,
        weights: Sequence[float] = (),
        focal: float = 0.0,
        smoothing: float = 0.0,
        kept_negatives: float = 1.0,
    ) -> None:
        self.classes, self.weights = classes, tuple(weights)
        self.focal, self.smoothing, self.kept_negatives = focal, smoothing, kept_negatives

    def __call__(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Losses `[rows]`, from logits float32 `[rows]` and labels 0/1, or `[rows, classes]` and numbers of classes."""
        loss = self._binary(logits, labels) if self.classes == 2 else self._several(logits, labels)
        if self.focal:
            loss *= tf.exp(self.focal * self._log_of_others(logits, labels))
        return (
            loss * tf.gather(tf.constant(self.weights, tf.float32), tf.cast(labels, tf.int32)) if self.weights else loss
        )

    def probabilities(self, logits: tf.Tensor) -> tf.Tensor:
        """The sigmoid of a binary label's logits, as of all rows, else the softmax over classes."""
        if self.classes > 2:
            return tf.nn.softmax(logits)
        return tf.sigmoid(logits if self.kept_negatives == 1 else logits + math.log(self.kept_negatives))

    def options(self) -> dict[str, Any]:
        """The constructor's arguments but for the number of classes."""
        own = {"weights": list(self.weights), "focal": self.focal, "smoothing": self.smoothing}
        return {**own, "kept_negatives": self.kept_negatives}

    def _binary(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        labels = tf.cast(labels, logits.dtype)
        if self.smoothing:
            labels = labels * (1 - self.smoothing) + self.smoothing / 2
        return tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)

    def _several(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        if not self.smoothing:
            return loss
        spread = -tf.reduce_mean(tf.nn.log_softmax(logits), -1)
        return (1 - self.smoothing) * loss + self.smoothing * spread

    def _log_of_others(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """log(1 - p) `[rows]`, without the difference, which would be 0 where p is nearly 1."""
        if self.classes == 2:
            return tf.math.log_sigmoid(tf.where(labels > 0, -logits, logits))
        own = tf.one_hot(labels, self.classes, on_value=True, off_value=False, dtype=tf.bool)
        others = tf.where(own, logits.dtype.min, logits)
        return tf.reduce_logsumexp(others, -1) - tf.reduce_logsumexp(logits, -1)


def tweedie_deviance(logs: tf.Tensor, labels: tf.Tensor, power: float) -> tf.Tensor:
    """Deviances `[rows]` of labels from means exp(logs): Poisson's for power 1, compound Poisson-gamma's up to 2.

    They are 0 where the mean is the label, and of one formula near powers 1 and 2, where the usual one divides by nearly 0.

    Sources: McCullagh and Nelder, Generalized Linear Models, 1989, section 2.3; Jørgensen, Exponential Dispersion Models,
    JRSS B 49 (2), 1987.

    Args:
        logs: float32 `[rows]`.
        labels: float32 `[rows]`, 0 or more.
        power: 1 or more, below 2.
    """
    positive = labels > 0
    apart = tf.math.log(tf.where(positive, labels, 1.0)) - logs
    # What means differ by along the two powers 1 - p and 2 - p, from the mean to the label; the first is 0 for labels of 0.
    first = apart if power == 1 else tf.exp((1 - power) * logs) * tf.math.expm1((1 - power) * apart) / (1 - power)
    second = tf.where(positive, tf.math.expm1((2 - power) * tf.where(positive, apart, 0.0)), -1.0)
    return 2 * (tf.where(positive, labels * first, 0.0) - tf.exp((2 - power) * logs) * second / (2 - power))


def pairwise_loss(
    scores: tf.Tensor, others: tf.Tensor, same: tf.Tensor, weights: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Of each row the mean of log(1 + exp(other - score)) over others of its group, by their weights; and whether it has any.

    Sources: Burges et al., Learning to Rank using Gradient Descent, ICML 2005, equation 3; with all pairs of a user, it is
    the criterion of Rendle et al., BPR, UAI 2009.

    Args:
        scores: float32 `[rows]`.
        others: float32 `[others]`, scores of rows that shall be below.
        same: bool `[rows, others]`, whether they are of one group.
        weights: float32 `[others]`; 0 = not there.
    """
    weights = tf.where(same, weights[None], 0.0)
    losses = tf.nn.softplus(others[None] - scores[:, None])
    total = tf.reduce_sum(weights, 1)
    return tf.math.divide_no_nan(tf.reduce_sum(weights * losses, 1), total), total > 0
