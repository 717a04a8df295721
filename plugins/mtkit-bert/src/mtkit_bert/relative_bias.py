"""What tokens are to each other by how far apart they are, the same in all blocks of a network."""

from __future__ import annotations

from typing import Any

import numpy as np

from mtkit.backend import keras, tf

# From this distance on, all are alike.
_FAR = 128


@keras.saving.register_keras_serializable(package="mtkit_bert")
class RelativeBias(keras.layers.Layer):
    """What attention scores of each head get by how far the key is before or behind the query.

    Args:
        buckets: rows of the table; see `buckets_of`.
        num_heads: attention heads of each block.
        max_tokens: the largest number of tokens of a text.
        initializer: of the table.

    Source: Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer",
    section 2.1; in encoders without decoders: Song et al. 2020, "MPNet".
    """

    def __init__(
        self, buckets: int, num_heads: int, max_tokens: int, initializer: Any = "glorot_uniform", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.buckets, self.num_heads, self.max_tokens = buckets, num_heads, max_tokens
        self.initializer = keras.initializers.get(initializer)
        self._rows = buckets_of(np.arange(1 - max_tokens, max_tokens), buckets)

    def build(self, shape: Any) -> None:
        """Creates the table `embeddings`, float32 `[buckets, num_heads]`."""
        self.embeddings = self.add_weight("embeddings", [self.buckets, self.num_heads], initializer=self.initializer)
        super().build(shape)

    def call(self, tokens: tf.Tensor) -> tf.Tensor:
        """What is added to scores of texts of a number of `tokens` (int32, a scalar): `[num_heads, tokens, tokens]`."""
        place = tf.range(tokens)
        rows = tf.gather(self._rows, place[None, :] - place[:, None] + self.max_tokens - 1)
        return tf.transpose(tf.gather(self.embeddings, rows), [2, 0, 1])

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return super().get_config() | {
            "buckets": self.buckets,
            "num_heads": self.num_heads,
            "max_tokens": self.max_tokens,
            "initializer": keras.initializers.serialize(self.initializer),
        }


def buckets_of(distances: np.ndarray, buckets: int) -> np.ndarray:
    """Number of the bucket of each distance, int32, of its shape.

    One half is for keys before the query and the query itself, the other for those behind it. Of each, one half holds
    one distance each, the other ranges that grow geometrically; the last one holds all from the 128th on, too.

    Args:
        distances: place of the key less that of the query.
        buckets: their number, a multiple of 4.
    """
    half, exact = buckets // 2, buckets // 4
    far = np.maximum(np.abs(distances), exact)
    grown = np.log(far / exact) / np.log(_FAR / exact) * (half - exact)
    ranged = np.minimum(exact + grown.astype(np.int32), half - 1)
    one_side = np.where(np.abs(distances) < exact, np.abs(distances), ranged)
    return (one_side + half * (distances > 0)).astype(np.int32)
