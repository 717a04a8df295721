"""What chance can do: bootstrap intervals, and paired tests over users; no TensorFlow."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mtkit.evaluation.user_sums import MODEL, Sums, UserSums

LEVEL = 0.95
POWER = 0.8
REPLICATES = 1000
_SEED = 0
_BLOCK = 4_000_000
"""Users drawn at once."""


def interval_results(
    sums: Sums, limits: Callable[[str], tuple[float, float]] = lambda _: (-math.inf, math.inf)
) -> dict[str, Any]:
    """What a run keeps: the intervals of the model under `test`, and of each baseline under `baselines`.

    Args:
        sums: what users add to the figures.
        limits: from a metric key to the values between which it lies. Intervals end there: what is drawn by influences may
            go beyond.
    """
    found = {
        model: {key: np.clip(bounds, *limits(key)).tolist() for key, bounds in intervals(parts).items()}
        for model, parts in sums.items()
    }
    return {"test": found.pop(MODEL, {}), "baselines": found}


def intervals(parts: Mapping[str, UserSums]) -> dict[str, list[float]]:
    """Metric key -> lower and upper bound of the interval that holds it with 95 %, by drawing users anew.

    Percentiles of 1,000 replicates of a fixed seed (Efron, 1979). Metrics that are undefined, or over one user, have none.

    Args:
        parts: `task/[slice/]` -> sums by user.
    """
    found: dict[str, list[float]] = {}
    for path, sums in parts.items():
        keys = [key for key in sums.totals if _is_defined(sums, key)]
        if keys:
            values = replicates(*(np.stack([of[key] for key in keys], axis=1) for of in (sums.totals, sums.weights)))
            bounds = np.stack(_bounds(values), axis=1).tolist()
            found |= {f"{path}{key}": pair for key, pair in zip(keys, bounds, strict=True)}
    return found


def _is_defined(sums: UserSums, key: str) -> bool:
    """Whether there are several users, and what they add are numbers."""
    return len(sums.users) > 1 and bool(np.isfinite(sums.totals[key]).all() and sums.weights[key].any())


def replicates(totals: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Metrics of users that were drawn with replacement, the same ones whenever there are as many users.

    Args:
        totals: float64 `[users, metrics]`.
        weights: float64 `[users, metrics]`.

    Returns:
        float64 `[replicates, metrics]`; nan where no weight was drawn.
    """
    users, random = len(weights), np.random.default_rng(_SEED)
    sums, size = [], max(1, _BLOCK // users)
    for begin in range(0, REPLICATES, size):
        count = min(size, REPLICATES - begin)
        drawn = random.integers(0, users, (count, users)) + users * np.arange(count)[:, None]
        times = np.bincount(drawn.ravel(), minlength=count * users).reshape(count, users)
        sums.append(times @ np.column_stack([totals, weights]))
    above, below = np.split(np.concatenate(sums), 2, axis=1)
    return np.asarray(np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0))


def _bounds(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.nanquantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return low, high


@dataclass(frozen=True)
class Difference:
    """One metric of two models on the same users.

    Attributes:
        key: the metric.
        values: of the first and of the second.
        interval: bounds of the second less the first, with 95 %.
        p: two-sided, of a paired t-test over users.
        effect: the mean of the users' differences over their standard deviation (Cohen's d_z), which does not grow with the
            number of users; None where all users differ alike.
        detectable: the smallest difference that a test of these users finds with a power of 80 %, at the level 5 % and
            uncorrected; what is smaller may well be there although p is large.
    """

    key: str
    values: tuple[float, float]
    interval: tuple[float, float]
    p: float
    effect: float | None = None
    detectable: float = 0.0

    @property
    def difference(self) -> float:
        """The second less the first."""
        return self.values[1] - self.values[0]

    @property
    def relative(self) -> float | None:
        """The difference as a share of the first; None where that is 0."""
        return self.difference / abs(self.values[0]) if self.values[0] else None


def paired(path: str, first: UserSums, second: UserSums) -> list[Difference]:
    """The metrics that both have, over the same users with the same weights.

    For users of one row each the test is that of their differences; where they have more, it is of the influences of the
    users on the difference of the ratios. Source: Smucker et al., "A comparison of statistical significance tests for
    information retrieval evaluation", 2007; Deng et al., "Applying the delta method in metric analytics", 2018; Sakai,
    "Statistical reform in information retrieval?", 2014, for effects beside p.
    """
    found = []
    for key in (key for key in first.totals if key in second.totals):
        if not (_is_defined(first, key) and _is_defined(second, key)):
            continue
        totals = np.stack([first.totals[key], second.totals[key]], axis=1)
        weights = np.stack([first.weights[key], second.weights[key]], axis=1)
        drawn, (value, other) = replicates(totals, weights), totals.sum(axis=0) / weights.sum(axis=0)
        low, high = _bounds(drawn[:, 1] - drawn[:, 0])
        influence = (totals - (value, other) * weights) / weights.mean(axis=0)
        tested = _tested(influence[:, 1] - influence[:, 0] + other - value)
        found.append(Difference(f"{path}{key}", (float(value), float(other)), (float(low), float(high)), *tested))
    return found


def _tested(differences: np.ndarray) -> tuple[float, float | None, float]:
    """Two-sided p of the hypothesis that the mean is 0, by Student's t; the effect; and the smallest detectable difference."""
    from scipy.stats import norm, t

    mean, spread, users = differences.mean(), differences.std(ddof=1), len(differences)
    if not spread:
        return float(mean == 0), None, 0.0
    p = 2 * t.sf(abs(mean) / spread * np.sqrt(users), users - 1)
    detectable = (norm.ppf((1 + LEVEL) / 2) + norm.ppf(POWER)) * spread / np.sqrt(users)
    return float(p), float(mean / spread), float(detectable)


def holm(p: Sequence[float]) -> list[float]:
    """P values as adjusted for there being several (Holm, 1979): at most the level for all together."""
    order = np.argsort(p)
    scaled = np.asarray(p)[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(scaled).clip(max=1)
    return [float(value) for value in adjusted]
