"""Low-rank adapters: a few trainable numbers beside the frozen kernels of a network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from mtkit.backend import keras, tf


class Place(NamedTuple):
    """Where an adapter is in a block.

    Attributes:
        layer: attribute of the block, a dense layer.
        parts: of how many equal parts its output consists.
        adapted: the parts to which the adapter adds.
    """

    layer: str
    parts: int = 1
    adapted: tuple[int, ...] = (0,)


def adapted_parts(targets: Iterable[str], places: Mapping[str, Place]) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Dense layer of a block -> the number of its parts, and those that have an adapter."""
    layers: dict[str, tuple[int, tuple[int, ...]]] = {}
    for name, parts, adapted in sorted(places[target] for target in set(targets)):
        layers[name] = (parts, (*layers.get(name, (parts, ()))[1], *adapted))
    return layers


@keras.saving.register_keras_serializable(package="mtkit_bert")
class LowRankAdapter(keras.layers.Layer):
    """Adds `alpha / rank * x A B` to some parts of a dense layer's output; B begins as zeros, so nothing at first.

    Args:
        units: width of the dense layer's output.
        rank: inner width of the product.
        alpha: scale; with `alpha = rank` the product itself is added.
        parts: of how many equal parts the output consists (3 for queries, keys and values).
        adapted: the parts to which something is added, each by an A and a B of its own.

    Source: Hu et al. 2022, "LoRA: Low-Rank Adaptation of Large Language Models". A is initialized as in the authors'
    code, uniformly within 1 / sqrt(width of the input).
    """

    def __init__(
        self, units: int, rank: int, alpha: float, parts: int = 1, adapted: Sequence[int] = (0,), **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.units, self.rank, self.alpha, self.parts, self.adapted = units, rank, alpha, parts, tuple(adapted)

    def build(self, shape: tf.TensorShape) -> None:
        """Creates `a` `[width, adapted * rank]` and `b` `[adapted, rank, units / parts]`."""
        count = len(self.adapted)
        uniform = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
        self.a = self.add_weight("a", [shape[-1], count * self.rank], initializer=uniform)
        self.b = self.add_weight("b", [count, self.rank, self.units // self.parts], initializer="zeros")
        super().build(shape)

    def call(self, inputs: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        """The adapted output, of the shape of `outputs`.

        Args:
            inputs: of the dense layer, `[n, width]` or `[batch, n, width]`.
            outputs: of the dense layer, alike.
        """
        lowered = tf.split(tf.matmul(inputs, self.a), len(self.adapted), axis=-1)
        parts = tf.split(outputs, self.parts, axis=-1)
        for part, low, b in zip(self.adapted, lowered, tf.unstack(self.b), strict=True):
            parts[part] += tf.matmul(low, b) * tf.cast(self.alpha / self.rank, outputs.dtype)
        return tf.concat(parts, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return super().get_config() | {
            "units": self.units,
            "rank": self.rank,
            "alpha": self.alpha,
            "parts": self.parts,
            "adapted": list(self.adapted),
        }
