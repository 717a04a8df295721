"""A head of fields: what each says, what every two of them say together, and, beside that, a deep network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtkit.backend import keras, tf
from mtkit.errors import WiringError
from mtkit.heads.prediction import PredictionHead
from mtkit.layers.axes import Axis
from mtkit.layers.dense_stack import DenseStack
from mtkit.layers.joined import joined
from mtkit.layers.losses import ClassLoss


@keras.saving.register_keras_serializable(package="mtkit")
class FactorizationMachine(PredictionHead):
    """Predicts sigmoid(b + Σ_i u_i · x_i + Σ_{i<j} Σ_k r_k x_ik x_jk + deep(x)) over fields x_i, its inputs side by side, cut.

    u_i begins as (1, 0, ..., 0) and r as (0, 1, ..., 1): the first entry of field i is its weight w_i, the others are its vector
    v_i, and logits are b + Σ_i w_i + Σ_{i<j} v_i · v_j. Where a field is the embedding of a feature, which a number multiplies,
    these are the w_i x_i and v_i x_i of a factorization machine. u and r are the head's own, for heads of other tasks read the
    same fields, and would all say the same. Pairs take time in proportion to the number of fields: the sum over pairs of
    products is (square of the sum - sum of squares) / 2.

    Sources: Rendle, Factorization Machines, ICDM 2010, equation 1 and lemma 3.1; with `hidden`, Guo et al., DeepFM, IJCAI 2017,
    equation 1.

    Args:
        inputs: names in the view, in the order in which they meet the deep network.
        field: width of a field, at least 2.
        hidden: widths of the layers of the deep network; empty = there is none.
        activation: of these layers.
        dropout: dropout rate of these layers.
        bias: where b begins.
        loss: options of the `ClassLoss`.
        rising: names in the view that are no fields: Σ_j |w_j| x_j of their entries is added, which never falls with any.

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
        bias: float = 0.0,
        loss: Mapping[str, Any] | None = None,
        rising: Sequence[str] = (),
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.rising = tuple(rising)
        self.inputs, self.field, self.hidden, self.dropout = tuple(inputs), field, tuple(hidden), dropout
        self.activation, self.begin = activation, bias
        self.binary = ClassLoss(**(loss or {}))
        self.deep = DenseStack(hidden, activation, dropout, units=1, name="deep") if hidden else None

    def build(self, shapes: Mapping[str, tf.TensorShape]) -> None:
        """Creates what the head makes of fields of its own."""
        self._require_fields({name: shapes[name][-1] for name in self.inputs})
        first = np.eye(self.field, dtype=np.float32)[0]
        fields = sum(shapes[name][-1] for name in self.inputs) // self.field
        self.bias = self._weight("bias", np.array(self.begin, np.float32))
        self.linear = self._weight("linear", np.tile(first, fields))
        self.pairs = self._weight("pairs", 1 - first)
        if self.rising:
            width = sum(shapes[name][-1] for name in self.rising)
            self.raising = self._weight("raising", np.full(width, 1 / width, np.float32))
        super().build(shapes)

    def _weight(self, name: str, begin: np.ndarray) -> tf.Variable:
        initializer = keras.initializers.Constant(begin)
        # Squares that nearly cancel are too much for half precision.
        return self.add_weight(name, begin.shape, initializer=initializer, experimental_autocast=False)

    def call(self, view: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Logits float32 `[rows]`."""
        x = joined(view, self.inputs)
        whole = tf.cast(x, tf.float32)
        fields = tf.reshape(whole, [-1, x.shape[-1] // self.field, self.field])
        pairs = tf.square(tf.reduce_sum(fields, 1)) - tf.reduce_sum(tf.square(fields), 1)
        logits = self.bias + tf.linalg.matvec(whole, self.linear) + tf.linalg.matvec(pairs, self.pairs) / 2
        if self.rising:
            risen = tf.cast(joined(view, self.rising), tf.float32)
            logits += tf.linalg.matvec(risen, tf.abs(self.raising))
        return logits if self.deep is None else logits + tf.cast(self.deep(x, training=training)[:, 0], tf.float32)

    def _require_fields(self, widths: Mapping[str, int]) -> None:
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
        """The inputs side by side."""
        deep = [Axis(self.deep.first_kernel, 0, self.inputs)] if self.deep else []
        rising = [Axis(self.raising, 0, self.rising)] if self.rising else []
        return [Axis(self.linear, 0, self.inputs), *deep, *rising]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "inputs": list(self.inputs),
            "field": self.field,
            "hidden": list(self.hidden),
            "activation": self.activation,
            "dropout": self.dropout,
            "bias": self.begin,
            "loss": self.binary.options(),
            "rising": list(self.rising),
        }
