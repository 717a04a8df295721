"""A transform of frozen vectors, learned on a catalog's distinct texts."""

from __future__ import annotations

import numpy as np


def principal_components(vectors: np.ndarray, components: int) -> tuple[np.ndarray, np.ndarray]:
    """The map to the first principal components of the vectors, each of variance 1: `(v - mean) @ matrix`.

    There are as many components as the vectors span; the others are zeros. A component's sign is such that its largest
    entry is positive, so that the result depends on the vectors alone.

    Args:
        vectors: `[texts, width]`, one row per distinct text.
        components: how many to keep.

    Returns:
        mean float64 `[width]` and matrix float64 `[width, components]`.

    Source: Su et al. 2021, "Whitening Sentence Representations for Better Semantics and Faster Retrieval", section 3.
    """
    matrix = np.zeros((vectors.shape[1], components))
    if not len(vectors):
        return np.zeros(vectors.shape[1]), matrix
    mean = vectors.mean(axis=0, dtype=np.float64)
    left, values, right = np.linalg.svd(vectors - mean, full_matrices=False)
    kept = min(components, int((values > values.max(initial=0) * 1e-9).sum()))
    left, values, right = left[:, :kept], values[:kept], right[:kept]
    sign = np.sign(np.take_along_axis(left, np.abs(left).argmax(axis=0)[None], axis=0)[0])
    matrix[:, :kept] = right.T * (sign * np.sqrt(len(vectors)) / values)
    return mean, matrix
