"""A head of two networks side by side, each of which chooses what it reads, and whose outputs meet in products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mtkit.backend import keras, tf
from mtkit.heads.prediction import PredictionHead
from mtkit.layers.axes import Axis
from mtkit.layers.dense_stack import DenseStack
from mtkit.layers.joined import joined
from mtkit.layers.losses import ClassLoss


@keras.saving.register_keras_serializable(package="mtkit")
class FinalMlpHead(PredictionHead):
    """Two streams of dense layers over the inputs x side by side, fused by products of their outputs, head by head.

    Stream s reads 2 sigmoid(g_s) ⊙ x, where the gate g_s is a network of some of the inputs, or else a learned vector. Of the
    outputs o_1 and o_2, cut into `heads` parts each, the logit is b + w_1·o_1 + w_2·o_2 + Σ_h o_1h^T W_h o_2h; of a label of
    several classes, each class has its own.

    Source: Mao et al., FinalMLP: An Enhanced Two-Stream MLP Model for CTR Prediction, AAAI 2023, equations 7 to 14. Deviation: a
    gate that no input decides is a vector itself, which begins at 0, and not a network of one.

    Args:
        inputs: names in the view, in the order in which they meet the streams.
        classes: number of classes of the label; 2 = binary, one logit.
        first: widths of the layers of the first stream.
        second: the same of the second; `heads` divides the last width of both.
        heads: parts of which the products are taken.
        gates: of each stream the names of the inputs that decide its gate; empty = a learned vector.
        gate_hidden: widths of the hidden layers of the gates' networks.
        activation: of hidden layers.
        dropout: dropout rate of the layers of the streams.
        loss: options of the `ClassLoss`.
    """

    def __init__(
        self,
        inputs: Sequence[str],
        classes: int = 2,
        first: Sequence[int] = (128, 128),
        second: Sequence[int] = (128,),
        heads: int = 8,
        gates: Sequence[Sequence[str]] = ((), ()),
        gate_hidden: Sequence[int] = (64,),
        activation: str = "relu",
        dropout: float = 0.0,
        loss: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.inputs, self.classes, self.heads = tuple(inputs), classes, heads
        self.first, self.second, self.dropout = tuple(first), tuple(second), dropout
        self.gates, self.gate_hidden, self.activation = (
            [tuple(names) for names in gates],
            tuple(gate_hidden),
            activation,
        )
        self.of_classes = ClassLoss(classes, **(loss or {}))
        self.streams = [
            DenseStack(units, activation, dropout, name=n) for n, units in (("first", first), ("second", second))
        ]
        self.linear = keras.layers.Dense(1 if classes == 2 else classes, name="linear")

    def build(self, shapes: Mapping[str, tf.TensorShape]) -> None:
        """Creates the gates, as wide as the inputs, and the products."""
        width = sum(shapes[name][-1] if shapes[name].rank > 1 else 1 for name in self.inputs)
        self.networks = [
            DenseStack(self.gate_hidden, self.activation, units=width, name=f"gate_{number}") if names else None
            for number, names in enumerate(self.gates)
        ]
        self.vectors = [
            None if names else self.add_weight(f"gate_{number}", (width,), initializer="zeros")
            for number, names in enumerate(self.gates)
        ]
        parts = [self.first[-1] // self.heads, self.second[-1] // self.heads]
        shape = (self.heads, self.linear.units, *parts)
        # Glorot's, as of a dense layer from one part to the other.
        limit = (6 / sum(parts)) ** 0.5
        self.products = self.add_weight("products", shape, initializer=keras.initializers.RandomUniform(-limit, limit))
        super().build(shapes)

    def call(self, view: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Logits float32, `[rows]` for a binary label and `[rows, classes]` otherwise."""
        streams = self.state_of(view, training)
        own = self.linear(streams)
        ends = tf.split(streams, [self.first[-1], self.second[-1]], -1)
        parts = [tf.reshape(state, [-1, self.heads, state.shape[-1] // self.heads]) for state in ends]
        products = tf.cast(self.products, parts[0].dtype)
        # From the first stream to the second, for all classes: [rows, heads, classes, part of the second].
        met = tf.einsum("rhi,hcij->rhcj", parts[0], products)
        logits = tf.cast(own + tf.einsum("rhcj,rhj->rc", met, parts[1]), tf.float32)
        return logits[:, 0] if self.classes == 2 else logits

    def state_of(self, view: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """The ends of both streams side by side, `[rows, width]`."""
        x = joined(view, self.inputs)
        gated = (stream(2 * self._gate(i, view) * x, training=training) for i, stream in enumerate(self.streams))
        return tf.concat(list(gated), -1)

    def _gate(self, number: int, view: Mapping[str, tf.Tensor]) -> tf.Tensor:
        network = self.networks[number]
        return tf.sigmoid(self.vectors[number] if network is None else network(joined(view, self.gates[number])))

    def loss(self, outputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Cross-entropy `[rows]` from logits, with labels 0/1 or class numbers."""
        return self.of_classes(outputs, labels)

    def predict(self, outputs: tf.Tensor) -> tf.Tensor:
        """Probabilities: the sigmoid for a binary label, else the softmax over classes."""
        return self.of_classes.probabilities(outputs)

    def axes(self) -> list[Axis]:
        """The inputs side by side that streams read and gates open, those that decide gates, and classes."""
        beside = [Axis(stream.first_kernel, 0, self.inputs) for stream in self.streams]
        beside += [Axis(vector, 0, self.inputs) for vector in self.vectors if vector is not None]
        for network, names in zip(self.networks, self.gates, strict=True):
            if network is not None:
                beside += [Axis(network.first_kernel, 0, names), Axis(network.last_kernel, 1, self.inputs)]
        if self.classes == 2:
            return beside
        of_classes = [(self.linear.kernel, 1), (self.linear.bias, 0), (self.products, 1)]
        return [*beside, *(Axis(variable, axis, "class") for variable, axis in of_classes)]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "inputs": list(self.inputs),
            "classes": self.classes,
            "first": list(self.first),
            "second": list(self.second),
            "heads": self.heads,
            "gates": [list(names) for names in self.gates],
            "gate_hidden": list(self.gate_hidden),
            "activation": self.activation,
            "dropout": self.dropout,
            "loss": self.of_classes.options(),
        }
