"""A transform of frozen vectors, learned on a catalog's distinct texts."""

from __future__ import annotations

import numpy as np


def principal_components(vectors: np.ndarray, components: int) -> np.ndarray:
    """The first principal components of the vectors, each of variance 1: float32 `[texts, components]`.

    There are as many as the vectors span; the others are zeros. A component's sign is such that its largest entry is
    positive, so that the result depends on the vectors alone.

    Args:
        vectors: `[texts, width]`, one row per distinct text.
        components: how many to keep.

    Source: Su et al. 2021, "Whitening Sentence Representations for Better Semantics and Faster Retrieval", section 3.
    """
    centered = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    left, values, _ = np.linalg.svd(centered, full_matrices=False)
    kept = left[:, : min(components, int((values > values.max(initial=0) * 1e-9).sum()))]
    kept = kept * np.sign(np.take_along_axis(kept, np.abs(kept).argmax(axis=0)[None], axis=0))
    result = np.zeros((len(vectors), components), np.float32)
    result[:, : kept.shape[1]] = kept * np.sqrt(len(vectors))
    return result
