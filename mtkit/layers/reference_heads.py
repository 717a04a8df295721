"""Layers of the reference heads: user preference, content understanding, recommendation, and regression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mtkit.backend import keras, tf
from mtkit.heads.prediction import PredictionHead
from mtkit.layers.axes import Axis
from mtkit.layers.joined import joined


@keras.saving.register_keras_serializable(package="mtkit")
class LinearHead(PredictionHead):
    """Predicts sigmoid(W·x + b), x being its inputs side by side.

    A label of several classes has one row of W and b per class, and the softmax over classes takes the place of the
    sigmoid.

    Args:
        inputs: names in the view, in the order in which they meet the columns of W.
        classes: number of classes of the label; 2 = binary, one logit.
    """

    def __init__(self, inputs: Sequence[str], classes: int = 2, **options: Any) -> None:
        super().__init__(**options)
        self.inputs, self.classes = tuple(inputs), classes
        self.dense = keras.layers.Dense(1 if classes == 2 else classes, name="linear")

    def call(self, view: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Logits float32, `[rows]` for a binary label and `[rows, classes]` otherwise."""
        logits = tf.cast(self.dense(joined(view, self.inputs)), tf.float32)
        return logits[:, 0] if self.classes == 2 else logits

    def loss(self, outputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Cross-entropy `[rows]` from logits, with labels 0/1 or class numbers."""
        if self.classes == 2:
            return tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(labels, outputs.dtype), outputs)
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, outputs)

    def predict(self, outputs: tf.Tensor) -> tf.Tensor:
        """Probabilities: the sigmoid for a binary label, else the softmax over classes."""
        return tf.sigmoid(outputs) if self.classes == 2 else tf.nn.softmax(outputs)

    def axes(self) -> list[Axis]:
        """The columns of W, and its rows where they are those of classes."""
        kernel, bias = self.dense.kernel, self.dense.bias
        classes = [Axis(kernel, 1, "class"), Axis(bias, 0, "class")] if self.classes > 2 else []
        return [Axis(kernel, 0, self.inputs), *classes]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "inputs": list(self.inputs), "classes": self.classes}


@keras.saving.register_keras_serializable(package="mtkit")
class RegressionHead(PredictionHead):
    """Predicts the number w·x + b, x being its inputs side by side.

    Args:
        inputs: names in the view, in the order in which they meet w.
    """

    def __init__(self, inputs: Sequence[str], **options: Any) -> None:
        super().__init__(**options)
        self.inputs = tuple(inputs)
        self.dense = keras.layers.Dense(1, name="linear")

    def call(self, view: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Numbers float32 `[rows]`."""
        return tf.cast(self.dense(joined(view, self.inputs)), tf.float32)[:, 0]

    def loss(self, outputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Squared errors `[rows]`."""
        return tf.square(outputs - tf.cast(labels, outputs.dtype))

    def predict(self, outputs: tf.Tensor) -> tf.Tensor:
        """The numbers."""
        return outputs

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "inputs": list(self.inputs)}
