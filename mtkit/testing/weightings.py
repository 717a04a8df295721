"""What holds of methods that weigh gradients by their inner products."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from mtkit.testing.assertions import assert_finite

_TASKS, _WIDTH, _ROUNDS = 3, 5, 6
#: By which directions and products may differ, in parts of the lengths, and how far from 0 is not 0.
_TOLERANCE, _NOTHING = 1e-5, 1e-3
_SCALES = (1e-6, 1.0, 1e6)


def check_weighting(weighting: Any) -> None:
    """Finite weights whatever the gradients, of one task some of its own gradient, and the properties that it declares.

    Gradients are drawn: any, in conflict, dependent on one another, opposite. A task without a gradient changes nothing
    for the others; where the order of the tasks counts, that is asked of two tasks.

    Args:
        weighting: a `mtkit.layers.gramian.Weighting`.
    """
    weigh = _traced(weighting)
    for jacobian in _jacobians(_TASKS):
        _assert_finite(weigh, jacobian)
    _assert_goes_on(weigh, jacobian)
    _assert_alone(weigh)
    _assert_absent(weighting, weigh)
    for declared, check in _PROPERTIES.items():
        if getattr(weighting, declared):
            check(weigh)


Weigh = Callable[[np.ndarray], np.ndarray]


def _traced(weighting: Any) -> Weigh:
    """Jacobian to weights, at the first step of a training: float64 `[tasks, n]` to `[tasks]`."""
    from mtkit.backend import tf

    traces: dict[tuple[Any, ...], Any] = {}

    def first(gramian: tf.Tensor, seed: tf.Tensor) -> Any:
        memory = {name: tf.constant(value) for name, value in weighting.memory(gramian.shape[0]).items()}
        found, after = weighting(gramian, memory, seed)
        assert {name: value.shape for name, value in after.items()} == {
            name: value.shape for name, value in memory.items()
        }, "what is remembered after a step has other names or shapes than before"
        return found

    def weigh(jacobian: np.ndarray) -> np.ndarray:
        key = (jacobian.shape[0], jacobian.dtype)
        # Not through AutoGraph, which takes longer than these calls do.
        function = traces.setdefault(key, tf.function(first, autograph=False))
        found = function(tf.constant(jacobian @ jacobian.T), tf.constant([3, 1], tf.int64))
        assert found.shape == jacobian.shape[:1], f"expected weights {jacobian.shape[:1]}, got {found.shape}"
        assert found.dtype == jacobian.dtype, (
            f"expected weights in the Gramian's {jacobian.dtype}, got {found.dtype.name}"
        )
        return np.asarray(found)

    return weigh


def _jacobians(tasks: int) -> Iterator[np.ndarray]:
    """Gradients, float64 `[tasks, n]`: any, in conflict, of one dimension less than there are tasks, with two opposite ones."""
    rng = np.random.default_rng(0)
    for _ in range(_ROUNDS):
        drawn = rng.normal(size=(tasks, _WIDTH))
        yield drawn
        yield drawn - 0.9 * drawn.mean(0)
        yield rng.normal(size=(tasks, tasks - 1)) @ rng.normal(size=(tasks - 1, _WIDTH))
        yield np.concatenate([drawn[:1] * -2, drawn[: tasks - 1]])


def _assert_finite(weigh: Weigh, jacobian: np.ndarray) -> None:
    for scale in _SCALES:
        assert_finite(weigh(jacobian * scale), f"weights of gradients of the size {scale:g}")
    assert_finite(weigh(jacobian.astype(np.float32)), "weights of gradients in float32")
    assert_finite(weigh(0 * jacobian), "weights of gradients that are 0")


def _assert_goes_on(weigh: Weigh, jacobian: np.ndarray) -> None:
    """Gradients that are no numbers do not end the program: a run says itself what is wrong then."""
    from mtkit.backend import tf

    try:
        weigh(np.concatenate([jacobian[:-1], np.full((1, _WIDTH), np.nan)]))
    except tf.errors.OpError as error:
        raise AssertionError("gradients that are nan end the program") from error


def _assert_alone(weigh: Weigh) -> None:
    for scale in _SCALES:
        (weight,) = weigh(np.full((1, _WIDTH), scale))
        assert 0 < weight < np.inf, f"expected a weight above 0 for one task alone, got {weight}"


def _assert_absent(weighting: Any, weigh: Weigh) -> None:
    tasks = _TASKS - 1 if weighting.permutation_invariant else 2
    for jacobian in _jacobians(tasks):
        more = np.insert(jacobian, tasks - 1, 0.0, axis=0)
        _assert_same(more, weigh(more), jacobian, weigh(jacobian), "the sum with a task that has no gradient")


def _assert_non_conflicting(weigh: Weigh) -> None:
    for jacobian in _jacobians(_TASKS):
        lengths = np.linalg.norm(jacobian, axis=1)
        products = jacobian @ (jacobian.T @ weigh(jacobian)) / lengths / lengths.max()
        assert products.min() > -_TOLERANCE, (
            f"non_conflicting is declared, and a task's product with the sum is {products.min():.3g}"
        )


def _assert_permutation_invariant(weigh: Weigh) -> None:
    for jacobian in _jacobians(_TASKS):
        turned = np.roll(jacobian, 1, axis=0)
        _assert_same(
            turned,
            weigh(turned),
            jacobian,
            weigh(jacobian),
            "permutation_invariant is declared, and the sum in another order",
        )


def _assert_scale_invariant(weigh: Weigh) -> None:
    factors = np.geomspace(0.1, 10, _TASKS)
    for jacobian in _independent():
        scaled = jacobian * factors[:, None]
        one, other = (_unit(j.T @ weigh(j)) for j in (jacobian, scaled))
        difference = np.linalg.norm(one - other)
        assert difference < _TOLERANCE, (
            f"scale_invariant is declared, and factors of the losses turn the sum by {difference:.3g}"
        )


def _assert_linear_under_scaling(weigh: Weigh) -> None:
    rng = np.random.default_rng(1)
    for jacobian in _jacobians(_TASKS):
        factors = rng.uniform(0.1, 1, (2, _TASKS))
        one, other, both = (
            j.T @ weigh(j) for j in (jacobian * f[:, None] for f in (*factors, 2 * factors[0] + 3 * factors[1]))
        )
        difference = np.linalg.norm(both - 2 * one - 3 * other) / np.linalg.norm(jacobian)
        assert difference < _TOLERANCE, f"linear_under_scaling is declared, and it is off by {difference:.3g}"


def _assert_strongly_stationary(weigh: Weigh) -> None:
    """Gradients that have a common direction of descent for one task that costs no other one anything: the sum is not 0."""
    for drawn in _jacobians(_TASKS - 1):
        jacobian = np.zeros((_TASKS, _WIDTH + 1))
        # Two opposite ones, and one to which nothing stands opposite.
        jacobian[:2, :_WIDTH] = np.concatenate([drawn[:1], -drawn[:1]])
        jacobian[2] = np.append(drawn[1], np.linalg.norm(drawn[1]))
        length = np.linalg.norm(jacobian.T @ weigh(jacobian)) / np.linalg.norm(jacobian, axis=1).min()
        assert length > _NOTHING, (
            f"strongly_stationary is declared, and the sum is {length:.3g} where one task conflicts with none"
        )


_PROPERTIES = {
    "non_conflicting": _assert_non_conflicting,
    "permutation_invariant": _assert_permutation_invariant,
    "scale_invariant": _assert_scale_invariant,
    "linear_under_scaling": _assert_linear_under_scaling,
    "strongly_stationary": _assert_strongly_stationary,
}


def _independent() -> Iterator[np.ndarray]:
    """Those of the Jacobians whose gradients are independent: else the direction depends on what is least, not on what is 0."""
    return (jacobian for jacobian in _jacobians(_TASKS) if np.linalg.matrix_rank(jacobian) == _TASKS)


def _unit(vector: np.ndarray) -> np.ndarray:
    return np.asarray(vector / np.linalg.norm(vector))


def _assert_same(one: np.ndarray, weights: np.ndarray, other: np.ndarray, expected: np.ndarray, what: str) -> None:
    difference = np.linalg.norm(one.T @ weights - other.T @ expected) / np.linalg.norm(other)
    assert difference < _TOLERANCE, f"{what} differs by {difference:.3g}"
