"""Layers of the reference heads: user preference, content understanding, recommendation, and regression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtkit.backend import keras, tf
from mtkit.heads.base import TaskPass
from mtkit.heads.prediction import PredictionHead
from mtkit.layers.axes import Axis
from mtkit.layers.joined import joined
from mtkit.layers.label_scales import SCALES
from mtkit.layers.losses import ClassLoss


@keras.saving.register_keras_serializable(package="mtkit")
class LinearHead(PredictionHead):
    """Predicts sigmoid(W·x + b), x being its inputs side by side.

    A label of several classes has one row of W and b per class, and the softmax over classes takes the place of the
    sigmoid.

    Args:
        inputs: names in the view, in the order in which they meet the columns of W.
        classes: number of classes of the label; 2 = binary, one logit.
        loss: options of the `ClassLoss`.
    """

    def __init__(
        self, inputs: Sequence[str], classes: int = 2, loss: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.inputs, self.classes = tuple(inputs), classes
        self.of_classes = ClassLoss(classes, **(loss or {}))
        self.dense = keras.layers.Dense(1 if classes == 2 else classes, name="linear")

    def call(self, view: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Logits float32, `[rows]` for a binary label and `[rows, classes]` otherwise."""
        logits = tf.cast(self.dense(joined(view, self.inputs)), tf.float32)
        return logits[:, 0] if self.classes == 2 else logits

    def loss(self, outputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Cross-entropy `[rows]` from logits, with labels 0/1 or class numbers."""
        return self.of_classes(outputs, labels)

    def predict(self, outputs: tf.Tensor) -> tf.Tensor:
        """Probabilities: the sigmoid for a binary label, else the softmax over classes."""
        return self.of_classes.probabilities(outputs)

    def axes(self) -> list[Axis]:
        """The columns of W, and its rows where they are those of classes."""
        kernel, bias = self.dense.kernel, self.dense.bias
        classes = [Axis(kernel, 1, "class"), Axis(bias, 0, "class")] if self.classes > 2 else []
        return [Axis(kernel, 0, self.inputs), *classes]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        own = {"inputs": list(self.inputs), "classes": self.classes, "loss": self.of_classes.options()}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="mtkit")
class MultiLabelHead(PredictionHead):
    """Predicts sigmoid(W·x + b) of each class for itself, x being its inputs side by side; any number of classes may apply.

    Args:
        inputs: names in the view, in the order in which they meet the columns of W.
        classes: number of classes.
    """

    def __init__(self, inputs: Sequence[str], classes: int, **options: Any) -> None:
        super().__init__(**options)
        self.inputs, self.classes = tuple(inputs), classes
        self.dense = keras.layers.Dense(classes, name="linear")

    def call(self, view: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Logits float32 `[rows, classes]`."""
        return tf.cast(self.dense(joined(view, self.inputs)), tf.float32)

    def loss(self, outputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """The mean over classes of the cross-entropy from logits, `[rows]`, with labels 0/1 `[rows, classes]`."""
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, outputs), -1)

    def predict(self, outputs: tf.Tensor) -> tf.Tensor:
        """Probabilities `[rows, classes]`, which are apart: their sum says nothing."""
        return tf.sigmoid(outputs)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "inputs": list(self.inputs), "classes": self.classes}


@keras.saving.register_keras_serializable(package="mtkit")
class RegressionHead(PredictionHead):
    """Predicts w·x + b, x being its inputs side by side, on a scale of the label.

    Args:
        inputs: names in the view, in the order in which they meet w.
        target: the scale, a key of `mtkit.layers.label_scales.SCALES`.
        statistics: the arguments of the scale.
    """

    def __init__(
        self,
        inputs: Sequence[str],
        target: str = "none",
        statistics: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.inputs, self.target = tuple(inputs), target
        self.dense = keras.layers.Dense(1, name="linear")
        self.scale = SCALES[target](**(statistics or {}))
        self.settles = self.scale.smears

    def call(self, view: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Numbers float32 `[rows]` on the scale of the loss."""
        return tf.cast(self.dense(joined(view, self.inputs)), tf.float32)[:, 0]

    def loss(self, outputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Squared errors `[rows]` on the scale."""
        return tf.square(outputs - self.scale.scaled(tf.cast(labels, outputs.dtype)))

    def predict(self, outputs: tf.Tensor) -> tf.Tensor:
        """The numbers in the unit of the label."""
        return self.scale.numbers(outputs)

    def handed_on(self, rows: TaskPass) -> tf.Tensor:
        """The numbers on the scale of the loss, which are of unit size."""
        return self.outputs(rows)

    def summary(self, rows: TaskPass) -> tf.Tensor:
        """The sums of weights, and of what they weigh in the mean that the scale asks for, float32 `[2]`."""
        labels, weights = self.labels(rows)
        weights = tf.cast(weights, tf.float32) * rows.batch.present
        if (scale := rows.batch.scale(rows.spec.scales)) is not None:
            weights *= scale
        smeared = tf.where(weights > 0, self.scale.smeared(labels, self.outputs(rows)), 0.0)
        return tf.stack([tf.reduce_sum(weights), tf.reduce_sum(weights * smeared)])

    def settle(self, total: np.ndarray) -> None:
        """Sets the smearing factor of the scale."""
        weight, smeared = total.tolist()
        if weight and np.isfinite(smeared):
            self.scale.smearing.assign(smeared / weight)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        own = {"inputs": list(self.inputs), "target": self.target, "statistics": self.scale.statistics()}
        return {**super().get_config(), **own}
