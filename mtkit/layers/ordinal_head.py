"""A head of classes in an order: one number for each row, and thresholds between the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtkit.backend import keras, tf
from mtkit.heads.prediction import PredictionHead
from mtkit.layers.axes import Axis
from mtkit.layers.joined import joined
from mtkit.layers.losses import ClassLoss

#: Thresholds are at least so far apart, so that no class becomes impossible.
_LEAST_GAP = 1e-6


@keras.saving.register_keras_serializable(package="mtkit")
class OrdinalHead(PredictionHead):
    """P(class <= k) = sigmoid(threshold_k - w·x), x being its inputs side by side: proportional odds.

    Thresholds ascend whatever is learned, so probabilities of classes, which are differences of these, are positive.

    Source: McCullagh, Regression Models for Ordinal Data, JRSS B 42 (2), 1980, equation 2.4.

    Args:
        inputs: names in the view, in the order in which they meet w.
        classes: number of classes, at least 3, numbered from the lowest to the highest.
        thresholds: ascending, one less than classes: those before training; empty = such that classes are equally frequent.
        loss: options of the `ClassLoss`.
    """

    def __init__(
        self,
        inputs: Sequence[str],
        classes: int,
        thresholds: Sequence[float] = (),
        loss: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.inputs, self.classes = tuple(inputs), classes
        self.dense = keras.layers.Dense(1, use_bias=False, name="linear")
        even = np.arange(1, classes) / classes
        self.thresholds = Thresholds(tuple(thresholds) or tuple(np.log(even / (1 - even)).tolist()))
        self.of_classes = ClassLoss(classes, **(loss or {}))

    def call(self, view: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Logarithms of the classes' probabilities, float32 `[rows, classes]`."""
        return self.thresholds(tf.cast(self.dense(joined(view, self.inputs)), tf.float32))

    def loss(self, outputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Cross-entropy `[rows]`, with numbers of classes."""
        return self.of_classes(outputs, labels)

    def predict(self, outputs: tf.Tensor) -> tf.Tensor:
        """Probabilities `[rows, classes]`."""
        return self.of_classes.probabilities(outputs)

    def axes(self) -> list[Axis]:
        """The columns of w."""
        return [Axis(self.dense.kernel, 0, self.inputs)]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        own = {"inputs": list(self.inputs), "classes": self.classes, "thresholds": list(self.thresholds.begin)}
        return {**super().get_config(), **own, "loss": self.of_classes.options()}


class Thresholds(keras.layers.Layer):
    """From numbers `[rows, 1]` to logarithms of probabilities float32 `[rows, classes]`, in full precision.

    Args:
        begin: the thresholds before training, ascending.
    """

    def __init__(self, begin: Sequence[float]) -> None:
        super().__init__(name="thresholds", dtype="float32", autocast=False)
        self.begin = tuple(begin)
        gaps = np.maximum(np.diff(self.begin) - _LEAST_GAP, _LEAST_GAP)
        self.lowest = self.add_weight("lowest", (1,), initializer=keras.initializers.Constant(self.begin[0]))
        self.raw_gaps = self.add_weight(
            "gaps", gaps.shape, initializer=keras.initializers.Constant(np.log(np.expm1(gaps)))
        )

    def call(self, numbers: tf.Tensor) -> tf.Tensor:
        """The logarithms, without differences of probabilities, which would be 0 far from the thresholds.

        sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)).
        """
        gaps = tf.nn.softplus(self.raw_gaps) + _LEAST_GAP
        above = tf.concat([self.lowest, self.lowest + tf.cumsum(gaps)], 0) - numbers
        ends = [[0, 0], [0, 1]], [[0, 0], [1, 0]]
        upper, lower = tf.pad(tf.math.log_sigmoid(above), ends[0]), tf.pad(tf.math.log_sigmoid(-above), ends[1])
        return upper + lower + tf.pad(tf.math.log(-tf.math.expm1(-gaps)), [[1, 1]])
