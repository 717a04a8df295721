"""What heads of numbers learn of the labels of their training rows; no TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np

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
