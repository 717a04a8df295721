"""A head that orders rows of the same user: scores, trained on pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mtkit.backend import keras, tf
from mtkit.heads.base import TaskPass
from mtkit.heads.prediction import PredictionHead
from mtkit.layers.axes import Axis
from mtkit.layers.joined import joined
from mtkit.layers.losses import pairwise_loss
from mtkit.runtime.collectives import gather_rolled


@keras.saving.register_keras_serializable(package="mtkit")
class PairwiseHead(PredictionHead):
    """Scores w·x, x being its inputs side by side, of which those of a user's positive rows shall be above the others.

    Args:
        inputs: names in the view, in the order in which they meet w.
    """

    def __init__(self, inputs: Sequence[str], **options: Any) -> None:
        super().__init__(**options)
        self.inputs = tuple(inputs)
        # A bias would move all scores alike, which pairs do not see.
        self.dense = keras.layers.Dense(1, use_bias=False, name="linear")

    def call(self, view: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Scores float32 `[rows]`."""
        return tf.cast(self.dense(joined(view, self.inputs)), tf.float32)[:, 0]

    def losses(self, rows: TaskPass) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss of each positive row against the negative ones of its user in the global batch; rows without any weigh 0."""
        scores, (labels, weights) = self.outputs(rows), self.labels(rows)
        users = next(iter(rows.batch.ids.values()))
        scale = rows.batch.scale(rows.spec.scales)
        there = tf.cast(weights, tf.float32) * rows.batch.present
        negative = tf.where(labels > 0, 0.0, there if scale is None else there * scale)
        others, counts, owners = map(gather_rolled, (scores, negative, users))
        losses, paired = pairwise_loss(scores, others, (users[:, None] == owners[None]), counts)
        return losses, tf.where((labels > 0) & paired, weights, 0.0)

    def predict(self, outputs: tf.Tensor) -> tf.Tensor:
        """The scores, which are no probabilities."""
        return outputs

    def axes(self) -> list[Axis]:
        """The columns of w."""
        return [Axis(self.dense.kernel, 0, self.inputs)]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "inputs": list(self.inputs)}
