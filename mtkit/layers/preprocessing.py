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
        rare: whether other strings than the empty one have a number of their own, the last.
        **kwargs: of the Keras layer.
    """

    def __init__(self, values: Sequence[str], rare: bool = False, **kwargs: Any) -> None:
        super().__init__(**{"autocast": False, **kwargs})
        self.values, self.rare = list(values), rare
        # the empty string stands for a missing value; it is a key because tables cannot be empty
        keys = tf.constant(["", *self.values])
        initializer = tf.lookup.KeyValueTensorInitializer(keys, tf.range(len(self.values) + 1, dtype=tf.int64))
        self.table = tf.lookup.StaticHashTable(initializer, len(keys) if rare else 0)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Looks strings up."""
        return tf.cast(self.table.lookup(inputs), tf.int32)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "values": self.values, "rare": self.rare}


@keras.saving.register_keras_serializable(package="mtkit")
class ListVocabulary(Vocabulary):
    """Lists of strings `[rows, n]` to int32 `[rows, n]`: the numbers of the values that are known, ascending, then 0.

    A value that comes twice counts once, with the sum of its weights; values that are not known, and those whose weight is
    not above 0, are left out.

    Args:
        values: distinct strings, none of them empty.
        rare: whether other strings than empty ones are one value of their own, the last.
        weighted: whether it is called with strings and weights, both `[rows, n]`; it then returns numbers and weights.
        **kwargs: of the Keras layer.
    """

    def __init__(self, values: Sequence[str], rare: bool = False, *, weighted: bool = False, **kwargs: Any) -> None:
        super().__init__(values, rare, **kwargs)
        self.weighted = weighted

    def call(self, inputs: Any) -> Any:
        """Looks strings up."""
        strings, weights = inputs if self.weighted else (inputs, None)
        ids, weights = _set(super().call(strings), weights)
        return (ids, weights) if self.weighted else ids

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "weighted": self.weighted}


@keras.saving.register_keras_serializable(package="mtkit")
class Hashes(keras.layers.Layer):
    """Strings `[rows]` to int32 `[rows, hashes]`, several hashes of each, or `[rows]` where it is one; 0 for the empty string.

    Hash i is one of the numbers from 1 + i size to (i + 1) size: `Fingerprint64` of FarmHash, modulo size, of the string, or,
    from the second on, of the number of the hash, a zero byte and the string.

    Args:
        size: how many numbers there are for each hash.
        hashes: how many hashes.
        listed: whether rows are lists `[rows, n]`; it then returns the numbers of all their values, `[rows, n * hashes]`, as
            `ListVocabulary` does.
        weighted: whether it is called with lists and weights, both `[rows, n]`; it then returns numbers and weights.
        **kwargs: of the Keras layer.
    """

    def __init__(
        self, size: int, hashes: int = 1, listed: bool = False, *, weighted: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**{"autocast": False, **kwargs})
        self.size, self.hashes, self.listed, self.weighted = size, hashes, listed, weighted

    def call(self, inputs: Any) -> Any:
        """Hashes strings."""
        strings, weights = inputs if self.weighted else (inputs, None)
        ids = self._hashed(tf.convert_to_tensor(strings, tf.string))
        if not self.listed:
            return ids if self.hashes > 1 else ids[:, 0]
        shape = [tf.shape(ids)[0], -1]
        weights = None if weights is None else tf.repeat(weights, self.hashes, axis=1)
        ids, weights = _set(tf.reshape(ids, shape), weights)
        return (ids, weights) if self.weighted else ids

    def _hashed(self, strings: tf.Tensor) -> tf.Tensor:
        """The numbers of each string, int32 `[*strings.shape, hashes]`."""
        salted = [tf.strings.join([f"{i}\0", strings]) if i else strings for i in range(self.hashes)]
        hashes = [1 + i * self.size + tf.strings.to_hash_bucket_fast(of, self.size) for i, of in enumerate(salted)]
        return tf.where((strings != "")[..., None], tf.cast(tf.stack(hashes, -1), tf.int32), 0)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        own = {"size": self.size, "hashes": self.hashes, "listed": self.listed, "weighted": self.weighted}
        return {**super().get_config(), **own}


def _set(ids: tf.Tensor, weights: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
    """Each row's distinct numbers, and the sums of their weights; those of weight 0 and below are left out."""
    weights = tf.ones_like(ids, tf.float32) if weights is None else weights
    there = (ids > 0) & (weights > 0) & tf.math.is_finite(weights)
    return _distinct(tf.where(there, ids, 0), tf.where(there, weights, 0.0))


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
