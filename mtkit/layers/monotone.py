"""Layers whose outputs never fall, or never rise, with some of their inputs, whatever they learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mtkit.backend import keras, tf
from mtkit.layers.axes import Axis
from mtkit.layers.features import Features


@keras.saving.register_keras_serializable(package="mtkit")
class MonotoneDense(keras.layers.Layer):
    """A dense layer whose outputs never fall with inputs of direction 1, and never rise with those of direction -1.

    Where an input has a direction, its weights are their absolute values, times the direction; inputs of direction 0 have
    weights of any sign. Of the outputs a third each goes through relu, which is convex, through -relu(-h), which is concave, and
    through one that is bounded on both sides, min(max(h, -1), 1): layers of relu alone could give nothing but convex functions.

    Source: Runje and Shankaranarayana, Constrained Monotonic Neural Networks, ICML 2023 (arXiv 2205.11775), equations 3 to 7,
    with relu for the activation.

    Args:
        units: width of the output.
        directions: 1, -1 or 0 for each input; empty = 1 for all.
        linear: whether there is no activation.

    Call: `[rows, inputs]`; returns `[rows, units]`.
    """

    def __init__(self, units: int, directions: Sequence[int] = (), linear: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.units, self.directions, self.linear = units, tuple(directions), linear

    def build(self, shape: tf.TensorShape) -> None:
        """Creates kernel and bias."""
        self.kernel = self.add_weight("kernel", [shape[-1], self.units], initializer="glorot_uniform")
        self.bias = self.add_weight("bias", [self.units], initializer="zeros")
        super().build(shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """The output of each row."""
        state = tf.matmul(inputs, self._directed()) + self.bias
        if self.linear:
            return state
        convex, concave, bounded = tf.split(state, self._thirds(), axis=-1)
        return tf.concat([tf.nn.relu(convex), -tf.nn.relu(-concave), tf.clip_by_value(bounded, -1, 1)], -1)

    def _directed(self) -> tf.Tensor:
        if not self.directions:
            return tf.abs(self.kernel)
        direction = tf.constant(self.directions, self.kernel.dtype)[:, None]
        return tf.where(direction == 0, self.kernel, direction * tf.abs(self.kernel))

    def _thirds(self) -> list[int]:
        third = self.units // 3
        return [self.units - 2 * third, third, third]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        own = {"units": self.units, "directions": list(self.directions), "linear": self.linear}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="mtkit")
class MonotoneFeatures(keras.layers.Layer):
    """An encoder of which no entry falls with some features, and none rises with others.

    Other features are embedded as in `Features`, and meet these in the first of the `MonotoneDense` layers, in which they have
    weights of any sign. That a number is missing, which its second entry says, is like another feature.

    Args:
        directions: address of a float feature -> 1 if no entry falls with it, -1 if none rises.
        sizes: address of an integer feature -> number of its values.
        widths: address of each float feature -> length of its last axis: 1, or 2 with one that is 1 where it is missing.
        dim: width of the embedding.
        hidden: widths of the layers before the last one.
        listed: addresses of integer features of several values.

    Call: as that of `Features`; returns `[rows, dim]`.
    """

    def __init__(
        self,
        directions: Mapping[str, int],
        sizes: Mapping[str, int],
        widths: Mapping[str, int],
        dim: int,
        hidden: Sequence[int] = (16,),
        listed: Sequence[str] = (),
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.directions, self.sizes, self.widths = dict(directions), dict(sizes), dict(widths)
        self.dim, self.hidden, self.listed = dim, tuple(hidden), tuple(listed)
        others = {address: width for address, width in self.widths.items() if address not in self.directions}
        self.others = Features(sizes, others, dim, listed=listed, name="others") if sizes or others else None
        first = [
            sign for address, sign in self.directions.items() for sign in (sign, *[0] * (self.widths[address] - 1))
        ]
        first += [0] * dim if self.others else []
        self.layers = [
            MonotoneDense(width, () if number else first, linear=number == len(self.hidden), name=f"layer_{number}")
            for number, width in enumerate((*self.hidden, dim))
        ]

    def call(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """The embedding of each row."""
        parts = [inputs[address] for address in self.directions]
        if self.others:
            own = {name: value for name, value in inputs.items() if name not in self.directions}
            parts.append(self.others(own, training=training))
        state = tf.concat([tf.cast(part, self.compute_dtype) for part in parts], -1)
        for layer in self.layers:
            state = layer(state)
        return state

    def axes(self) -> list[Axis]:
        """The rows of the embeddings."""
        return self.others.axes() if self.others else []

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "directions": dict(self.directions),
            "sizes": dict(self.sizes),
            "widths": dict(self.widths),
            "dim": self.dim,
            "hidden": list(self.hidden),
            "listed": list(self.listed),
        }
