"""Quadratic programs of a few variables in the graph, which the balancing of gradients needs in every step."""

from __future__ import annotations

import numpy as np

from mtkit.backend import tf

#: What is added to the diagonal of a matrix of cosines, so that gradients that depend on one another have one solution. At
#: least this; of Gramians in lower precision, `ROUNDING` times what rounds there.
REGULARIZATION = 1e-12
ROUNDING = 10
#: Signs of numbers that are nearer to 0 than this, in parts of the largest, are rounding.
TOLERANCE = 1e-13


def definite(cosines: tf.Tensor, precision: tf.DType) -> tf.Tensor:
    """A matrix of cosines without the eigenvalues below 0 that rounding makes, and regularized: positive definite.

    Args:
        cosines: float64 `[n, n]`.
        precision: that in which the products were computed of which they were made.
    """
    values, vectors = tf.linalg.eigh(cosines)
    least = max(REGULARIZATION, ROUNDING * float(np.finfo(precision.as_numpy_dtype).eps))
    return tf.matmul(vectors * (tf.maximum(values, 0) + least), vectors, transpose_b=True)


def nonnegative_minimum(matrix: tf.Tensor, linear: tf.Tensor) -> tf.Tensor:
    """min z'Mz / 2 + q'z over z ≥ 0, for several q at once, float64 `[problems, n]`.

    Which z are above 0 is found by principal pivoting: all variables on the wrong side change theirs at once, and one alone,
    the last of them, once that no longer makes fewer of them. Each step solves for the variables above 0.

    Source: Júdice and Pires, A Block Principal Pivoting Algorithm for Large-Scale Strictly Monotone Linear Complementarity
    Problems, Computers & Operations Research 21 (1994).

    Args:
        matrix: M, float64 `[n, n]`, positive definite.
        linear: q, float64 `[problems, n]`.
    """
    size = matrix.shape[0]
    patience, bound = 3, 4 * size + 20

    def solved(above: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        both = above[:, :, None] & above[:, None, :]
        factors = tf.linalg.cholesky(tf.where(both, matrix, tf.eye(size, dtype=matrix.dtype)))
        found = tf.linalg.cholesky_solve(factors, tf.where(above, -linear, 0)[:, :, None])[:, :, 0]
        return found, tf.matmul(found, matrix) + linear

    def wrong(above: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        found, slope = solved(above)
        close = TOLERANCE * tf.reduce_max(tf.abs(linear), 1, keepdims=True)
        far = TOLERANCE * tf.reduce_max(tf.abs(found), 1, keepdims=True)
        return tf.where(above, found < -far, slope < -(close + far)), found

    def step(above: tf.Tensor, least: tf.Tensor, left: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, ...]:
        amiss, found = wrong(above)
        count = tf.reduce_sum(tf.cast(amiss, tf.int32), 1)
        better = count < least
        left = tf.where(better, patience, left - 1)
        last = tf.cast(tf.one_hot(size - 1 - tf.argmax(amiss[:, ::-1], 1), size, on_value=1), tf.bool) & amiss
        change = tf.where((better | (left >= 0))[:, None], amiss, last)
        return tf.not_equal(above, change), tf.minimum(least, count), left, found

    def unfinished(_above: tf.Tensor, least: tf.Tensor, *_: tf.Tensor) -> tf.Tensor:
        return tf.reduce_any(least > 0)

    problems = tf.shape(linear)[0]
    start = (linear < 0, tf.fill([problems], size + 1), tf.fill([problems], patience), tf.zeros_like(linear))
    *_, found = tf.while_loop(unfinished, step, start, maximum_iterations=bound)
    return tf.maximum(found, 0)
