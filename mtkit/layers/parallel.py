"""Layers of one shape side by side, each with weights and, if need be, inputs of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mtkit.backend import keras, tf
from mtkit.layers.axes import Axis

Widths = int | Sequence[int]
"""The width of a network's one layer, or of each of its layers."""


def widths(units: Widths) -> tuple[int, ...]:
    """The width of each layer, at least one."""
    return (units,) if isinstance(units, int) else tuple(units)


def plain(units: Widths) -> int | list[int]:
    """Widths as a configuration has them."""
    return units if isinstance(units, int) else list(units)


def he_uniform(gain: float = 1.0) -> keras.initializers.Initializer:
    """Keras' `he_uniform`, its variance times a factor."""
    return keras.initializers.VarianceScaling(2.0 * gain, "fan_in", "uniform")


@keras.saving.register_keras_serializable(package="mtkit")
class Each(keras.initializers.Initializer):
    """Initial numbers of matrices `[inputs, count, outputs]` that lie side by side, as of one matrix `[inputs, all outputs]`.

    Args:
        initializer: of that matrix; one by the fan-in alone is as if each had been made for itself.
    """

    def __init__(self, initializer: Any) -> None:
        self.initializer = keras.initializers.get(initializer)

    def __call__(self, shape: Sequence[int], dtype: Any = None, **options: Any) -> tf.Tensor:
        """A kernel `[inputs, count, outputs]`."""
        inputs, count, outputs = shape
        return tf.reshape(self.initializer((inputs, count * outputs), dtype=dtype, **options), shape)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"initializer": keras.initializers.serialize(self.initializer)}


@keras.saving.register_keras_serializable(package="mtkit")
class ParallelDense(keras.layers.Layer):
    """Dense layers side by side: f(x_i W_i + b_i).

    Takes one tensor `[rows, dim]` that all of them read, or a list with one for each. Returns a list of `[rows, units]`.

    All weights are one variable, so that an optimizer visits one; each product has its own matrix, since dividing small
    matrices is faster than dividing wide outputs, and both are faster than a batched product.

    Args:
        count: number of layers.
        units: width of each.
        activation: of each.
        gain: factor of the variance of their weights at the start, which is that of He et al., 2015, uniform.
    """

    def __init__(self, count: int, units: int, activation: str = "relu", gain: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.count, self.units, self.gain = count, units, gain
        self.activation = keras.activations.get(activation)

    def build(self, input_shape: Any) -> None:
        """Creates the weights."""
        dim = (input_shape[0] if isinstance(input_shape, list) else input_shape)[-1]
        self.kernel = self.add_weight("kernel", (dim, self.count, self.units), initializer=Each(he_uniform(self.gain)))
        self.bias = self.add_weight("bias", (self.count, self.units), initializer="zeros")
        super().build(input_shape)

    def call(self, inputs: tf.Tensor | Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The outputs, in order."""
        states = inputs if isinstance(inputs, list | tuple) else [inputs] * self.count
        weights = zip(states, tf.unstack(self.kernel, axis=1), tf.unstack(self.bias), strict=True)
        return [self.activation(tf.nn.bias_add(tf.matmul(x, kernel), bias)) for x, kernel, bias in weights]

    def axes_of(self, of: str | Sequence[str]) -> list[Axis]:
        """The axes along which the layers lie, for one who knows what they stand for."""
        return [Axis(self.kernel, 1, of), Axis(self.bias, 0, of)]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        activation = keras.activations.serialize(self.activation)
        own = {"count": self.count, "units": self.units, "activation": activation, "gain": self.gain}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="mtkit")
class ParallelNetworks(keras.layers.Layer):
    """Networks of dense layers side by side, such as experts; each input goes through all layers of its own network.

    Takes one tensor `[rows, dim]` that all of them read, or a list with one for each. Returns a list of `[rows, units]`, the
    last width.

    Args:
        count: number of networks.
        units: width of each layer.
        activation: of each layer.
        gain: factor of the variance of the last layer's weights at the start.
    """

    def __init__(self, count: int, units: Widths, activation: str = "relu", gain: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.count, self.units, self.gain = count, units, gain
        self.activation = keras.activations.get(activation)
        *inner, last = widths(units)
        gains = [*((width, 1.0) for width in inner), (last, gain)]
        self.layers = [
            ParallelDense(count, width, activation, of, name=f"layer_{number}", dtype=self.dtype_policy)
            for number, (width, of) in enumerate(gains)
        ]

    def call(self, inputs: tf.Tensor | Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The outputs, in order."""
        for layer in self.layers:
            inputs = layer(inputs)
        return list(inputs)

    def axes_of(self, of: str | Sequence[str]) -> list[Axis]:
        """The axes along which the networks lie, for one who knows what they stand for."""
        return [axis for layer in self.layers for axis in layer.axes_of(of)]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        activation = keras.activations.serialize(self.activation)
        own = {"count": self.count, "units": plain(self.units), "activation": activation, "gain": self.gain}
        return {**super().get_config(), **own}
