"""Which known rows of a catalog new ones are like, by their columns, so that weights of the new ones begin near theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mtkit.data.item_vectors import item_vectors
from mtkit.schema import Address
from mtkit.types import Fold

NEIGHBORS = 10
_KINDS = ("categorical", "list", "text")
_BLOCK = 1 << 24
"""Products that are held at once."""


@dataclass(frozen=True)
class Alike:
    """New rows and the known ones that they are like.

    Attributes:
        rows: int64 `[new]`, numbers in the catalog.
        neighbors: int64 `[new, n]`.
        weights: float64 `[new, n]`, that sum up to 1; 0 for a neighbor with which it has nothing in common.
    """

    rows: np.ndarray
    neighbors: np.ndarray
    weights: np.ndarray

    def means(self, values: np.ndarray) -> np.ndarray:
        """Values `[catalog, ...]` in which those of the new rows are the weighted means of their neighbors'."""
        made = values.copy()
        made[self.rows] = np.einsum("nk,nk...->n...", self.weights, values[self.neighbors])
        return made


def alike_of(fold: Fold, entity: str, columns: Sequence[str], new: np.ndarray) -> Alike | None:
    """The nearest known rows of each new one, by the mean over columns of what two rows have in common.

    Texts are compared by the tf-idf of their words, lists by what they hold, categories by whether they are equal; numbers are
    not compared. Rows that have nothing in common with any known one are left out, and so keep what they have.

    Args:
        fold: the catalogs.
        entity: of which.
        columns: those that are compared, as far as they are categories, lists or texts.
        new: bool `[rows]`, which rows are new; the unknown, row 0, is not.

    Returns:
        None where there is no column to compare by, or no known row.
    """
    from scipy.sparse import hstack

    declared = fold.schema.columns(entity)
    compared = [name for name in columns if declared[name].kind in _KINDS or declared[name].listed]
    known, rows = np.flatnonzero(~new)[1:], np.flatnonzero(new)
    if not compared or not len(known):
        return None
    vectors = hstack([item_vectors(fold, Address.of(entity, name)) for name in compared]).tocsr()
    size = max(1, _BLOCK // len(known))
    parts = [_nearest(vectors, rows[start : start + size], known) for start in range(0, len(rows), size)]
    neighbors, shares = (np.concatenate(values) for values in zip(*parts, strict=True))
    found = shares.sum(1) > 0
    weights = shares[found] / shares[found].sum(1, keepdims=True)
    return Alike(rows[found], neighbors[found], weights)


def _nearest(vectors: object, rows: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the nearest known rows `[rows, n]`, the first of equal ones, and what they have in common."""
    products = (vectors[rows] @ vectors[known].T).toarray()  # type: ignore[index]  # SciPy has no types
    order = np.argsort(-products, axis=1, kind="stable")[:, :NEIGHBORS]
    return known[order], np.take_along_axis(products, order, 1)
