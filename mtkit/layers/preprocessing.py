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
class ListVocabulary(Vocabulary):
    """Lists of strings `[rows, n]` to int32 `[rows, n]`: the numbers of the values that are known, ascending, then 0.

    A value that comes twice counts once, with the sum of its weights; values that are not known, and those whose weight is
    not above 0, are left out.

    Args:
        values: distinct strings, none of them empty.
        weighted: whether it is called with strings and weights, both `[rows, n]`; it then returns numbers and weights.
        **kwargs: of the Keras layer.
    """

    def __init__(self, values: Sequence[str], *, weighted: bool = False, **kwargs: Any) -> None:
        super().__init__(values, **kwargs)
        self.weighted = weighted

    def call(self, inputs: Any) -> Any:
        """Looks strings up."""
        strings, weights = inputs if self.weighted else (inputs, None)
        ids = super().call(strings)
        weights = tf.ones_like(ids, tf.float32) if weights is None else weights
        there = (ids > 0) & (weights > 0) & tf.math.is_finite(weights)
        ids, weights = _distinct(tf.where(there, ids, 0), tf.where(there, weights, 0.0))
        return (ids, weights) if self.weighted else ids

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "weighted": self.weighted}


def _distinct(ids: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Each row's distinct numbers, ascending, filled up with 0, and the sums of their weights; both `[rows, n]`."""
    last = ids.dtype.max
    ids = tf.where(ids > 0, ids, last)
    order = tf.argsort(ids, 1, stable=True)
    ids, weights = (tf.gather(values, order, batch_dims=1) for values in (ids, weights))
    begins = tf.cast(ids[:, 1:] != ids[:, :-1], tf.int32)
    rank = tf.pad(tf.cumsum(begins, 1), [[0, 0], [1, 0]])
    rows, length = tf.unstack(tf.shape(ids))
    place, count = tf.reshape(rank + length * tf.range(rows)[:, None], [-1]), rows * length
    found = tf.math.unsorted_segment_max(tf.reshape(ids, [-1]), place, count)
    total = tf.math.unsorted_segment_sum(tf.reshape(weights, [-1]), place, count)
    found = tf.where((found > 0) & (found < last), found, 0)
    return tf.reshape(found, [rows, length]), tf.reshape(total, [rows, length])


@keras.saving.register_keras_serializable(package="mtkit")
class StandardizeEach(keras.layers.Layer):
    """Float32 `[rows, n]` to the same: (value - mean) / std by columns.

    Args:
        means: subtracted, one of each column.
        stds: divided by; positive.
        **kwargs: of the Keras layer.
    """

    def __init__(self, means: Sequence[float], stds: Sequence[float], **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", "autocast": False, **kwargs})
        self.means, self.stds = list(means), list(stds)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Standardizes."""
        scales = tf.constant([1 / std for std in self.stds], inputs.dtype)
        return (inputs - tf.constant(self.means, inputs.dtype)) * scales

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "means": self.means, "stds": self.stds}


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
