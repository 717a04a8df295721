"""Dense layers one after another, as networks of heads and of attention have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mtkit.backend import keras, tf
from mtkit.layers.initializers import SumOfInputs


@keras.saving.register_keras_serializable(package="mtkit")
class DenseStack(keras.layers.Layer):
    """Dense layers with an activation and dropout each, and then a linear one.

    Args:
        hidden: widths of the layers.
        activation: of these layers, by Keras' name.
        dropout: dropout rate after each of them.
        units: width of the linear layer after them; None = there is none.
        use_bias: whether the linear layer has a bias.

    Call: `[..., width]`; returns `[..., units]`, or as wide as the last of the layers.
    """

    def __init__(
        self,
        hidden: Sequence[int],
        activation: str = "relu",
        dropout: float = 0.0,
        units: int | None = None,
        use_bias: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.hidden, self.activation, self.dropout = tuple(hidden), activation, dropout
        self.units, self.use_bias = units, use_bias
        self.layers = [keras.layers.Dense(width, activation, dtype=self.dtype_policy) for width in hidden]
        self._dropout = keras.layers.Dropout(dropout, rng_type="stateful")
        self.linear = None
        if units is not None:
            self.linear = keras.layers.Dense(units, use_bias=use_bias, name="linear", dtype=self.dtype_policy)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """The output of the last layer."""
        state = inputs
        for layer in self.layers:
            state = self._dropout(layer(state), training=training)
        return state if self.linear is None else self.linear(state)

    @property
    def first_kernel(self) -> tf.Variable:
        """The weights `[width, units]` that meet the input, once it is built."""
        first = self.layers[0] if self.layers else self.linear
        assert first is not None, "there is a layer"
        return first.kernel

    @property
    def last_kernel(self) -> tf.Variable:
        """The weights `[width, units]` that give the output, once it is built."""
        last = self.layers[-1] if self.linear is None else self.linear
        return last.kernel

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        own = {"hidden": list(self.hidden), "activation": self.activation, "dropout": self.dropout}
        return {**super().get_config(), **own, "units": self.units, "use_bias": self.use_bias}


def tower(dim: int, hidden: Sequence[int], name: str, *, use_bias: bool = True) -> keras.Sequential:
    """One side of a two-tower model, `[rows, width]` -> `[rows, dim]`: ReLU layers, and then a linear one.

    Args:
        dim: width of the output.
        hidden: widths of the ReLU layers; without any the linear layer begins as the sum of what it reads (`SumOfInputs`).
        name: of the model.
        use_bias: whether the linear layer has a bias.
    """
    start = "glorot_uniform" if hidden else SumOfInputs()
    linear = keras.layers.Dense(dim, use_bias=use_bias, kernel_initializer=start)
    return keras.Sequential([*(keras.layers.Dense(width, "relu") for width in hidden), linear], name=name)
