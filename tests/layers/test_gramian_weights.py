"""Weights of gradients against what is computed by hand, and by other means from the gradients themselves."""

import functools
import itertools

import numpy as np
import pytest
from scipy.optimize import minimize, nnls

from mtkit.backend import tf
from mtkit.layers.gramian import Gradients
from mtkit.layers.gramian_weights import DBMTL, IMTLG, MGDA, AlignedMTL, CAGrad, ConFIG, NashMTL, PCGrad, UPGrad
from mtkit.testing import check_weighting

SEED = (5, 3)
#: By name, with the weight of one task alone whose gradient has the length 2.
METHODS = {
    "pcgrad": (PCGrad(), 1),
    "mgda": (MGDA(), 1),
    "cagrad": (CAGrad(), 1.4),
    "wide_cagrad": (CAGrad(1.5), 2.5),
    "nash_mtl": (NashMTL(max_norm=0), 1 / 2),
    "imtl_g": (IMTLG(), 1),
    "aligned_mtl": (AlignedMTL(), 1),
    "config": (ConFIG(), 1),
    "upgrad": (UPGrad(), 1),
    "db_mtl": (DBMTL(), 1),
}
BENT = np.array([[1.0, 0.0], [-1.0, 1.0]])
ORTHOGONAL = np.diag([1.0, 2.0, 2.0])


@functools.cache
def traced(name, **options):
    weighting = METHODS[name][0]

    def weights(gramian, seed):
        memory = {key: tf.constant(value) for key, value in weighting.memory(gramian.shape[0]).items()}
        return weighting(gramian, memory, seed)[0]

    return tf.function(weights, autograph=False, reduce_retracing=False, **options)


def weights_of(name, jacobian, seed=SEED):
    return traced(name)(tf.constant(jacobian @ jacobian.T), tf.constant(seed, tf.int64)).numpy()


def jacobians(count=40):
    """Gradients of 2 and of 3 tasks: any, in conflict, dependent on one another, opposite, of other lengths."""
    rng = np.random.default_rng(4)
    for number in range(count):
        tasks = rng.integers(2, 4)
        drawn = rng.normal(size=(tasks, 6))
        yield [
            lambda drawn=drawn: drawn,
            lambda drawn=drawn: drawn - 0.8 * drawn.mean(0),
            lambda drawn=drawn: drawn @ np.diag([1, 1, 0, 0, 0, 0]),
            lambda drawn=drawn: np.concatenate([-2 * drawn[:1], drawn[:-1]]),
            lambda drawn=drawn: drawn * 10.0 ** rng.uniform(-3, 3, (len(drawn), 1)),
        ][number % 5]()


@pytest.mark.parametrize("name", METHODS)
def test_it_conforms(name):
    check_weighting(METHODS[name][0])


@pytest.mark.parametrize("name", METHODS)
def test_one_task_has_its_own_gradient(name):
    np.testing.assert_allclose(weights_of(name, np.array([[0.0, 2.0]])), [METHODS[name][1]], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # Each gives up half of, or all of, the other: g1 + g2 / 2 and g2 + g1.
        ("pcgrad", [2, 1.5]),
        # (g2'g2 - g1'g2) / |g1 - g2|².
        ("mgda", [0.6, 0.4]),
        # z² (1 + cos) = 1 for both, and by the lengths 1 and √2.
        ("nash_mtl", np.sqrt(1 / (1 - 0.5**0.5)) * np.array([1, 0.5**0.5])),
        # By symmetry as the lengths' inverse.
        ("imtl_g", np.array([2**0.5, 1]) / (1 + 2**0.5)),
        # The root of the Gramian [[1, -1], [-1, 2]] is [[2, -1], [-1, 3]] / √5; its least eigenvalue is (√5 - 1)² / 4.
        ("aligned_mtl", np.array([4, 3]) / 5**0.5 * (5**0.5 - 1) / 2 / 2),
        # Along the bisector, at 67.5° to either; of the lengths' sum the part cos 67.5°.
        ("config", np.array([1, 0.5**0.5]) * (1 + 2**0.5) / 2),
        # The mean of what PCGrad adds, for two tasks.
        ("upgrad", [1, 0.75]),
        ("db_mtl", [2**0.5, 1]),
    ],
)
def test_two_tasks_in_conflict(name, expected):
    np.testing.assert_allclose(weights_of(name, BENT), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pcgrad", [1, 1, 1]),
        ("mgda", [2 / 3, 1 / 6, 1 / 6]),
        # The radius .4 · |(1, 2, 2)| / 3 goes to the task for which the mean does least: 1/3 of 1, and 4/3 for the others.
        ("cagrad", [1 / 3 + 0.4, 1 / 3, 1 / 3]),
        # The radius 1.5 would bring it to more than these: all get m, where (m - 1/3)² + 2 (m - 4/3)² / 4 = 1.5².
        ("wide_cagrad", (2 + 11.5**0.5) / 3 * np.array([1, 1 / 4, 1 / 4])),
        ("nash_mtl", [1, 1 / 2, 1 / 2]),
        ("imtl_g", [1 / 2, 1 / 4, 1 / 4]),
        ("aligned_mtl", [1 / 3, 1 / 6, 1 / 6]),
        ("config", [5 / 3, 5 / 6, 5 / 6]),
        ("upgrad", [1 / 3, 1 / 3, 1 / 3]),
        ("db_mtl", [2, 1, 1]),
    ],
)
def test_three_tasks_at_right_angles(name, expected):
    np.testing.assert_allclose(weights_of(name, ORTHOGONAL), expected, rtol=1e-6)


def _projected(jacobian, orders):
    """Algorithm 1 of PCGrad, on the gradients."""
    total = 0
    for task, order in enumerate(orders):
        gradient = jacobian[task].copy()
        for other in order:
            if other != task and gradient @ jacobian[other] < 0:
                gradient -= gradient @ jacobian[other] / (jacobian[other] @ jacobian[other]) * jacobian[other]
        total = total + gradient
    return total


def test_gradient_surgery_in_a_given_order():
    for jacobian in jacobians():
        orders = np.argsort(np.random.default_rng(0).random((len(jacobian),) * 2))
        found = PCGrad.projected(Gradients.of(tf.constant(jacobian @ jacobian.T)), tf.constant(orders)).numpy()
        np.testing.assert_allclose(jacobian.T @ found, _projected(jacobian, orders), atol=1e-9 * np.abs(jacobian).max())


def test_gradient_surgery_draws_its_orders():
    """Every order comes up, for each task, and no other sum; one seed, one sum."""
    jacobian = np.random.default_rng(7).normal(size=(3, 6))
    jacobian -= 1.2 * jacobian.mean(0)
    every = itertools.product(*[list(itertools.permutations(set(range(3)) - {task})) for task in range(3)])
    expected = {tuple(np.round(_projected(jacobian, orders), 6)) for orders in every}
    found = [tuple(np.round(jacobian.T @ weights_of("pcgrad", jacobian, (seed, 1)), 6)) for seed in range(60)]
    assert len(expected) == 8
    assert set(found) == expected
    assert found[3] == tuple(np.round(jacobian.T @ weights_of("pcgrad", jacobian, (3, 1)), 6))


def test_the_shortest_combination():
    """As non-negative least squares: the shortest Σ w g with 1 - Σ w beside it."""
    for jacobian in jacobians():
        expected, _ = nnls(
            np.vstack([jacobian.T / np.abs(jacobian).max(), np.ones(len(jacobian))]), np.r_[np.zeros(6), 1.0]
        )
        expected = jacobian.T @ expected / expected.sum()
        found = jacobian.T @ weights_of("mgda", jacobian)
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.linalg.norm(jacobian, axis=1).min())


def test_projections_onto_what_harms_no_task():
    for jacobian in jacobians():
        expected = 0
        for gradient in jacobian:
            added, _ = nnls(jacobian.T, -gradient, maxiter=1000)
            expected = expected + (gradient + jacobian.T @ added) / len(jacobian)
        found = jacobian.T @ weights_of("upgrad", jacobian)
        np.testing.assert_allclose(found, expected, atol=1e-6 * np.linalg.norm(jacobian, axis=1).max())


def _dual(w, jacobian, c):
    mean = jacobian.mean(0)
    return (jacobian.T @ w) @ mean + c * np.linalg.norm(mean) * np.linalg.norm(jacobian.T @ w)


@pytest.mark.parametrize(("name", "c"), [("cagrad", 0.4), ("wide_cagrad", 1.5)])
def test_the_best_for_the_worst_task(name, c):
    """What the direction does for the task for which it does least is what the dual allows, within the ball."""
    for jacobian in jacobians():
        mean, shares = jacobian.mean(0), np.full(len(jacobian), 1 / len(jacobian))
        size = np.linalg.norm(mean) * np.linalg.norm(jacobian, axis=1).min()
        best = minimize(
            lambda w, jacobian=jacobian, size=size: _dual(w, jacobian, c) / size, shares, method="SLSQP", tol=1e-12,
            bounds=[(0, 1)] * len(jacobian), constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        ).fun * size  # fmt: skip
        direction = jacobian.T @ weights_of(name, jacobian)
        assert np.linalg.norm(direction - mean) < c * np.linalg.norm(mean) * (1 + 1e-5)
        # The dual's solver stops above the minimum, and at the cone's tip.
        assert (jacobian @ direction).min() < best + 1e-6 * size
        assert (jacobian @ direction).min() > best - 2e-3 * size


def test_an_example_of_another_library():
    """That of CAGrad in TorchJD's documentation, with c = 0.5."""
    jacobian = np.array([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]])
    weights, _ = CAGrad(0.5)(tf.constant(jacobian @ jacobian.T), {}, tf.constant(SEED, tf.int64))
    np.testing.assert_allclose(jacobian.T @ weights.numpy(), [0.1835, 1.2041, 1.2041], atol=1e-4)


def test_where_no_direction_does_good_to_all_the_nearest_harms_none():
    """Two opposite tasks, and one at right angles: within the ball all that is along the third does the two nothing."""
    jacobian = np.array([[0.0, 1.0], [0.0, -1.0], [1.0, 0.0]])
    np.testing.assert_allclose(weights_of("cagrad", jacobian), [1 / 3] * 3, atol=1e-6)


def test_bargains():
    """(Gw)_i w_i = 1, where some direction does good to all tasks."""
    for jacobian in jacobians():
        lengths = np.linalg.norm(jacobian, axis=1)
        shortest = jacobian.T @ weights_of("mgda", jacobian) / lengths.min()
        found = weights_of("nash_mtl", jacobian)
        if np.linalg.norm(shortest) > 1e-2:
            np.testing.assert_allclose(found * (jacobian @ (jacobian.T @ found)), 1, rtol=1e-4)


def test_a_bargain_where_gradients_cancel():
    """No weights are the solution; the sum is about 0, in float32 too."""
    for dtype, nothing in ((np.float64, 1e-5), (np.float32, 1e-2)):
        jacobian = np.array([[1.0, 2.0], [-3.0, -6.0]], dtype)
        assert np.linalg.norm(jacobian.T @ weights_of("nash_mtl", jacobian)) < nothing


def test_a_bargain_is_clipped_to_the_largest_norm():
    weighting = NashMTL(max_norm=0.5)
    memory = {key: tf.constant(value) for key, value in weighting.memory(2).items()}
    weights, after = weighting(tf.constant(BENT @ BENT.T), memory, tf.constant(SEED, tf.int64))
    found, expected = weights.numpy(), weights_of("nash_mtl", BENT)
    np.testing.assert_allclose(np.linalg.norm(BENT.T @ found), 0.5)
    np.testing.assert_allclose(found / np.linalg.norm(found), expected / np.linalg.norm(expected))
    np.testing.assert_allclose(after["weights"], expected, rtol=1e-6)


def test_a_bargain_may_hold_for_several_steps():
    """Of every two steps the second takes the weights of the first; those of a task without a gradient are kept for later."""
    weighting = NashMTL(every=2, max_norm=0)
    memory, found = {key: tf.constant(value) for key, value in weighting.memory(2).items()}, []
    for jacobian in (BENT, 2 * BENT, BENT * [[1], [0]], BENT, 2 * BENT):
        weights, memory = weighting(tf.constant(jacobian @ jacobian.T), memory, tf.constant(SEED, tf.int64))
        found.append(weights.numpy())
    both = weights_of("nash_mtl", BENT)
    expected = [both, both, [1, 0], [1, both[1]], both / 2]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert memory["step"] == 5


def test_projections_of_one_length():
    """By the closed form of the paper: those of all but the first task follow from differences to the first."""
    for jacobian in jacobians():
        if np.linalg.matrix_rank(jacobian) < len(jacobian):
            continue
        units = jacobian / np.linalg.norm(jacobian, axis=1, keepdims=True)
        away, turned = jacobian[0] - jacobian[1:], units[0] - units[1:]
        others = jacobian[0] @ turned.T @ np.linalg.inv(away @ turned.T)
        np.testing.assert_allclose(weights_of("imtl_g", jacobian), [1 - others.sum(), *others], rtol=1e-5, atol=1e-7)


def test_aligned_gradients():
    """By the singular values of the gradients: all of them become the least that is not 0."""
    for jacobian in jacobians():
        left, values, right = np.linalg.svd(jacobian, full_matrices=False)
        there = values > 1e-6 * values[0]
        expected = values[there][-1] * (left[:, there] @ right[there]).mean(0)
        np.testing.assert_allclose(
            jacobian.T @ weights_of("aligned_mtl", jacobian), expected, atol=1e-6 * np.abs(expected).max()
        )


def test_one_cosine_with_all():
    for jacobian in jacobians():
        direction = np.linalg.pinv(jacobian / np.linalg.norm(jacobian, axis=1, keepdims=True)).sum(1)
        # Of two opposite ones there is none.
        length = np.linalg.norm(direction)
        expected = (jacobian @ direction).sum() * direction / length**2 if length > 1e-9 else 0 * direction
        np.testing.assert_allclose(
            jacobian.T @ weights_of("config", jacobian), expected, atol=1e-6 * np.abs(jacobian).max()
        )


@pytest.mark.parametrize("name", METHODS)
def test_float32_is_enough(name):
    jacobian = np.random.default_rng(1).normal(size=(3, 9))
    np.testing.assert_allclose(weights_of(name, jacobian.astype(np.float32)), weights_of(name, jacobian), rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_xla_compiles_it(name):
    for tasks in (2, 8):
        jacobian = np.random.default_rng(tasks).normal(size=(tasks, 20))
        found = traced(name, jit_compile=True)(tf.constant(jacobian @ jacobian.T), tf.constant(SEED, tf.int64))
        # XLA's eigenvalues are less exact.
        np.testing.assert_allclose(found, weights_of(name, jacobian), rtol=1e-4, atol=1e-5)
