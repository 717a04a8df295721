"""Layers that apply what preprocessors have learned, in training and in the servable alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mtkit.backend import keras, tf


@keras.saving.register_keras_serializable(package="mtkit")
class Vocabulary(keras.layers.Layer):
    """Strings `[rows]` to int32 `[rows]`: value i of `values` to i + 1, all others to 0.

    Args:
        values: distinct strings, none of them empty.
        **kwargs: of the Keras layer.
    """

    def __init__(self, values: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**{"autocast": False, **kwargs})
        self.values = list(values)
        # the empty string stands for a missing value; it is a key because tables cannot be empty
        keys = tf.constant(["", *self.values])
        initializer = tf.lookup.KeyValueTensorInitializer(keys, tf.range(len(self.values) + 1, dtype=tf.int64))
        self.table = tf.lookup.StaticHashTable(initializer, default_value=0)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Looks strings up."""
        return tf.cast(self.table.lookup(inputs), tf.int32)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "values": self.values}


@keras.saving.register_keras_serializable(package="mtkit")
class Standardize(keras.layers.Layer):
    """Float32 `[rows]` to float32 `[rows, 2]`: (value - mean) / std, and 1 where the value is nan or infinite, else 0.

    Where the second is 1, the first is 0.

    Args:
        mean: subtracted.
        std: divided by; positive.
        **kwargs: of the Keras layer.
    """

    def __init__(self, mean: float, std: float, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", "autocast": False, **kwargs})
        self.mean = mean
        self.std = std

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Standardizes."""
        known = tf.math.is_finite(inputs)
        value = tf.where(known, inputs, self.mean)
        # graphs turn a division by a constant into this product; written out, eager results are the same bits
        standardized = (value - self.mean) * (1 / self.std)
        return tf.stack([standardized, tf.cast(~known, inputs.dtype)], axis=-1)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "mean": self.mean, "std": self.std}


@keras.saving.register_keras_serializable(package="mtkit")
class Buckets(keras.layers.Layer):
    """Float32 `[rows]` to int32 `[rows]`: 1 + the number of edges that are not above the value, 0 for nan.

    Args:
        edges: ascending.
        **kwargs: of the Keras layer.
    """

    def __init__(self, edges: Sequence[float], **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", "autocast": False, **kwargs})
        self.edges = list(edges)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Finds buckets."""
        edges = tf.constant(self.edges, shape=[len(self.edges)], dtype=inputs.dtype)
        bucket = 1 + tf.searchsorted(edges, inputs, side="right")
        return tf.where(tf.math.is_nan(inputs), 0, bucket)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "edges": self.edges}
