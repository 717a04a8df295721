"""Metrics of decisions: of the class that is predicted, above 0.5 or the most probable one; nan where undefined."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from mtkit.spec import Contributions, PositiveFloat, PredictionMetric
from mtkit.standard.prediction_metrics import NAN, finite

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np

Average = Literal["binary", "macro", "weighted"]


class Accuracy(PredictionMetric):
    """Share of the rows whose predicted class is right: above 0.5, or the most probable one."""

    labels: ClassVar[frozenset[str]] = frozenset({"binary", "classes"})
    limits: ClassVar[tuple[float, float]] = (0, 1)

    def value(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> float:
        """The share of weight in [0, 1]."""
        from sklearn.metrics import accuracy_score

        return _of_classes(accuracy_score, labels, predictions, weights, {})

    def contributions(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> Contributions | None:
        """1 for the rows that are right, else 0."""
        import numpy as np

        return (np.asarray(_decided(predictions) == labels, np.float64), weights) if finite(predictions) else None


class _OfClasses(PredictionMetric):
    """A ratio of weights for each class, and the mean over classes."""

    labels: ClassVar[frozenset[str]] = frozenset({"binary", "classes"})
    limits: ClassVar[tuple[float, float]] = (0, 1)

    average: Average = Field(
        "binary",
        description="`macro`: the mean over classes; `weighted`: by their labels; `binary`: of binary labels the positives "
        "alone, of others as `macro`",
    )

    def _ratio(self, is_label: np.ndarray, is_found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What each row adds above and below the line for one class, bool `[rows]` or int `[rows]`."""
        raise NotImplementedError

    def contributions(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> Contributions | None:
        """Of one class, the ratio of each row; of several, the metric and the influence of the row."""
        import numpy as np

        if not finite(predictions):
            return None
        predicted = _decided(predictions)
        if predictions.ndim == 1 and self.average == "binary":
            above, below = self._ratio(labels == 1, predicted == 1)
            values = np.divide(above, below, out=np.zeros(len(labels)), where=below > 0)
            return (values, weights * below) if below.any() else None
        parts = []
        for number in np.union1d(labels, predicted):
            is_label = labels == number
            above, below = self._ratio(is_label, predicted == number)
            if whole := np.average(below, weights=weights):
                ratio = np.average(above, weights=weights) / whole
                parts.append((is_label, ratio, (above - ratio * below) / whole))
        if self.average == "weighted":
            return _weighted(parts, weights)
        return np.mean([ratio + influence for _, ratio, influence in parts], axis=0), weights

    def _options(self, predictions: np.ndarray) -> dict[str, object]:
        """Options of scikit-learn's scores; 0 / 0 is not counted."""
        if predictions.ndim == 1 and self.average == "binary":
            return {"average": "macro", "labels": [1], "zero_division": NAN}
        return {"average": "macro" if self.average == "binary" else self.average, "zero_division": NAN}


class Recall(_OfClasses):
    """Share of the positives that are found (above 0.5); for classes, the mean over those that occur as labels."""

    def _ratio(self, is_label: np.ndarray, is_found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return is_label & is_found, is_label

    def value(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> float:
        """The share in [0, 1]; nan without positives."""
        from sklearn.metrics import recall_score

        return _of_classes(recall_score, labels, predictions, weights, self._options(predictions))


class Precision(_OfClasses):
    """Share of those found (above 0.5) that are positives; for classes, the mean over those that are ever found."""

    def _ratio(self, is_label: np.ndarray, is_found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return is_label & is_found, is_found

    def value(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> float:
        """The share in [0, 1]; nan where nothing is found."""
        from sklearn.metrics import precision_score

        return _of_classes(precision_score, labels, predictions, weights, self._options(predictions))


class F1(_OfClasses):
    """Harmonic mean of precision and recall of the positives; for classes, the mean over those that occur at all."""

    def _ratio(self, is_label: np.ndarray, is_found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return 2 * (is_label & is_found), is_label.astype(int) + is_found

    def value(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> float:
        """The mean in [0, 1]; nan with positives neither among labels nor among predictions."""
        from sklearn.metrics import f1_score

        return _of_classes(f1_score, labels, predictions, weights, self._options(predictions))


class Profit(PredictionMetric):
    """What a row brings on average if all are acted on whose expected profit is above 0.

    A positive that is acted on brings `gain`, and acting costs `cost` each time; so a row is acted on if its probability is above
    cost / gain. With true probabilities no other threshold brings more. Source: Elkan, "The foundations of cost-sensitive
    learning", 2001, section 1.
    """

    labels: ClassVar[frozenset[str]] = frozenset({"binary"})

    gain: PositiveFloat = Field(description="what a positive brings that is acted on")
    cost: PositiveFloat = Field(description="what acting costs, whatever comes of it")

    def value(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> float:
        """The mean by weight, from -cost to gain - cost; nan for predictions that are not numbers."""
        import numpy as np

        found = self.contributions(labels, predictions, weights)
        return NAN if found is None else float(np.average(found[0], weights=found[1]))

    def contributions(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> Contributions | None:
        """What each row brings."""
        import numpy as np

        acted = predictions * self.gain > self.cost
        return (np.where(acted, labels * self.gain - self.cost, 0.0), weights) if finite(predictions) else None


class Lift(PredictionMetric):
    """How many times as frequent positives are among the rows with the highest predictions as among all.

    Rows with equal predictions at the edge count in parts, as if they were drawn.
    """

    labels: ClassVar[frozenset[str]] = frozenset({"binary", "scores"})
    chance: ClassVar[float | None] = 1.0

    share: Annotated[float, Field(gt=0, le=1)] = Field(
        0.1, description="share of the rows, by weight, that is looked at"
    )

    def value(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> float:
        """The ratio, 0 to 1 / share; nan without positives."""
        import numpy as np

        if not finite(predictions) or not labels @ weights:
            return NAN
        weights = weights.astype(np.float64)
        _, which = np.unique(-predictions, return_inverse=True)
        each = np.bincount(which, weights)
        positives = np.bincount(which, weights * labels)
        above = np.concatenate([[0.0], np.cumsum(each)[:-1]])
        size = self.share * each.sum()
        taken = np.clip(np.divide(size - above, each, out=np.zeros(len(each)), where=each > 0), 0, 1)
        return float(taken @ positives / size / (positives.sum() / each.sum()))


def _weighted(parts: Sequence[tuple[np.ndarray, float, np.ndarray]], weights: np.ndarray) -> Contributions | None:
    """Contributions to the mean of ratios by the weight of each class's labels."""
    import numpy as np

    shares = [float(np.average(is_label, weights=weights)) for is_label, _, _ in parts]
    if not sum(shares):
        return None
    mean = np.average([ratio for _, ratio, _ in parts], weights=shares)
    moved = [
        share * influence + is_label * (ratio - mean)
        for share, (is_label, ratio, influence) in zip(shares, parts, strict=True)
    ]
    return mean + np.sum(moved, axis=0) / sum(shares), weights


def _of_classes(
    score: Callable[..., float],
    labels: np.ndarray,
    predictions: np.ndarray,
    weights: np.ndarray,
    options: Mapping[str, object],
) -> float:
    """`score` of predicted classes; nan for no rows or predictions that are not numbers."""
    import warnings

    if not finite(predictions):
        return NAN
    with warnings.catch_warnings():
        # scikit-learn takes few rows of many classes for a regression.
        warnings.filterwarnings("ignore", "The number of unique classes is greater", UserWarning)
        return float(score(labels.astype(int), _decided(predictions), sample_weight=weights, **options))


def _decided(predictions: np.ndarray) -> np.ndarray:
    """The predicted class of each row."""
    import numpy as np

    return np.asarray(predictions.argmax(axis=1) if predictions.ndim == 2 else (predictions > 0.5).astype(int))
