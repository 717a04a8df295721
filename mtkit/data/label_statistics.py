"""What heads of numbers learn of the labels of their training rows; no TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import xlogy

#: Values of a label between which ranks are interpolated.
_KNOTS = 1024


def label_statistics(target: str, labels: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
    """The arguments, JSON-able, of the scale `target` in `mtkit.layers.label_scales`.

    Args:
        target: `standard`, `log`, `rank` or `none`.
        labels: `[rows]`, the training rows'; those of weight 0 do not count. There is one of another weight.
        weights: `[rows]`.
    """
    there = weights > 0
    values, weights = labels[there].astype(np.float64), weights[there].astype(np.float64)
    if target == "standard":
        return _moments(values, weights)
    if target == "log":
        return _of_logarithms(values, weights)
    return _ranks(values, weights) if target == "rank" else {}


def _moments(values: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
    """Mean and standard deviation; 1 where values do not differ."""
    mean = np.average(values, weights=weights)
    std = np.sqrt(np.average((values - mean) ** 2, weights=weights)) if np.ptp(values) else 1.0
    return {"mean": float(mean), "std": float(std)}


def _of_logarithms(values: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
    """Moments of log(1 + y), the largest y, and the smearing factor where every row is predicted the mean logarithm."""
    logs = np.log1p(values)
    moments = _moments(logs, weights)
    smearing = np.average(np.exp(logs - moments["mean"]), weights=weights)
    return {**moments, "largest": float(values.max()), "smearing": float(smearing)}


def _ranks(values: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
    """Distinct values, and the share of the weight below each of them, equal values counting one half; ascending."""
    distinct, place = np.unique(values, return_inverse=True)
    weight = np.bincount(place, weights)
    ranks = (np.cumsum(weight) - weight / 2) / weight.sum()
    if len(distinct) > _KNOTS:
        kept = np.unique(np.searchsorted(ranks, np.linspace(ranks[0], ranks[-1], _KNOTS)))
        distinct, ranks = distinct[kept], ranks[kept]
    return {"values": distinct.tolist(), "ranks": ranks.tolist()}


def count_statistics(power: float, labels: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    """The mean of the training rows, and their mean Tweedie deviance from it; 1 for what is 0. Arguments as above."""
    there = weights > 0
    values, weights = labels[there].astype(np.float64), weights[there].astype(np.float64)
    mean = np.average(values, weights=weights) or 1.0
    deviance = np.average(tweedie_deviance(values, np.full(len(values), mean), power), weights=weights)
    return {"mean": float(mean), "deviance": float(deviance) or 1.0}


def tweedie_deviance(labels: np.ndarray, means: np.ndarray, power: float) -> np.ndarray:
    """Deviances float64 `[rows]`; infinite where the mean is 0 and the label is not.

    Args:
        labels: 0 or more.
        means: 0 or more.
        power: 1, Poisson's, up to 2.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        if power == 1:
            return np.asarray(2 * (xlogy(labels, np.where(labels > 0, labels / means, 1)) - labels + means))
        one, two = 1 - power, 2 - power
        lost = labels**two / (one * two) - np.where(labels > 0, labels * means**one, 0) / one + means**two / two
        return np.asarray(2 * lost)


def thresholds(labels: np.ndarray, weights: np.ndarray, classes: int) -> list[float]:
    """Thresholds between classes in an order, by which each has its share of the training rows: log-odds, ascending."""
    weight = np.bincount(labels[weights > 0].astype(int), weights[weights > 0], minlength=classes)
    # A class that is in none of the rows has a little, too, since thresholds ascend.
    below = np.cumsum(weight + weight.mean() * 1e-3)
    return [float(odds) for odds in np.log(below[:-1] / (below[-1] - below[:-1]))]
