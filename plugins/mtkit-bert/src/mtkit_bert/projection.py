"""From frozen text vectors to embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mtkit.backend import keras, tf
from mtkit.layers.axes import Axis
from mtkit.layers.initializers import Isometry
from mtkit.schema import Address


def small_dense(dim: int, policy: Any) -> keras.layers.Layer:
    """A projection to `dim`, whose outputs begin as small as embeddings of ids do, and as much alike as its inputs."""
    return keras.layers.Dense(dim, kernel_initializer=Isometry(stddev=0.01), name="dense", dtype=policy)


@keras.saving.register_keras_serializable(package="mtkit_bert")
class PrincipalComponents(keras.layers.Layer):
    """Principal components of the vectors of a network that trains, as they were before training; fixed.

    Args:
        components: how many are kept, as `mtkit_bert.transform.principal_components` gives them.
    """

    def __init__(self, components: int, **kwargs: Any) -> None:
        # Variances are sums of many small numbers, which half precision cannot hold.
        super().__init__(**{"dtype": "float32", "trainable": False} | kwargs)
        self.components = components

    def build(self, shape: Any) -> None:
        """Creates mean and matrix as zeros."""
        self.mean = self.add_weight("mean", (shape[-1],), initializer="zeros")
        self.matrix = self.add_weight("matrix", (shape[-1], self.components), initializer="zeros")
        super().build(shape)

    def set_map(self, mean: np.ndarray, matrix: np.ndarray) -> None:
        """Takes the mean `[width]` and the matrix `[width, components]`."""
        self.build(mean.shape)
        self.set_weights([mean, matrix])

    def call(self, vectors: tf.Tensor) -> tf.Tensor:
        """Components float32 `[..., components]` of vectors `[..., width]`."""
        return tf.matmul(vectors - self.mean, self.matrix)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return super().get_config() | {"components": self.components}


@keras.saving.register_keras_serializable(package="mtkit_bert")
class TextProjection(keras.layers.Layer):
    """Projects frozen text vectors to the width of the model. A missing text (zeros) becomes the learned bias.

    Args:
        address: key of the vectors among the features.
        dim: width of the embedding.
    """

    def __init__(self, address: str, dim: int = 64, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.address, self.dim = address, dim
        self.dense = small_dense(dim, self.dtype_policy)

    def call(self, features: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Embeddings `[rows, dim]` of the vectors `features[address]`, `[rows, width]`; other features are ignored."""
        return self.dense(features[self.address])

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return super().get_config() | {"address": self.address, "dim": self.dim}


@keras.saving.register_keras_serializable(package="mtkit_bert")
class ProjectionWithDelta(keras.layers.Layer):
    """A projected text vector, and what training adds to it for each row of an entity.

    In training, a row's residual is left out with probability `delta_dropout`, so that the projection alone stays good
    for rows that have none: row 0, and rows that training does not see, whose residuals begin as zeros.

    Args:
        address: key of the vectors among the features.
        rows_address: key of the numbers of rows.
        rows: number of rows of the entity, the unknown included.
        dim: width of the embedding.
        delta_dropout: probability.

    Source: Volkovs et al. 2017, "DropoutNet: Addressing Cold Start in Recommender Systems". Deviation: the residual is
    added after the projection, which is as expressive and takes `dim` numbers per row.
    """

    def __init__(
        self, address: str, rows_address: str, rows: int, dim: int = 64, delta_dropout: float = 0.5, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.address, self.rows_address, self.rows = address, rows_address, rows
        self.dim, self.delta_dropout = dim, delta_dropout
        self.dense = small_dense(dim, self.dtype_policy)
        self.residuals = keras.layers.Embedding(
            rows, dim, embeddings_initializer="zeros", name="residuals", dtype=self.dtype_policy
        )
        self.drop = keras.layers.Dropout(delta_dropout, rng_type="stateful", dtype=self.dtype_policy)

    def call(self, features: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Embeddings `[rows, dim]`.

        Args:
            features: with vectors `[rows, width]` and numbers of rows int32 `[rows, 1]`; others are ignored.
            training: whether residuals are left out.
        """
        numbers = features[self.rows_address]
        projected = self.dense(features[self.address])
        # Dropout would scale what it keeps, but a residual is used as it was learned.
        kept = self.drop(tf.cast(numbers > 0, projected.dtype), training=training) > 0
        return projected + tf.where(kept, self.residuals(numbers[:, 0]), tf.zeros([], projected.dtype))

    def axes(self) -> list[Axis]:
        """The rows of the residuals."""
        return [Axis(self.residuals.embeddings, 0, f"{Address(self.rows_address).scope}.id")]

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return super().get_config() | {
            "address": self.address,
            "rows_address": self.rows_address,
            "rows": self.rows,
            "dim": self.dim,
            "delta_dropout": self.delta_dropout,
        }
