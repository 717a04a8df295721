"""The layer of a head whose probability is a product with that of another task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mtkit.backend import keras, tf
from mtkit.heads.base import TaskPass
from mtkit.layers.joined import joined
from mtkit.layers.reference_heads import LinearHead
from mtkit.spec import prediction_of


@keras.saving.register_keras_serializable(package="mtkit")
class ConditionalHead(LinearHead):
    """Predicts p = p_given sigmoid(w·x + b), p_given being the probability of another task, and x its inputs side by side.

    With a and b the log-odds of the two, those of p are -log(e^-a + e^-b + e^-(a + b)), from which the loss is computed, so that
    it is finite however small the probabilities are.

    Source: Ma et al., Entire Space Multi-Task Model: An Effective Approach for Estimating Post-Click Conversion Rate, SIGIR
    2018, equations 2 and 3.

    Args:
        inputs: names in the view, in the order in which they meet w.
        given: the name in the view of the log-odds of the other task.
        loss: options of the `ClassLoss`.
    """

    def __init__(
        self, inputs: Sequence[str], given: str, loss: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        super().__init__(inputs, 2, loss, **options)
        self.given = given

    def call(self, view: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """The log-odds of the product, float32 `[rows]`."""
        own, given = self.own(view), view[self.given]
        return -tf.reduce_logsumexp(tf.stack([-given, -own, -given - own]), 0)

    def own(self, view: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The log-odds where the other task is true, float32 `[rows]`."""
        return super().call(view)

    def state_of(self, view: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Its inputs side by side."""
        return joined(view, self.inputs)

    def view(self, rows: TaskPass) -> dict[str, tf.Tensor]:
        """Its inputs, and the log-odds of the other task."""
        given = rows.embeddings([self.given])
        return super().view(rows) | (
            {name: tf.stop_gradient(odds) for name, odds in given.items()} if rows.spec.stop_gradient else given
        )

    def parts(self, rows: TaskPass) -> dict[str, tf.Tensor]:
        """The probability where the other task is true, `[rows]`."""
        return {f"{self.name}_given_{prediction_of(self.given)}": tf.sigmoid(self.own(self.view(rows)))}

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = super().get_config()
        del config["classes"]
        return {**config, "given": self.given}
