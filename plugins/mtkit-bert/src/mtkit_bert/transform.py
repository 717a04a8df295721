"""Transforms of frozen vectors, learned on a catalog's distinct texts."""

from __future__ import annotations

from typing import Literal

import numpy as np

Transform = Literal["none", "standardize", "whiten"]

# Directions with less than this part of the mean variance are noise, which whitening would blow up.
_SHRINKAGE = 0.1


def transformed(vectors: np.ndarray, transform: Transform) -> np.ndarray:
    """Vectors of the same shape, float32.

    Args:
        vectors: `[texts, width]`, one row per distinct text.
        transform: `none`; `standardize`: every coordinate to mean 0 and variance 1; `whiten`: the covariance to nearly
            the identity, turning the vectors as little as possible (ZCA), which is unique and so deterministic.

    Source: Bell and Sejnowski 1997, "The 'Independent Components' of Natural Scenes are Edge Filters", with eigenvalues
    shrunk by a part of their mean; on sentence vectors: Su et al. 2021, "Whitening Sentence Representations".
    """
    if transform == "none" or not len(vectors):
        return vectors
    centered = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    if transform == "standardize":
        deviation = centered.std(axis=0)
        return (centered / np.where(deviation > 0, deviation, 1)).astype(np.float32)
    values, directions = np.linalg.eigh(centered.T @ centered / len(centered))
    values = np.maximum(values, 0)
    scale = 1 / np.sqrt(values + _SHRINKAGE * values.mean() + np.finfo(np.float64).tiny)
    return (centered @ (directions * scale) @ directions.T).astype(np.float32)
