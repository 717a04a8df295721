"""Scales on which numeric labels are learned, by statistics of the training rows, and back to the units of the data.

Losses on these scales are of about unit size, whatever the unit of the label, so that a label of seconds neither takes
thousands of steps to reach its mean, nor drowns the losses of other tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtkit.backend import keras, tf

#: The standard deviation of ranks, which are uniform in [0, 1].
_RANK_STD = 12**-0.5


class Standard(keras.layers.Layer):
    """(y - mean) / std.

    Args:
        mean: in the unit of the label.
        std: the same; positive.
    """

    #: Whether predictions are corrected by `smeared` once the training rows are known.
    smears = False

    def __init__(self, mean: float = 0.0, std: float = 1.0) -> None:
        super().__init__(name="scale", dtype="float32", autocast=False)
        self.mean, self.std = mean, std

    def statistics(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"mean": self.mean, "std": self.std}

    def scaled(self, labels: tf.Tensor) -> tf.Tensor:
        """Labels float32 `[rows]` on this scale."""
        return (labels - self.mean) * (1 / self.std)

    def numbers(self, scaled: tf.Tensor) -> tf.Tensor:
        """What is predicted on this scale, float32 `[rows]`, in the unit of the label."""
        return scaled * self.std + self.mean


class Log(Standard):
    """(log(1 + y) - mean) / std, for y >= 0.

    The exponential of a mean of logarithms is no mean, but about a median. So predictions are multiplied by the smearing
    factor, the mean over training rows of (1 + y) / (1 + exp-predicted y). It supposes nothing of the errors' distribution
    but that it is the same everywhere; the correction exp(var / 2) supposes a normal one, which labels with many zeros do
    not have. No prediction is below 0, or above the largest label of the training rows.

    Source: Duan, Smearing Estimate: A Nonparametric Retransformation Method, JASA 78 (383), 1983, equation 3.2.

    Args:
        mean: of the logarithms.
        std: of the logarithms; positive.
        largest: label of the training rows.
        smearing: the factor before training.
    """

    smears = True

    def __init__(self, mean: float, std: float, largest: float, smearing: float) -> None:
        super().__init__(mean, std)
        self.largest, self.begin = largest, smearing
        self.smearing = self.add_weight(
            "smearing", (), initializer=keras.initializers.Constant(smearing), trainable=False
        )

    def statistics(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().statistics(), "largest": self.largest, "smearing": self.begin}

    def scaled(self, labels: tf.Tensor) -> tf.Tensor:
        """Labels float32 `[rows]` on this scale; those below 0, which training rows do not have, as 0."""
        return super().scaled(tf.math.log1p(tf.maximum(labels, 0.0)))

    def numbers(self, scaled: tf.Tensor) -> tf.Tensor:
        """What is predicted on this scale, float32 `[rows]`, in the unit of the label: means, not medians."""
        logs = tf.minimum(super().numbers(scaled), np.log1p(self.largest))
        return tf.clip_by_value(tf.exp(logs) * self.smearing - 1.0, 0.0, self.largest)

    def smeared(self, labels: tf.Tensor, scaled: tf.Tensor) -> tf.Tensor:
        """(1 + label) / (1 + exp-predicted label), float32 `[rows]`, of which the smearing factor is the mean."""
        return tf.exp((self.scaled(labels) - scaled) * self.std)


class Rank(keras.layers.Layer):
    """The share of the training rows below y, shifted and scaled to mean 0 and standard deviation 1.

    Between the values of training rows it is interpolated; beyond them it ends. What is predicted for a row is the value
    that has its expected rank: about a median, and no mean.

    Args:
        values: ascending.
        ranks: of these values, in [0, 1]; ascending.
    """

    smears = False

    def __init__(self, values: Sequence[float], ranks: Sequence[float]) -> None:
        super().__init__(name="scale", dtype="float32", autocast=False)
        self.values, self.ranks = np.asarray(values, np.float32), np.asarray(ranks, np.float32)

    def statistics(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"values": self.values.tolist(), "ranks": self.ranks.tolist()}

    def scaled(self, labels: tf.Tensor) -> tf.Tensor:
        """Labels float32 `[rows]` on this scale."""
        return (_interpolated(labels, self.values, self.ranks) - 0.5) / _RANK_STD

    def numbers(self, scaled: tf.Tensor) -> tf.Tensor:
        """What is predicted on this scale, float32 `[rows]`, in the unit of the label."""
        return _interpolated(scaled * _RANK_STD + 0.5, self.ranks, self.values)


SCALES: Mapping[str, Any] = {"none": Standard, "standard": Standard, "log": Log, "rank": Rank}
"""Target of a head -> its scale."""


def _interpolated(x: tf.Tensor, known: np.ndarray, values: np.ndarray) -> tf.Tensor:
    """`values` at x, between the points `known`; constant beyond the first and the last."""
    if len(known) == 1:
        return tf.fill(tf.shape(x), values[0])
    left = tf.clip_by_value(tf.searchsorted(known, x, side="right") - 1, 0, len(known) - 2)
    begin, end = tf.gather(known, left), tf.gather(known, left + 1)
    share = tf.clip_by_value((x - begin) / (end - begin), 0.0, 1.0)
    low, high = tf.gather(values, left), tf.gather(values, left + 1)
    return low + share * (high - low)
