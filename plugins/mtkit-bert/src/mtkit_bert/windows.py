"""Vectors of texts that come as token ids, window by window."""

from __future__ import annotations

from collections.abc import Callable

from mtkit.backend import tf
from mtkit_bert.reading import CombineName


def encoded(
    encode: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], ids: tf.Tensor, padding: int, size: int | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Vectors float32 `[texts, width]`, zeros where there is no text, and bool `[texts]`, where there is one.

    Args:
        encode: from token ids `[n, tokens]` and their lengths int32 `[n]` to vectors float32 `[n, width]`.
        ids: int32 `[texts, tokens]`, padded behind.
        padding: id behind the tokens of shorter texts.
        size: texts of more than `size` ids are windows side by side, each padded to `size`; None = a text is one window.
    """
    texts = tf.shape(ids)[0]
    if size is None:
        count = lengths(ids, padding)
        vectors = encode(ids, count)
        return tf.where(count[:, None] > 0, vectors, tf.zeros_like(vectors)), count > 0
    windows, count, text = _windows(ids, padding, size)
    whole = tf.math.unsorted_segment_sum(count, text, texts)
    share = tf.math.divide_no_nan(tf.cast(count, tf.float32), tf.cast(tf.gather(whole, text), tf.float32))
    vectors = encode(windows, count)
    vectors = tf.where(count[:, None] > 0, vectors * share[:, None], tf.zeros_like(vectors))
    return tf.math.unsorted_segment_sum(vectors, text, texts), whole > 0


def lengths(ids: tf.Tensor, padding: int) -> tf.Tensor:
    """Int32 `[texts]`, by the last id that is not padding: a text may hold the padding's name itself."""
    return tf.reduce_max(tf.where(ids != padding, tf.range(1, tf.shape(ids)[1] + 1), 0), axis=1)


def combined(vectors: tf.Tensor, there: tf.Tensor, combine: CombineName) -> tf.Tensor:
    """One vector from those of the texts of a row, as `mtkit_bert.derive.combined`.

    Args:
        vectors: `[rows, texts, width]`, zeros where there is no text.
        there: bool `[rows, texts]`, where there is one.
        combine: `mean` of the texts that are there, or `concat` of all.
    """
    if combine == "concat":
        return tf.reshape(vectors, [-1, vectors.shape[1] * vectors.shape[2]])
    count = tf.reduce_sum(tf.cast(there, vectors.dtype), axis=1)
    return tf.reduce_sum(vectors, axis=1) / tf.maximum(count, 1)[:, None]


def _windows(ids: tf.Tensor, padding: int, size: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Windows `[n, tokens]`, the first of each text and those that hold tokens; lengths `[n]`; numbers of texts `[n]`."""
    tokens = tf.shape(ids)[1]
    size = tf.clip_by_value(tokens, 1, size)
    each = tf.maximum(-(-tokens // size), 1)
    ids = tf.pad(ids, [[0, 0], [0, each * size - tokens]], constant_values=padding)
    windows = tf.reshape(ids, [tf.shape(ids)[0] * each, size])
    count, place = lengths(windows, padding), tf.range(tf.shape(windows)[0])
    kept = tf.where((count > 0) | (place % each == 0))[:, 0]
    return tf.gather(windows, kept), tf.gather(count, kept), tf.gather(place // each, kept)
