"""A network that all tasks share."""

from __future__ import annotations

from typing import Any

from mtkit.backend import keras, tf
from mtkit.layers.parallel import Widths, plain, widths


@keras.saving.register_keras_serializable(package="mtkit")
class SharedBottom(keras.layers.Layer):
    """Dense layers that all tasks share; what differs between tasks begins after them.

    Takes `[rows, dim]` and returns `[rows, units]`, one state for all tasks; where tasks have states of their own,
    `[rows, tasks, dim]`, all go through the same layers, and come as `[rows, tasks, units]`. `units` is the last width.

    Source: Caruana, Multitask Learning, Machine Learning 28, 1997, section 2.

    Args:
        units: width of each layer; an int is one layer.
        activation: of each layer.
    """

    def __init__(self, units: Widths, activation: str = "relu", **options: Any) -> None:
        super().__init__(**options)
        self.units = units
        self.activation = keras.activations.get(activation)
        self.layers = [
            keras.layers.Dense(width, activation, kernel_initializer="he_uniform", dtype=self.dtype_policy)
            for width in widths(units)
        ]

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """The state that tasks share."""
        state = inputs
        for layer in self.layers:
            state = layer(state)
        return state

    def axes(self) -> list[Any]:
        """Nothing lies along its weights that has a name."""
        return []

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        activation = keras.activations.serialize(self.activation)
        return {**super().get_config(), "units": plain(self.units), "activation": activation}
