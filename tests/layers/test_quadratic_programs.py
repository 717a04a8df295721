"""Small problems in symmetric matrices, against scipy and their own conditions."""

import numpy as np
import pytest
from scipy.optimize import nnls

from mtkit.backend import tf
from mtkit.layers.quadratic_programs import Spectrum, bargain, definite, nonnegative_minimum


@pytest.mark.parametrize("size", [1, 3, 8])
def test_least_over_what_is_not_negative(size):
    rng = np.random.default_rng(size)
    solve = tf.function(nonnegative_minimum, autograph=False)
    for number in range(15):
        # As tall as wide, or flatter: then what is regularized is singular.
        factor = rng.normal(size=(size if number % 2 else max(1, size - 2), size))
        matrix = factor.T @ factor + 1e-9 * np.eye(size)
        linear = rng.normal(size=(4, size)) * 10.0 ** rng.integers(-6, 7)
        root = np.linalg.cholesky(matrix)
        for found, one in zip(solve(tf.constant(matrix), tf.constant(linear)).numpy(), linear, strict=True):
            expected, _ = nnls(root.T, -np.linalg.solve(root, one), maxiter=1000)
            values = [z @ matrix @ z / 2 + one @ z for z in (found, expected)]
            assert found.min() >= 0
            assert values[0] <= values[1] + 1e-6 * abs(values[1])


def test_several_problems_are_solved_apart():
    """One that is solved at once waits for the others unchanged: nothing, one, and both variables are above 0."""
    matrix = np.array([[2.0, 1.0], [1.0, 2.0]])
    found = nonnegative_minimum(tf.constant(matrix), tf.constant([[1.0, 1.0], [-2.0, 1.0], [-3.0, -3.0]], tf.float64))
    np.testing.assert_allclose(found, [[0, 0], [1, 0], [1, 1]])


def test_bargains():
    """Also where two vectors are nearly opposite, so that much of both makes little."""
    for opposite in (0, 1e-2, 1e-6):
        factor = np.random.default_rng(0).normal(size=(3, 4))
        factor[1] = -factor[0] + opposite * factor[1] if opposite else factor[1]
        matrix = factor @ factor.T
        lengths = np.sqrt(np.diag(matrix))
        matrix /= lengths * lengths[:, None]
        found = bargain(tf.constant(matrix)).numpy()
        assert found.min() > 0
        np.testing.assert_allclose(matrix @ found * found, 1, rtol=1e-4)


def test_a_spectrum_knows_what_is_rounding():
    factor = np.random.default_rng(0).normal(size=(4, 2))
    for dtype in (tf.float64, tf.float32):
        matrix = (factor.astype(dtype.as_numpy_dtype) @ factor.T.astype(dtype.as_numpy_dtype)).astype(np.float64)
        spectrum = Spectrum.of(tf.constant(matrix), dtype)
        assert np.count_nonzero(spectrum.values) == 2
        expected = np.linalg.pinv(factor @ factor.T) @ np.arange(4.0)
        np.testing.assert_allclose(spectrum.solved(tf.range(4, dtype=tf.float64)), expected, rtol=1e-4)


def test_the_inverse_root_by_the_least_that_there_is():
    """Of the eigenvalues 9, 4 and 0: 2/3 of one vector, all of the other, and nothing of the third."""
    turn = np.array([[0.6, 0.8, 0.0], [-0.8, 0.6, 0.0], [0.0, 0.0, 1.0]])
    spectrum = Spectrum.of(tf.constant(turn @ np.diag([9.0, 4.0, 0.0]) @ turn.T), tf.float64)
    np.testing.assert_allclose(
        spectrum.balanced(tf.constant([1.0, 2.0, 3.0], tf.float64)),
        turn @ np.diag([2 / 3, 1, 0]) @ turn.T @ [1, 2, 3],
        atol=1e-12,
    )


def test_rounding_below_zero_is_taken_for_zero():
    found = definite(tf.constant([[1.0, 1.0 + 1e-7], [1.0 + 1e-7, 1.0]], tf.float64), tf.float32).numpy()
    np.testing.assert_allclose(found, 1, atol=1e-5)
    assert np.linalg.eigvalsh(found)[0] > 1e-6
