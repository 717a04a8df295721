"""Metrics of the order of predicted probabilities or scores, over all rows or within users; nan where undefined."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from mtkit.spec import Contributions, GroupedMetric, PredictionMetric
from mtkit.standard.prediction_metrics import NAN, finite

if TYPE_CHECKING:
    import numpy as np


class Auc(PredictionMetric):
    """Area under the ROC curve: how often a positive is above a negative, ties counting one half."""

    labels: ClassVar[frozenset[str]] = frozenset({"binary", "scores"})
    limits: ClassVar[tuple[float, float]] = (0, 1)
    chance: ClassVar[float | None] = 0.5

    def value(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> float:
        """The area in [0, 1]; nan with fewer than two classes among the labels."""
        import numpy as np

        weighed = weights != 0
        labels, predictions, weights = (values[weighed] for values in (labels, predictions, weights))
        if len(np.unique(labels)) < 2 or not finite(predictions):
            return NAN
        return _area(labels, predictions, weights)

    def contributions(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> Contributions | None:
        """The area, and by how much the row's share of the other class that is on its right side differs from it.

        Source: DeLong et al., "Comparing the areas under two or more correlated ROC curves", 1988; these are its
        structural components, on the scale of all rows.
        """
        import numpy as np

        if len(np.unique(labels)) < 2 or not finite(predictions):
            return None
        one, is_positive = np.zeros(len(labels), int), labels > 0
        positive, negative = (weights[kind].sum(dtype=np.float64) for kind in (is_positive, ~is_positive))
        won = np.where(
            is_positive,
            _below(one, predictions, np.where(is_positive, 0, weights)) / negative,
            1 - _below(one, predictions, np.where(is_positive, weights, 0)) / positive,
        )
        area = np.average(won[is_positive], weights=weights[is_positive])
        own = np.where(is_positive, positive, negative)
        return area + (won - area) * (positive + negative) / own, weights


class PrAuc(PredictionMetric):
    """Area under the curve of precision over recall, as a step function (average precision); ties are one step."""

    labels: ClassVar[frozenset[str]] = frozenset({"binary", "scores"})
    limits: ClassVar[tuple[float, float]] = (0, 1)

    def value(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> float:
        """The area in [0, 1]; nan without positives."""
        from sklearn.metrics import average_precision_score

        if not labels.any() or not finite(predictions):
            return NAN
        return float(average_precision_score(labels, predictions, sample_weight=weights))

    def contributions(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> Contributions | None:
        """The area, and the influence of the row through its own precision, and through that of thresholds below it."""
        import numpy as np

        if not labels.any() or not finite(predictions):
            return None
        step = np.unique(-predictions, return_inverse=True)[1]
        hit, all_ = (np.bincount(step, values.astype(np.float64)) for values in (weights * labels, weights))
        found = all_.cumsum()
        precision = hit.cumsum() / found
        area = hit @ precision / hit.sum()
        later = np.array([hit / found, hit * precision / found])[:, ::-1].cumsum(axis=1)[:, ::-1][:, step]
        influence = labels * (precision[step] - area) + labels * later[0] - later[1]
        return area + influence * all_.sum() / hit.sum(), weights


class Gauc(GroupedMetric):
    """Mean over users of the area under the ROC curve within their rows; users with labels of one kind do not count.

    Source: Zhu et al., "Optimized cost per click in Taobao display advertising", 2017; Zhou et al., "Deep interest
    network for click-through rate prediction", 2018, weighted by rows.
    """

    labels: ClassVar[frozenset[str]] = frozenset({"binary", "scores"})
    limits: ClassVar[tuple[float, float]] = (0, 1)
    chance: ClassVar[float | None] = 0.5

    by: Literal["rows", "users"] = Field("rows", description="users count by the weight of their rows, or all alike")

    def value(
        self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray, groups: np.ndarray | None = None
    ) -> float:
        """The mean in [0, 1]; nan where no user has both kinds."""
        import numpy as np

        if not finite(predictions):
            return NAN
        _, areas, share = self._areas(labels, predictions, weights, groups)
        counted = share > 0
        return float(np.average(areas[counted], weights=share[counted])) if counted.any() else NAN

    def contributions(
        self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray, groups: np.ndarray | None = None
    ) -> Contributions | None:
        """The area of the row's user, and the row's part of how much the user counts."""
        import numpy as np

        if not finite(predictions):
            return None
        place, areas, share = self._areas(labels, predictions, weights, groups)
        return (areas[place], weights * (share / np.bincount(place, weights))[place]) if share.any() else None

    def _areas(
        self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray, groups: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The number of each row's user; the area of each user, and how much it counts."""
        import numpy as np

        assert groups is not None
        place = np.unique(groups, return_inverse=True)[1]
        below = _below(place, predictions, np.where(labels > 0, 0, weights))
        positive, negative, won = (
            np.bincount(place, values)
            for values in (weights * labels, weights * (1 - labels), weights * labels * below)
        )
        pairs = positive * negative
        areas = np.divide(won, pairs, out=np.zeros(len(pairs)), where=pairs > 0)
        return place, areas, (pairs > 0) * (np.bincount(place, weights) if self.by == "rows" else 1.0)


class Ndcg(GroupedMetric):
    """Mean over users, or a task's queries, of NDCG of all their rows; those whose labels are all alike do not count.

    Rows are in the order of what is predicted, ties sharing the discounts of their places; gains are 2^label - 1.

    Source: Järvelin and Kekäläinen, 2002; discount `1 / log2(1 + position)`. Ties: McSherry and Najork, Computing Information
    Retrieval Performance Measures Efficiently in the Presence of Tied Scores, ECIR 2008.
    """

    labels: ClassVar[frozenset[str]] = frozenset({"binary", "scores", "grades"})
    limits: ClassVar[tuple[float, float]] = (0, 1)
    counts_places: ClassVar[bool] = True

    def value(
        self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray, groups: np.ndarray | None = None
    ) -> float:
        """The mean in [0, 1]; nan where no user has labels that differ."""
        import numpy as np

        if not finite(predictions):
            return NAN
        _, found, share = self._of_groups(labels, predictions, weights, groups)
        return float(np.average(found, weights=share)) if share.any() else NAN

    def contributions(
        self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray, groups: np.ndarray | None = None
    ) -> Contributions | None:
        """The NDCG of the row's user or query, and the row's part of how much that counts."""
        import numpy as np

        if not finite(predictions):
            return None
        place, found, share = self._of_groups(labels, predictions, weights, groups)
        return (found[place], weights * (share / np.bincount(place, weights))[place]) if share.any() else None

    def _of_groups(
        self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray, groups: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The number of each row's group; NDCG of each, float64, and 1 for those that count."""
        import numpy as np

        assert groups is not None
        place = np.unique(groups, return_inverse=True)[1]
        gains, least = np.exp2(labels) - 1, np.full(place.max() + 1, np.inf)
        dcg, ideal = (np.bincount(place, gains * _discounts(place, by, weights)) for by in (predictions, labels))
        np.minimum.at(least, place, np.where(weights > 0, labels, np.inf))
        counted = np.bincount(place, weights * (labels > least[place])) > 0
        return place, np.divide(dcg, ideal, out=np.zeros(len(dcg)), where=counted), counted.astype(float)


def _discounts(groups: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The sum of the discounts of the places that a row has in its group, float64 `[rows]`; a row of weight w has w places.

    Tied rows share those of all of them. Sums of discounts up to a place between two whole ones are interpolated.
    """
    import numpy as np

    order = np.lexsort((-predictions, groups))
    group, value, weight = groups[order], predictions[order], weights[order].astype(np.float64)
    begins_group = np.append(True, group[1:] != group[:-1])
    begins = begins_group | np.append(True, value[1:] != value[:-1])
    tie = np.cumsum(begins) - 1
    of_tie = np.bincount(tie, weight)
    before = np.cumsum(of_tie) - of_tie
    before -= before[tie[begins_group]][np.cumsum(begins_group[begins]) - 1]
    summed = _summed_discounts(before + of_tie) - _summed_discounts(before)
    found = np.empty(len(order))
    found[order] = weight * np.divide(summed, of_tie, out=np.zeros(len(summed)), where=of_tie > 0)[tie]
    return found


def _summed_discounts(places: np.ndarray) -> np.ndarray:
    """The sum of 1 / log2(1 + position) over the first positions, up to a number of them, float64."""
    import numpy as np

    whole = np.floor(places).astype(int)
    discounts = 1 / np.log2(np.arange(2, whole.max(initial=0) + 3))
    return np.asarray(np.append(0.0, np.cumsum(discounts))[whole] + (places - whole) * discounts[whole])


def _area(labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> float:
    """The area under the ROC curve, to the bit as scikit-learn has it, whose import takes longer than a small run's steps.

    Points between two others on one line are left out, which changes how the area is rounded.
    """
    import numpy as np

    order = np.argsort(-predictions, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(predictions[order])), len(order) - 1)
    positive = (labels[order] > 0).astype(np.float64)
    curves = [np.cumsum(kind * weights[order], dtype=np.float64)[ends] for kind in (positive, 1 - positive)]
    corner = np.ones(len(ends), bool)
    corner[1:-1] = np.logical_or(*(np.diff(curve, 2) for curve in curves)) if len(ends) > 2 else True
    found, alarms = (np.append(0.0, curve[corner]) / curve[-1] for curve in curves)
    return float((np.diff(alarms) * (found[1:] + found[:-1]) / 2).sum())


def _below(groups: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weight of the rows of the same group with a lower prediction, and half of that with the same, float64 `[rows]`."""
    import numpy as np

    order = np.lexsort((predictions, groups))
    group, value = groups[order], predictions[order]
    starts_group = np.append(True, group[1:] != group[:-1])
    starts = starts_group | np.append(True, value[1:] != value[:-1])
    tie = np.cumsum(starts) - 1
    weight = np.bincount(tie, weights[order].astype(np.float64))
    before = np.cumsum(weight) - weight
    before -= before[tie[starts_group]][np.cumsum(starts_group[starts]) - 1]
    below = np.empty(len(order))
    below[order] = (before + weight / 2)[tie]
    return below
