"""Small problems in symmetric matrices, solved in the graph, which the balancing of gradients has in every step."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mtkit.backend import tf

#: What the inner products may be off by, in parts of the lengths: this many times what rounds in their type, and no less than...
ROUNDING, LEAST_ROUNDING = 10, 1e-12
#: Signs of numbers that are nearer to 0 than this, in parts of the largest, are rounding.
TOLERANCE = 1e-13


def rounding(precision: tf.DType) -> float:
    """What inner products of unit vectors, or sums of such, may be off by.

    Args:
        precision: the type in which they were computed.
    """
    return max(LEAST_ROUNDING, ROUNDING * float(np.finfo(precision.as_numpy_dtype).eps))


class Spectrum(NamedTuple):
    """Eigenvalues of a positive semidefinite matrix, and what becomes of vectors by its powers.

    Attributes:
        values: float64 `[n]`, ascending; those that are 0, but for rounding, are 0.
        vectors: float64 `[n, n]`, by column.
    """

    values: tf.Tensor
    vectors: tf.Tensor

    @classmethod
    def of(cls, matrix: tf.Tensor, precision: tf.DType) -> Spectrum:
        """That of a float64 matrix `[n, n]`.

        Args:
            matrix: symmetric.
            precision: the type in which its numbers were computed.
        """
        values, vectors = tf.linalg.eigh(matrix)
        nothing = ROUNDING * matrix.shape[0] * np.finfo(precision.as_numpy_dtype).eps
        return cls(tf.where(values > nothing * values[-1], values, 0), vectors)

    def solved(self, right: tf.Tensor) -> tf.Tensor:
        """The pseudo-inverse times a vector `[n]`."""
        return self._scaled(right, tf.math.reciprocal_no_nan(self.values))

    def balanced(self, right: tf.Tensor) -> tf.Tensor:
        """The inverse root, where there is one, times that of the least eigenvalue above 0, times a vector `[n]`."""
        least = tf.reduce_min(tf.where(self.values > 0, self.values, np.inf))
        return self._scaled(right, tf.sqrt(tf.math.divide_no_nan(least, self.values)))

    def _scaled(self, right: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
        return tf.linalg.matvec(self.vectors, factors * tf.linalg.matvec(self.vectors, right, True))


def definite(cosines: tf.Tensor, precision: tf.DType) -> tf.Tensor:
    """A matrix of cosines, regularized so that gradients that depend on one another have one solution: positive definite.

    Eigenvalues below 0 are rounding, and taken for 0.

    Args:
        cosines: float64 `[n, n]`.
        precision: the type in which the products were computed of which they were made.
    """
    values, vectors = tf.linalg.eigh(cosines)
    return tf.matmul(vectors * (tf.maximum(values, 0) + rounding(precision)), vectors, transpose_b=True)


def nonnegative_minimum(matrix: tf.Tensor, linear: tf.Tensor) -> tf.Tensor:
    """Where z'Mz / 2 + q'z over z ≥ 0 is least, for several q at once, float64 `[problems, n]`.

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


def bargain(matrix: tf.Tensor) -> tf.Tensor:
    """The z above 0 with Mz = 1 / z: the minimum of z'Mz / 2 - Σ log z.

    Newton's method, damped as it is for self-concordant functions: so z stays above 0.

    Source: Nesterov and Nemirovskii, Interior-Point Polynomial Algorithms in Convex Programming, 1994, section 2.2.

    Args:
        matrix: M, float64 `[n, n]`, positive definite, with 1 on the diagonal.
    """
    size = matrix.shape[0]

    def step(found: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        slope = tf.linalg.matvec(matrix, found) - 1 / found
        factor = tf.linalg.cholesky(matrix + tf.linalg.diag(1 / tf.square(found)))
        move = tf.linalg.cholesky_solve(factor, slope[:, None])[:, 0]
        decrement = tf.sqrt(tf.tensordot(slope, move, 1))
        damping = tf.where(decrement < 0.25, tf.zeros_like(decrement), decrement)
        return found - move / (1 + damping), decrement

    start = tf.fill([size], tf.cast(size**-0.5, matrix.dtype))
    found, _ = tf.while_loop(
        lambda _, decrement: decrement > 1e-9, step, (start, tf.constant(np.inf, matrix.dtype)), maximum_iterations=100
    )
    return found
