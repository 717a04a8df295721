"""Gradients of which either the positive or the negative signs are kept, element by element."""

from __future__ import annotations

from collections.abc import Sequence

from mtkit.backend import tf


def grad_drop(jacobian: tf.Tensor, seed: tf.Tensor, leak: tf.Tensor | float | Sequence[float] = 0.0) -> tf.Tensor:
    """The sum of the gradients, in each element of those alone that have the sign that is drawn: `[n]`.

    The positive sign is drawn with the probability (1 + Σ g / Σ |g|) / 2 over the tasks. Elements that are 0 for all of them
    are 0.

    Source: Chen et al., Just Pick a Sign: Optimizing Deep Multitask Models with Gradient Sign Dropout, NeurIPS 2020, algorithm
    1, with f the identity.

    Args:
        jacobian: the tasks' gradients, `[tasks, n]`, float32 or float64.
        seed: int64 `[2]`, of what is drawn; another one for each step.
        leak: the part of a gradient that is kept whatever its sign, from 0 to 1: one for all tasks, or one for each.
    """
    return kept(jacobian, tf.random.stateless_uniform(tf.shape(jacobian)[1:], seed, dtype=jacobian.dtype), leak)


def kept(jacobian: tf.Tensor, drawn: tf.Tensor, leak: tf.Tensor | float | Sequence[float] = 0.0) -> tf.Tensor:
    """The same by given numbers.

    Args:
        jacobian: the tasks' gradients, `[tasks, n]`.
        drawn: numbers from 0 to 1, `[n]`: where they are below the probability of the positive sign, it is kept.
        leak: the part of a gradient that is kept whatever its sign.
    """
    return tf.reduce_sum(kept_parts(jacobian, drawn, leak) * jacobian, 0)


def kept_parts(jacobian: tf.Tensor, drawn: tf.Tensor, leak: tf.Tensor | float | Sequence[float] = 0.0) -> tf.Tensor:
    """What is kept of each element of a gradient, from `leak` to 1: `[tasks, n]`; arguments are those of `kept`."""
    balance = tf.math.divide_no_nan(tf.reduce_sum(jacobian, 0), tf.reduce_sum(tf.abs(jacobian), 0))
    same = tf.cast((jacobian > 0) == (drawn < (1 + balance) / 2), jacobian.dtype)
    part = tf.reshape(tf.convert_to_tensor(leak, jacobian.dtype), [-1, 1])
    return part + (1 - part) * same
