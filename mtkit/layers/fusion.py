"""Fusion of several embeddings of the same row, such as text, image and id of an item, into one.

Each layer is called with a list of embeddings, one per modality: `[rows, dim_i]`, or `[rows, tasks, dim_i]` for all. It
returns `[rows, dim]`, or `[rows, tasks, dim]`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mtkit.backend import keras, tf


class _Fusion(keras.layers.Layer):
    """What the layers share.

    Args:
        dim: width of the result.
    """

    def __init__(self, dim: int, **options: Any) -> None:
        super().__init__(**options)
        self.dim = dim

    def _dense(self, name: str, units: int | None = None, **options: Any) -> keras.layers.Layer:
        return keras.layers.Dense(units or self.dim, name=name, dtype=self.dtype_policy, **options)

    def _each(self, modalities: Sequence[Any], **options: Any) -> list[keras.layers.Layer]:
        return [self._dense(f"modality_{index}", **options) for index in range(len(modalities))]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "dim": self.dim}


@keras.saving.register_keras_serializable(package="mtkit")
class ConcatenateFusion(_Fusion):
    """Modalities side by side, projected: W [x_1, …, x_n] + b."""

    def build(self, shapes: Any) -> None:
        """Creates the projection."""
        self.projection = self._dense("projection")
        super().build(shapes)

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        """The fused embedding."""
        return self.projection(tf.concat(inputs, -1))


@keras.saving.register_keras_serializable(package="mtkit")
class GatedFusion(_Fusion):
    """Each entry of the result weighs modalities by gates that see all of them.

    h_i = tanh(W_i x_i + b_i), z_i = sigmoid(V_i [x_1, …, x_n] + c_i), result Σ z_i h_i.

    Source: Arevalo et al. 2017, "Gated Multimodal Units for Information Fusion", section 3.1, for any number of
    modalities. Deviation: maps have biases.
    """

    def build(self, shapes: Any) -> None:
        """Creates the maps of the modalities, and all gates as one."""
        self.maps = self._each(shapes, activation="tanh")
        self.gates = self._dense("gates", len(shapes) * self.dim, activation="sigmoid")
        super().build(shapes)

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        """The fused embedding."""
        gates = tf.split(self.gates(tf.concat(inputs, -1)), len(self.maps), -1)
        return tf.add_n([gate * to(x) for gate, to, x in zip(gates, self.maps, inputs, strict=True)])


@keras.saving.register_keras_serializable(package="mtkit")
class AttentionFusion(_Fusion):
    """A mean of the modalities, weighted row by row by their agreement with a learned vector.

    h_i = W_i x_i + b_i, u_i = tanh(V h_i + c), a = softmax(u_1 · q, …, u_n · q), result Σ a_i h_i.

    Source: Yang et al. 2016, "Hierarchical Attention Networks for Document Classification", equations 5 to 7, over
    modalities instead of words. Deviation: `W_i` bring modalities to one width first.
    """

    def build(self, shapes: Any) -> None:
        """Creates the maps of the modalities, and the attention that they share."""
        self.maps = self._each(shapes)
        self.key = self._dense("key", activation="tanh")
        self.query = self._dense("query", 1, use_bias=False)
        super().build(shapes)

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        """The fused embedding."""
        states = tf.stack([to(x) for to, x in zip(self.maps, inputs, strict=True)], -2)
        return tf.reduce_sum(tf.nn.softmax(self.query(self.key(states)), -2) * states, -2)


@keras.saving.register_keras_serializable(package="mtkit")
class CascadeFusion(_Fusion):
    """One modality after another, each fused with what the ones before it have given.

    h_1 = tanh(W_1 x_1 + b_1), h_i = tanh(W_i [h_{i-1}, x_i] + b_i), result h_n.

    Source: Majumder et al. 2018, "Multimodal Sentiment Analysis using Hierarchical Fusion with Context Modeling",
    section 3.3. Deviation: modalities join in their order, instead of all pairs first and then all of these.
    """

    def build(self, shapes: Any) -> None:
        """Creates the steps."""
        self.steps = self._each(shapes, activation="tanh")
        super().build(shapes)

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        """The fused embedding."""
        state = self.steps[0](inputs[0])
        for step, x in zip(self.steps[1:], inputs[1:], strict=True):
            state = step(tf.concat([state, x], -1))
        return state


#: Name in recipes -> layer.
FUSIONS: Mapping[str, Callable[..., keras.layers.Layer]] = {
    "concatenate": ConcatenateFusion,
    "gated": GatedFusion,
    "attention": AttentionFusion,
    "cascade": CascadeFusion,
}
