"""Vectors that were made elsewhere: their projection, and how they come with a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtkit.backend import keras, tf
from mtkit.layers.initializers import Isometry
from mtkit.spec import ServingInput


@keras.saving.register_keras_serializable(package="mtkit")
class VectorProjection(keras.layers.Layer):
    """Projects given vectors to the width of the model. An entity without a vector (zeros) becomes the learned bias.

    Args:
        address: key of the vectors among the features.
        dim: width of the embedding.
        dropout: dropout rate of the output.
    """

    def __init__(self, address: str, dim: int = 64, dropout: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.address, self.dim, self.dropout = address, dim, dropout
        self._dense = keras.layers.Dense(dim, kernel_initializer=Isometry(stddev=0.01), name="dense")
        self._dropout = keras.layers.Dropout(dropout, rng_type="stateful")

    def call(self, features: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Embeddings `[rows, dim]` of the vectors `features[address]`, `[rows, width]`; other features are ignored."""
        return self._dropout(self._dense(features[self.address]), training=training)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "address": self.address, "dim": self.dim, "dropout": self.dropout}


class GivenVectors(tf.Module):
    """The derived column of an entity that is not in the data: the vector that comes with the request.

    Args:
        name: of the input.
        width: length of the vectors.
        unit: whether vectors are scaled to length 1.
        about: what the input is.
        address: of the result.
    """

    def __init__(self, name: str, width: int, *, unit: bool, about: str, address: str) -> None:
        super().__init__()
        self._input, self._unit, self._address = name, unit, address
        self.inputs = {name: ServingInput("float32", (width,), about)}

    def __call__(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Address -> vectors `[rows, width]`; zeros stay zeros."""
        vectors = inputs[self._input]
        if self._unit:
            vectors = tf.math.divide_no_nan(vectors, tf.norm(vectors, axis=-1, keepdims=True))
        return {self._address: vectors}
