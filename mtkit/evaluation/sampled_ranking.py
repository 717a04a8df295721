"""Rankings against a sample of the catalog: as published by many, and not to be held against full ones; no TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mtkit.evaluation.rank import Scorer, SomeScores
from mtkit.types import Ragged

_SEED = 0


class SomeScorer(NamedTuple):
    """What scores no more of a catalog than it is asked for.

    Attributes:
        items: number of rows of the item table, the unknown included.
        scores: from row numbers int64 `[b]` and their items int32 `[b, n]` to scores `[b, n]`.
    """

    items: int
    scores: Callable[[np.ndarray, np.ndarray], np.ndarray]


def against_sample(score: Scorer | SomeScorer, targets: Ragged, excluded: Ragged | None, size: int) -> Scorer:
    """A scorer of each row's relevant items and some others, drawn uniformly; the rest is no candidate.

    What is drawn depends on the number of the row alone, so that all models meet the same items. Metrics of samples are
    biased, and may order models otherwise than full rankings do: Krichene and Rendle, "On sampled metrics for item
    recommendation", 2020.

    Args:
        score: from row numbers int64 `[b]` to scores `[b, items]`, or what scores the items that are asked for.
        targets: each row's relevant items (values `item`).
        excluded: each row's items that are no candidates anyway.
        size: how many others; fewer where there are fewer.
    """

    def candidates(rows: np.ndarray, items: int) -> np.ndarray:
        """`[b, n]`, ascending behind zeros, of which there is at least one."""
        drawn = [_candidates(row, items, _of_row(targets, row), _of_row(excluded, row), size) for row in rows.tolist()]
        found = np.zeros((len(rows), 1 + max(map(len, drawn), default=0)), np.int32)
        for place, of_row in enumerate(drawn):
            found[place, found.shape[1] - len(of_row) :] = of_row
        return found

    def sampled(rows: np.ndarray) -> SomeScores:
        if isinstance(score, SomeScorer):
            items = candidates(rows, score.items)
            return SomeScores(score.scores(rows, items), items, score.items - 1)
        scores = score(rows)
        assert isinstance(scores, np.ndarray)
        items = candidates(rows, scores.shape[1])
        return SomeScores(np.take_along_axis(scores, items, axis=1), items, scores.shape[1] - 1)

    return sampled


def _candidates(row: int, items: int, relevant: np.ndarray, excluded: np.ndarray, size: int) -> np.ndarray:
    """The candidates of a row, ascending: the relevant items that are not excluded, and others.

    The r-th (from 0) of the items that may be drawn is r plus the number of items below it that may not.
    """
    taken = np.unique(np.concatenate([[0], relevant, excluded]))
    free = items - len(taken)
    drawn = np.random.default_rng([_SEED, row]).choice(free, min(size, free), replace=False)
    others = drawn + np.searchsorted(taken - np.arange(len(taken)), drawn, side="right")
    return np.union1d(np.setdiff1d(relevant, excluded), others)


def _of_row(ragged: Ragged | None, row: int) -> np.ndarray:
    if ragged is None:
        return np.zeros(0, np.int32)
    values: np.ndarray = ragged.values["item"][ragged.offsets[row] : ragged.offsets[row + 1]]
    return values
