"""A head of fields: what each says, what every two of them say together, and, beside that, a deep network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mtkit.backend import keras, tf
from mtkit.errors import WiringError
from mtkit.heads.prediction import PredictionHead
from mtkit.layers.axes import Axis
from mtkit.layers.dense_stack import DenseStack
from mtkit.layers.joined import joined
from mtkit.layers.losses import ClassLoss


@keras.saving.register_keras_serializable(package="mtkit")
class FactorizationMachine(PredictionHead):
    """Predicts sigmoid(b + Σ_i w_i + Σ_{i<j} v_i · v_j + deep(x)) over the fields of its inputs.

    Its inputs side by side, x, are fields of one width: the first entry of field i is w_i, the others are v_i. Where a field is
    the embedding of a feature, which a number multiplies, these are the w_i x_i and v_i x_i of a factorization machine. Pairs
    take time in proportion to the number of fields: Σ_{i<j} v_i · v_j = (|Σ_i v_i|² - Σ_i |v_i|²) / 2.

    Sources: Rendle, Factorization Machines, ICDM 2010, equation 1 and lemma 3.1; with `hidden`, Guo et al., DeepFM, IJCAI 2017,
    equation 1.

    Args:
        inputs: names in the view, in the order in which they meet the deep network.
        field: width of a field, at least 2.
        hidden: widths of the layers of the deep network; empty = there is none.
        activation: of these layers.
        dropout: dropout rate of these layers.
        loss: options of the `ClassLoss`.

    Raises:
        WiringError: when it is called: inputs are no fields of this width, or a single one.
    """

    def __init__(
        self,
        inputs: Sequence[str],
        field: int,
        hidden: Sequence[int] = (),
        activation: str = "relu",
        dropout: float = 0.0,
        loss: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.inputs, self.field, self.hidden, self.dropout = tuple(inputs), field, tuple(hidden), dropout
        self.activation = activation
        self.binary = ClassLoss(**(loss or {}))
        self.deep = DenseStack(hidden, activation, dropout, units=1, name="deep") if hidden else None
        self.bias = self.add_weight("bias", (), initializer="zeros", experimental_autocast=False)

    def call(self, view: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Logits float32 `[rows]`."""
        self._require_fields(view)
        x = joined(view, self.inputs)
        # Squares that nearly cancel are too much for half precision.
        fields = tf.cast(tf.reshape(x, [-1, x.shape[-1] // self.field, self.field]), tf.float32)
        vectors = fields[..., 1:]
        pairs = tf.square(tf.reduce_sum(vectors, 1)) - tf.reduce_sum(tf.square(vectors), 1)
        logits = self.bias + tf.reduce_sum(fields[..., 0], 1) + tf.reduce_sum(pairs, 1) / 2
        return logits if self.deep is None else logits + tf.cast(self.deep(x, training=training)[:, 0], tf.float32)

    def _require_fields(self, view: Mapping[str, tf.Tensor]) -> None:
        widths = {name: view[name].shape[-1] for name in self.inputs}
        for name, width in widths.items():
            if width % self.field:
                raise WiringError(
                    f"task.{self.name}: fields are {self.field} wide, but {name!r} comes as {width}; expected a multiple: let "
                    "encoders have one `dim`, set `units` of correlations to a multiple of it, or set `field`"
                )
        if sum(widths.values()) == self.field:
            raise WiringError(
                f"task.{self.name}: {self.inputs[0]!r} is one field, {self.field} wide, which has no pairs; let the encoder keep "
                'its features apart (combine = "concat"), or name more inputs'
            )

    def loss(self, outputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Sigmoid cross-entropy `[rows]`."""
        return self.binary(outputs, labels)

    def predict(self, outputs: tf.Tensor) -> tf.Tensor:
        """Probabilities `[rows]`."""
        return self.binary.probabilities(outputs)

    def axes(self) -> list[Axis]:
        """The inputs side by side that the deep network reads."""
        return [Axis(self.deep.first_kernel, 0, self.inputs)] if self.deep else []

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "inputs": list(self.inputs),
            "field": self.field,
            "hidden": list(self.hidden),
            "activation": self.activation,
            "dropout": self.dropout,
            "loss": self.binary.options(),
        }
