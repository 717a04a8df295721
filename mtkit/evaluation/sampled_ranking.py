"""Rankings against a sample of the catalog: as published by many, and not to be held against full ones; no TensorFlow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mtkit.types import Ragged

Scorer = Callable[[np.ndarray], np.ndarray]
_SEED = 0


def against_sample(score: Scorer, targets: Ragged, excluded: Ragged | None, size: int) -> Scorer:
    """A scorer that leaves each row its relevant items and some others, drawn uniformly; the rest is no candidate.

    What is drawn depends on the number of the row alone, so that all models meet the same items. Metrics of samples are
    biased, and may order models otherwise than full rankings do: Krichene and Rendle, "On sampled metrics for item
    recommendation", 2020.

    Args:
        score: from row numbers int64 `[b]` to scores `[b, items]`.
        targets: each row's relevant items (values `item`).
        excluded: each row's items that are no candidates anyway.
        size: how many others; fewer where there are not so many.
    """

    def sampled(rows: np.ndarray) -> np.ndarray:
        scores = score(rows)
        left = np.full(scores.shape, -np.inf, scores.dtype)
        for place, row in enumerate(rows.tolist()):
            relevant = _of_row(targets, row)
            free = np.ones(scores.shape[1], bool)
            free[[0, *relevant, *(() if excluded is None else _of_row(excluded, row))]] = False
            others = np.flatnonzero(free)
            drawn = np.random.default_rng([_SEED, row]).choice(others, min(size, len(others)), replace=False)
            items = np.append(relevant, drawn)
            left[place, items] = scores[place, items]
        return left

    return sampled


def _of_row(ragged: Ragged, row: int) -> np.ndarray:
    values: np.ndarray = ragged.values["item"][ragged.offsets[row] : ragged.offsets[row + 1]]
    return values
