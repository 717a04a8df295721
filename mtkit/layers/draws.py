"""Random numbers that XLA computes as TensorFlow does, and fast."""

from __future__ import annotations

import numpy as np

from mtkit.backend import tf

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
FIRST_KEY = 0x02461E293EC8F720
KEYS = (0x9E3779B9, 0xBB67AE85)


def integers(seed: tf.Tensor, count: tf.Tensor, low: int, high: int, *, compiled: bool = False) -> tf.Tensor:
    """Integers from `low` on, below `high`, int32 `[count]`: those of `tf.random.stateless_uniform` on CPUs and GPUs, to the bit.

    Args:
        seed: int64 `[2]`.
        count: how many.
        low: the least.
        high: the bound.
        compiled: whether XLA compiles this. That operation would ignore half of the seed there, and take ten times as long:
            XLA makes one expression of all rounds, which it computes for each word of a block anew.
    """
    if not compiled:
        return tf.random.stateless_uniform([count], seed, low, high, tf.int32)
    # As TensorFlow does: a first block makes the key of the others, and half of their counters.
    mixed = _blocks(tf.bitcast(seed, tf.uint64)[:, None], tf.constant([FIRST_KEY], tf.uint64))[:, 0]
    blocks = -(-count // 4)
    number = tf.cast(tf.range(blocks), tf.uint64)
    counters = tf.stack([number, tf.fill([blocks], _joined(mixed[2], mixed[3]))])
    words = tf.reshape(tf.transpose(_blocks(counters, _joined(mixed[0], mixed[1])[None])), [-1])[:count]
    return low + tf.cast(tf.cast(words, tf.uint32) % tf.constant(high - low, tf.uint32), tf.int32)


def uniform(seed: tf.Tensor, count: int) -> tf.Tensor:
    """A few numbers above 0, below 1, float32 `[count]`, the same wherever they are computed.

    Args:
        seed: int64 `[2]`.
        count: how many.
    """
    parts = 1 << 23
    return (tf.cast(integers(seed, count, 0, parts, compiled=True), tf.float32) + 0.5) / parts


def normal(seed: tf.Tensor, count: int) -> tf.Tensor:
    """A few numbers of the standard normal distribution, float32 `[count]`, to rounding the same wherever they are computed.

    Source: Box and Muller, A Note on the Generation of Random Normal Deviates, 1958.

    Args:
        seed: int64 `[2]`.
        count: how many.
    """
    length, angle = tf.split(uniform(seed, 2 * count), 2)
    return tf.sqrt(-2 * tf.math.log(length)) * tf.cos(2 * np.pi * angle)


def _blocks(counters: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """Random words of 32 bits, uint64 `[4, blocks]`, of counters of 128 bits, `[2, blocks]`, the low half first, and a key `[1]`.

    Source: Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, SC 2011 (Philox 4x32-10).
    """
    multipliers, steps = (tf.constant(pair, tf.uint64)[:, None] for pair in (MULTIPLIERS, KEYS))

    def one(done: tf.Tensor, even: tf.Tensor, odd: tf.Tensor, key: tf.Tensor) -> tuple[tf.Tensor, ...]:
        product = multipliers * even
        mixed = tf.bitwise.bitwise_xor(tf.bitwise.bitwise_xor(_high(product)[::-1], odd), key)
        return done + 1, mixed, _low(product)[::-1], _low(key + steps)

    # A loop, which XLA does not make one expression of.
    state = (0, _low(counters), _high(counters), tf.stack([_low(key), _high(key)]))
    _, even, odd, _ = tf.while_loop(lambda done, *_: done < ROUNDS, one, state)
    return tf.stack([even[0], odd[0], even[1], odd[1]])


def _joined(low: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
    return tf.bitwise.bitwise_or(low, tf.bitwise.left_shift(high, tf.constant(32, tf.uint64)))


def _low(values: tf.Tensor) -> tf.Tensor:
    return tf.bitwise.bitwise_and(values, tf.constant(0xFFFFFFFF, tf.uint64))


def _high(values: tf.Tensor) -> tf.Tensor:
    return tf.bitwise.right_shift(values, tf.constant(32, tf.uint64))
