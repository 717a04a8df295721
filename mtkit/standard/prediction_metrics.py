"""Metrics over predicted probabilities and labels; nan where undefined, and for predictions that are no numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from mtkit.spec import PositiveInt, PredictionMetric

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

NAN = float("nan")

Average = Literal["macro", "weighted"]


class Auc(PredictionMetric):
    """Area under the ROC curve: how often a positive is above a negative, ties counting one half."""

    labels: ClassVar[frozenset[str]] = frozenset({"binary"})

    def value(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> float:
        """The area in [0, 1]; nan with fewer than two classes among the labels."""
        import numpy as np
        from sklearn.metrics import roc_auc_score

        if len(np.unique(labels)) < 2 or not _finite(predictions):
            return NAN
        return float(roc_auc_score(labels, predictions, sample_weight=weights))


class PrAuc(PredictionMetric):
    """Area under the curve of precision over recall, as a step function (average precision); ties are one step."""

    labels: ClassVar[frozenset[str]] = frozenset({"binary"})

    def value(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> float:
        """The area in [0, 1]; nan without positives."""
        from sklearn.metrics import average_precision_score

        if not labels.any() or not _finite(predictions):
            return NAN
        return float(average_precision_score(labels, predictions, sample_weight=weights))


class LogLoss(PredictionMetric):
    """Mean negative log likelihood in nats; probabilities are clipped to the precision of float64."""

    labels: ClassVar[frozenset[str]] = frozenset({"binary", "classes"})

    def value(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> float:
        """The mean over weights; class probabilities are normalized first, as float32 ones sum to 1 only nearly."""
        import numpy as np
        from sklearn.metrics import log_loss

        if not _finite(predictions):
            return NAN
        probabilities = _per_class(predictions)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        classes = np.arange(probabilities.shape[1])
        return float(log_loss(labels.astype(int), probabilities, labels=classes, sample_weight=weights))


class NormalizedEntropy(PredictionMetric):
    """Log loss relative to that of the labels' own frequencies: 1 says nothing, 0 knows all.

    Source: He et al., "Practical lessons from predicting clicks on ads at Facebook", 2014; for classes likewise.
    """

    labels: ClassVar[frozenset[str]] = frozenset({"binary", "classes"})

    def value(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> float:
        """The ratio, 0 or more; nan with fewer than two classes among the labels."""
        import numpy as np

        weight = np.bincount(labels.astype(int), weights)
        share = weight[weight > 0] / weight.sum()
        return LogLoss().value(labels, predictions, weights) / -(share @ np.log(share)) if len(share) > 1 else NAN


class Brier(PredictionMetric):
    """Mean squared difference of probability and label; for classes, summed over the classes.

    Source: Brier, 1950; for binary labels the half of the original, as usual.
    """

    labels: ClassVar[frozenset[str]] = frozenset({"binary", "classes"})

    def value(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> float:
        """The mean over weights, in [0, 1] for binary labels, in [0, 2] for classes."""
        import numpy as np

        if not _finite(predictions):
            return NAN
        probabilities = _per_class(predictions)
        truth = np.eye(probabilities.shape[1])[labels.astype(int)]
        error = ((probabilities - truth) ** 2).sum(axis=1)
        return float(np.average(error, weights=weights)) / (2 if predictions.ndim == 1 else 1)


class CalibrationError(PredictionMetric):
    """Expected calibration error: mean absolute difference of confidence and frequency, over bins of equal width.

    For binary labels, confidence is the probability of the positive, and frequency the share of positives; for classes,
    confidence is that of the most probable one, and frequency how often it is right. Bins count by weight; a bin holds
    its lower bound, the last one also 1.

    Source: Naeini et al., 2015; Guo et al., "On calibration of modern neural networks", 2017, equation 3.
    """

    labels: ClassVar[frozenset[str]] = frozenset({"binary", "classes"})

    bins: PositiveInt = Field(10, description="number of bins")

    def value(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> float:
        """The error in [0, 1]."""
        import numpy as np

        if not _finite(predictions):
            return NAN
        confidence, right = predictions.astype(np.float64), labels
        if predictions.ndim == 2:
            confidence, right = confidence.max(axis=1), predictions.argmax(axis=1) == labels
        place = np.floor(confidence * self.bins).astype(int).clip(0, self.bins - 1)
        gap = np.bincount(place, weights * (confidence - right))
        return float(np.abs(gap).sum() / weights.sum(dtype=np.float64))


class Accuracy(PredictionMetric):
    """Share of the rows whose predicted class is right: above 0.5, or the most probable one."""

    labels: ClassVar[frozenset[str]] = frozenset({"binary", "classes"})

    def value(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> float:
        """The share of weight in [0, 1]."""
        from sklearn.metrics import accuracy_score

        return _of_classes(accuracy_score, labels, predictions, weights, {})


class Recall(PredictionMetric):
    """Share of the positives that are found (above 0.5); for classes, the mean over those that occur as labels."""

    labels: ClassVar[frozenset[str]] = frozenset({"binary", "classes"})

    def value(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> float:
        """The share in [0, 1]; nan without positives."""
        from sklearn.metrics import recall_score

        return _of_classes(recall_score, labels, predictions, weights, _averaged(predictions))


class Precision(PredictionMetric):
    """Share of those found (above 0.5) that are positives; for classes, the mean over those that are ever found."""

    labels: ClassVar[frozenset[str]] = frozenset({"binary", "classes"})

    average: Average = Field("macro", description="mean over classes: all alike, or weighted by their labels")

    def value(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> float:
        """The share in [0, 1]; nan where nothing is found."""
        from sklearn.metrics import precision_score

        return _of_classes(precision_score, labels, predictions, weights, _averaged(predictions, self.average))


class F1(PredictionMetric):
    """Harmonic mean of precision and recall of the positives; for classes, the mean over those that occur at all."""

    labels: ClassVar[frozenset[str]] = frozenset({"binary", "classes"})

    average: Average = Field("macro", description="mean over classes: all alike, or weighted by their labels")

    def value(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> float:
        """The mean in [0, 1]; nan with positives neither among labels nor among predictions."""
        from sklearn.metrics import f1_score

        return _of_classes(f1_score, labels, predictions, weights, _averaged(predictions, self.average))


def _of_classes(
    score: Callable[..., float],
    labels: np.ndarray,
    predictions: np.ndarray,
    weights: np.ndarray,
    options: Mapping[str, object],
) -> float:
    """`score` of predicted classes; nan for no rows or predictions that are not numbers."""
    import warnings

    if not _finite(predictions):
        return NAN
    predicted = predictions.argmax(axis=1) if predictions.ndim == 2 else (predictions > 0.5).astype(int)
    with warnings.catch_warnings():
        # scikit-learn takes few rows of many classes for a regression.
        warnings.filterwarnings("ignore", "The number of unique classes is greater", UserWarning)
        return float(score(labels.astype(int), predicted, sample_weight=weights, **options))


def _averaged(predictions: np.ndarray, average: Average = "macro") -> dict[str, object]:
    """Options of scikit-learn's scores: the positive class alone, or a mean over classes; 0 / 0 is not counted."""
    if predictions.ndim == 1:
        return {"average": "macro", "labels": [1], "zero_division": NAN}
    return {"average": average, "zero_division": NAN}


def _per_class(predictions: np.ndarray) -> np.ndarray:
    """Probabilities float64 `[rows, classes]`, two of a binary label."""
    import numpy as np

    probabilities = predictions.astype(np.float64)
    return np.stack([1 - probabilities, probabilities], axis=1) if predictions.ndim == 1 else probabilities


def _finite(predictions: np.ndarray) -> bool:
    import numpy as np

    return len(predictions) > 0 and bool(np.isfinite(predictions).all())
