"""A head of counts and amounts: means by a logarithmic link, trained on a Tweedie deviance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mtkit.backend import keras, tf
from mtkit.heads.base import TaskPass
from mtkit.heads.prediction import PredictionHead
from mtkit.layers.axes import Axis
from mtkit.layers.joined import joined
from mtkit.layers.losses import tweedie_deviance


@keras.saving.register_keras_serializable(package="mtkit")
class CountHead(PredictionHead):
    """Predicts mean · exp(w·x + b), x being its inputs side by side.

    Args:
        inputs: names in the view, in the order in which they meet w.
        power: p of the variance, which grows as mean^p: 1 = Poisson; below 2.
        statistics: `mean` of the label, positive, in its unit, and `deviance`, that of the training rows from their mean, by
            which the loss is divided.
    """

    def __init__(
        self,
        inputs: Sequence[str],
        power: float = 1.0,
        statistics: Mapping[str, float] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.inputs, self.power = tuple(inputs), power
        self.statistics = dict(statistics or {"mean": 1.0, "deviance": 1.0})
        self.dense = keras.layers.Dense(1, name="linear")

    def call(self, view: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Logarithms of the prediction over the mean of the training rows, float32 `[rows]`."""
        return tf.cast(self.dense(joined(view, self.inputs)), tf.float32)[:, 0]

    def loss(self, outputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Deviances `[rows]`, over that of the training rows from their mean; labels below 0 as 0."""
        mean, deviance = self.statistics["mean"], self.statistics["deviance"]
        shares = tf.maximum(tf.cast(labels, outputs.dtype), 0.0) * (1 / mean)
        return tweedie_deviance(outputs, shares, self.power) * (mean ** (2 - self.power) / deviance)

    def predict(self, outputs: tf.Tensor) -> tf.Tensor:
        """Means in the unit of the label, positive."""
        return self.statistics["mean"] * tf.exp(outputs)

    def handed_on(self, rows: TaskPass) -> tf.Tensor:
        """The logarithms, which are of unit size."""
        return self.outputs(rows)

    def axes(self) -> list[Axis]:
        """The columns of w."""
        return [Axis(self.dense.kernel, 0, self.inputs)]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        own = {"inputs": list(self.inputs), "power": self.power, "statistics": dict(self.statistics)}
        return {**super().get_config(), **own}
