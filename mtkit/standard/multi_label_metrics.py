"""Metrics of labels of which any number of classes applies to a row; nan where undefined."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from mtkit.spec import Contributions, PositiveInt, PredictionMetric, UnseenMetric
from mtkit.standard.order_metrics import Auc
from mtkit.standard.prediction_metrics import NAN, finite

if TYPE_CHECKING:
    import numpy as np


class _OfRows(PredictionMetric):
    """A mean over the rows to which a class applies at all."""

    labels: ClassVar[frozenset[str]] = frozenset({"multi_label"})

    k: PositiveInt = Field(3, description="how many of the most probable classes are looked at, at most all")

    def value(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> float:
        """The mean over weights, in [0, 1]; nan where no class applies to any row."""
        import numpy as np

        found = self.contributions(labels, predictions, weights)
        return NAN if found is None else float(np.average(found[0], weights=found[1]))

    def contributions(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> Contributions | None:
        """The share of each row; rows without classes have weight 0."""
        import numpy as np

        counted = weights.astype(np.float64) * labels.any(axis=1)
        if not finite(predictions) or not counted.any():
            return None
        k = min(self.k, labels.shape[1])
        top = np.argsort(-predictions, axis=1, kind="stable")[:, :k]
        hits = np.take_along_axis(labels, top, axis=1).sum(axis=1, dtype=np.float64)
        return hits / self._most(labels.sum(axis=1, dtype=np.float64).clip(min=1), k), counted

    def _most(self, size: np.ndarray, k: int) -> np.ndarray:
        """By what the hits of rows, by how many classes they have, float64 `[rows]`, are divided."""
        raise NotImplementedError


class PrecisionAt(_OfRows):
    """Share of the `k` most probable classes that apply; the mean over rows to which a class applies."""

    def _most(self, size: np.ndarray, k: int) -> np.ndarray:
        import numpy as np

        return np.full_like(size, k)


class RecallAt(_OfRows):
    """Share of a row's classes that are among the `k` most probable ones; the mean over rows to which a class applies."""

    def _most(self, size: np.ndarray, k: int) -> np.ndarray:
        return size


class MacroAuc(PredictionMetric):
    """Mean over classes of the area under the ROC curve of each; classes that apply to all rows, or to none, do not count."""

    labels: ClassVar[frozenset[str]] = frozenset({"multi_label"})
    limits: ClassVar[tuple[float, float]] = (0, 1)
    chance: ClassVar[float | None] = 0.5

    def value(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> float:
        """The mean in [0, 1]; nan where no class counts."""
        import numpy as np

        areas = np.array([Auc().value(*pair, weights) for pair in zip(labels.T, predictions.T, strict=True)])
        counted = areas[~np.isnan(areas)]
        return float(counted.mean()) if len(counted) else NAN


class MicroAuc(PredictionMetric):
    """Area under the ROC curve of all pairs of a row and a class together, so that frequent classes count more."""

    labels: ClassVar[frozenset[str]] = frozenset({"multi_label"})
    limits: ClassVar[tuple[float, float]] = (0, 1)

    def value(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> float:
        """The area in [0, 1]; nan with pairs of one kind alone."""
        import numpy as np

        return Auc().value(labels.ravel(), predictions.ravel(), np.repeat(weights, labels.shape[1]))


class LabelCoverage(UnseenMetric):
    """Share of the classes of evaluated rows that training has; what it lacks, no model of it can predict."""

    labels: ClassVar[frozenset[str]] = frozenset({"multi_label"})

    def value(
        self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray, unseen: np.ndarray | None = None
    ) -> float:
        """The share by weight, in [0, 1]; nan where no row has a class."""
        import numpy as np

        found = self.contributions(labels, predictions, weights, unseen)
        return NAN if found is None else float(np.average(found[0], weights=found[1]))

    def contributions(
        self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray, unseen: np.ndarray | None = None
    ) -> Contributions | None:
        """The share of each row, weighted by its number of classes."""
        import numpy as np

        known = labels.sum(axis=1, dtype=np.float64)
        size = known + (0 if unseen is None else unseen)
        counted = size * weights
        return (known / size.clip(min=1), np.asarray(counted)) if counted.any() else None
