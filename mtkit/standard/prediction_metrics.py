"""Metrics over predicted probabilities and labels, computed by scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from mtkit.spec import PredictionMetric

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

NAN = float("nan")


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


class LogLoss(PredictionMetric):
    """Mean negative log likelihood in nats; probabilities are clipped to the precision of float64."""

    labels: ClassVar[frozenset[str]] = frozenset({"binary", "classes"})

    def value(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> float:
        """The mean over weights; class probabilities are normalized first, as float32 ones sum to 1 only nearly."""
        import numpy as np
        from sklearn.metrics import log_loss

        if not _finite(predictions):
            return NAN
        probabilities = predictions.astype(np.float64)
        if probabilities.ndim == 1:
            probabilities = np.stack([1 - probabilities, probabilities], axis=1)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        classes = np.arange(probabilities.shape[1])
        return float(log_loss(labels.astype(int), probabilities, labels=classes, sample_weight=weights))


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


class F1(PredictionMetric):
    """Harmonic mean of precision and recall of the positives; for classes, the mean over those that occur at all."""

    labels: ClassVar[frozenset[str]] = frozenset({"binary", "classes"})

    def value(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> float:
        """The mean in [0, 1]; nan with positives neither among labels nor among predictions."""
        from sklearn.metrics import f1_score

        return _of_classes(f1_score, labels, predictions, weights, _averaged(predictions))


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


def _averaged(predictions: np.ndarray) -> dict[str, object]:
    """Options of scikit-learn's scores: the positive class alone, or all classes alike; 0 / 0 is not counted."""
    return {"average": "macro", "zero_division": NAN} | ({"labels": [1]} if predictions.ndim == 1 else {})


def _finite(predictions: np.ndarray) -> bool:
    import numpy as np

    return len(predictions) > 0 and bool(np.isfinite(predictions).all())
