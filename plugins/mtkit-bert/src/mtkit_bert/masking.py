"""Which tokens of texts are hidden, and by what: a function of numbers, whatever else is in the batch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mtkit.backend import tf
from mtkit_bert.vocabulary import Vocabulary

#: Of the tokens to be predicted, this share becomes the mask token, and up to here another token; the others stay.
_MASKED, _REPLACED = 0.8, 0.9

_GOLDEN = 0x9E3779B97F4A7C15
_MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_SHIFTS = (30, 27, 31)
_BITS = 24


class Masked(NamedTuple):
    """Texts with hidden tokens.

    Attributes:
        ids: int32 `[texts, tokens]`, what the network sees.
        index: int64 `[n, 2]`, text and place of each token to be predicted.
        targets: int32 `[n]`, what they were.
    """

    ids: tf.Tensor
    index: tf.Tensor
    targets: tf.Tensor


class Masking:
    """Hides tokens of texts, to be predicted.

    Of each text's tokens, special ones aside, a share is drawn, rounded, at least one: 80 % of them become the mask
    token, 10 % another token, and 10 % stay.

    Args:
        vocabulary: of the tokenizer.
        rows: number of ids that the network knows.
        share: of the tokens of a text.

    Source: Devlin et al. 2019, "BERT", section 3.1. Deviations: masks are drawn anew in each step (Liu et al. 2019,
    "RoBERTa", section 4.1), and other tokens are drawn from those that are not special.
    """

    def __init__(self, vocabulary: Vocabulary, rows: int, share: float) -> None:
        ordinary = np.ones(rows, bool)
        ordinary[list(vocabulary.special)] = False
        ordinary[vocabulary.size :] = False
        self.ordinary, self.others = ordinary, np.flatnonzero(ordinary).astype(np.int32)
        self.mask, self.share = vocabulary.mask, share

    def eligible(self, ids: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """Bool `[texts, tokens]`, which tokens could be drawn.

        Args:
            ids: int32 `[texts, tokens]`.
            lengths: int32 `[texts]`; what lies behind is padding.
        """
        return tf.gather(self.ordinary, ids) & tf.sequence_mask(lengths, tf.shape(ids)[1])

    def __call__(self, ids: tf.Tensor, lengths: tf.Tensor, key: tf.Tensor, texts: tf.Tensor) -> Masked:
        """The texts with hidden tokens.

        Args:
            ids: int32 `[texts, tokens]`.
            lengths: int32 `[texts]`; what lies behind is padding.
            key: int64 `[n]`; another one gives other masks.
            texts: int64 `[texts]`, numbers of the texts: with the same key and number, a text is masked in the same way.
        """
        seed = hashed(*tf.unstack(key), texts)[:, None]
        order, use, other = (
            uniform(hashed(seed, tf.range(tf.shape(ids)[1])[None, :], tf.constant(draw))) for draw in range(3)
        )
        eligible = self.eligible(ids, lengths)
        number = tf.reduce_sum(tf.cast(eligible, tf.float32), axis=1)
        drawn = tf.where(number > 0, tf.maximum(tf.floor(number * self.share + 0.5), 1.0), 0.0)
        rank = tf.argsort(tf.argsort(tf.where(eligible, order, 1.0), axis=1), axis=1)
        chosen = tf.cast(rank, tf.float32) < drawn[:, None]
        others = tf.gather(self.others, tf.cast(other * len(self.others), tf.int32))
        instead = tf.where(use < _MASKED, self.mask, tf.where(use < _REPLACED, others, ids))
        index = tf.where(chosen)
        return Masked(tf.where(chosen, instead, ids), index, tf.gather_nd(ids, index))


def hashed(*parts: tf.Tensor) -> tf.Tensor:
    """Int64 as good as random, of the shape to which the integers `parts` broadcast; a function of their values.

    Source: the finalizer of SplitMix64, Steele et al. 2014, "Fast Splittable Pseudorandom Number Generators".
    """
    state = tf.constant(0, tf.int64)
    for part in parts:
        state = _mixed(tf.bitwise.bitwise_xor(state, tf.cast(part, tf.int64)) + _signed(_GOLDEN))
    return state


def uniform(bits: tf.Tensor) -> tf.Tensor:
    """Float32 in [0, 1) from random int64."""
    return tf.cast(_shifted(bits, 64 - _BITS), tf.float32) * 2.0**-_BITS


def _mixed(state: tf.Tensor) -> tf.Tensor:
    for shift, multiplier in zip(_SHIFTS, _MULTIPLIERS, strict=False):
        state = tf.bitwise.bitwise_xor(state, _shifted(state, shift)) * _signed(multiplier)
    return tf.bitwise.bitwise_xor(state, _shifted(state, _SHIFTS[-1]))


def _shifted(bits: tf.Tensor, by: int) -> tf.Tensor:
    """Shifted to the right, zeros coming in, which TensorFlow does for unsigned integers alone."""
    return tf.bitwise.bitwise_and(tf.bitwise.right_shift(bits, tf.constant(by, tf.int64)), (1 << (64 - by)) - 1)


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number
