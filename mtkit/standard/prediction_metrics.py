"""Metrics of probabilities and of numbers; nan where undefined, and for predictions that are no numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from mtkit.spec import Contributions, PositiveInt, PredictionMetric

if TYPE_CHECKING:
    import numpy as np

NAN = float("nan")


class LogLoss(PredictionMetric):
    """Mean negative log likelihood in nats; probabilities are clipped to the precision of float64.

    Where any number of classes applies, it is the mean over the classes, each for itself.
    """

    labels: ClassVar[frozenset[str]] = frozenset({"binary", "classes", "multi_label"})
    lower_is_better: ClassVar[bool] = True
    proper: ClassVar[bool] = True

    def value(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> float:
        """The mean over weights; class probabilities are normalized first, as float32 ones sum to 1 only nearly."""
        import numpy as np
        from sklearn.metrics import log_loss

        if not finite(predictions):
            return NAN
        if labels.ndim == 2:
            return float(np.average(_of_each_class(labels, predictions), weights=weights))
        probabilities = _per_class(predictions)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        classes = np.arange(probabilities.shape[1])
        return float(log_loss(labels.astype(int), probabilities, labels=classes, sample_weight=weights))

    def contributions(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> Contributions | None:
        """The negative log likelihood of each label."""
        import numpy as np

        if not finite(predictions):
            return None
        if labels.ndim == 2:
            return _of_each_class(labels, predictions), weights
        probabilities = _per_class(predictions)
        chance = probabilities[np.arange(len(labels)), labels.astype(int)] / probabilities.sum(axis=1)
        tiny = np.finfo(np.float64).eps
        return -np.log(chance.clip(tiny, 1 - tiny)), weights


class NormalizedEntropy(PredictionMetric):
    """Log loss relative to that of the labels' own frequencies: 1 says nothing, 0 knows all.

    Source: He et al., "Practical lessons from predicting clicks on ads at Facebook", 2014; for classes likewise.
    """

    labels: ClassVar[frozenset[str]] = frozenset({"binary", "classes"})
    lower_is_better: ClassVar[bool] = True
    proper: ClassVar[bool] = True

    def value(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> float:
        """The ratio, 0 or more; nan with fewer than two classes among the labels."""
        import numpy as np

        weight = np.bincount(labels.astype(int), weights)
        share = weight[weight > 0] / weight.sum()
        return LogLoss().value(labels, predictions, weights) / -(share @ np.log(share)) if len(share) > 1 else NAN

    def contributions(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> Contributions | None:
        """Influences through the log loss, and through the frequencies of the classes."""
        import numpy as np

        contributions = LogLoss().contributions(labels, predictions, weights)
        weight = np.bincount(labels.astype(int), weights)
        if contributions is None or np.count_nonzero(weight) < 2:
            return None
        losses, _ = contributions
        surprise = -np.log(weight[labels.astype(int)] / weight.sum())
        loss, entropy = (np.average(values, weights=weights) for values in (losses, surprise))
        return loss / entropy + (losses - loss) / entropy - (surprise - entropy) * loss / entropy**2, weights


class Brier(PredictionMetric):
    """Mean squared difference of probability and label; for classes, summed over the classes.

    Source: Brier, 1950; for binary labels the half of the original, as usual.
    """

    labels: ClassVar[frozenset[str]] = frozenset({"binary", "classes"})
    lower_is_better: ClassVar[bool] = True
    proper: ClassVar[bool] = True

    def value(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> float:
        """The mean over weights, in [0, 1] for binary labels, in [0, 2] for classes."""
        import numpy as np

        if not finite(predictions):
            return NAN
        error = _squared(labels, predictions)
        return float(np.average(error, weights=weights)) / (2 if predictions.ndim == 1 else 1)

    def contributions(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> Contributions | None:
        """The squared difference of each row."""
        if not finite(predictions):
            return None
        return _squared(labels, predictions) / (2 if predictions.ndim == 1 else 1), weights


class CalibrationError(PredictionMetric):
    """Expected calibration error: mean absolute difference of confidence and frequency, over bins of equal weight.

    For binary labels, confidence is the probability of the positive, and frequency the share of positives; for classes,
    confidence is that of the most probable one, and frequency how often it is right. Rows of one confidence are in one bin.
    Labels drawn from the predictions themselves have an error above 0, too, the larger the fewer rows there are: `calibration`
    in `metrics.json` has it (`calibration_error_by_chance`).

    Source: Naeini et al., 2015, equation 3; bins of equal weight as in Nixon et al., "Measuring calibration in deep
    learning", 2019.
    """

    labels: ClassVar[frozenset[str]] = frozenset({"binary", "classes"})
    limits: ClassVar[tuple[float, float]] = (0, 1)
    lower_is_better: ClassVar[bool] = True

    bins: PositiveInt = Field(15, description="number of bins")

    def value(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> float:
        """The error in [0, 1]."""
        from mtkit.evaluation.calibration import error

        return error(labels, predictions, weights, self.bins) if finite(predictions) else NAN

    def contributions(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> Contributions | None:
        """The difference of each row, with the sign of its bin's."""
        import numpy as np

        from mtkit.evaluation.calibration import gaps

        if not finite(predictions):
            return None
        place, gap = gaps(labels, predictions, weights, self.bins)
        return np.sign(np.bincount(place, weights * gap))[place] * gap, weights


class Rmse(PredictionMetric):
    """Root of the mean squared error of predicted numbers."""

    labels: ClassVar[frozenset[str]] = frozenset({"numeric"})
    lower_is_better: ClassVar[bool] = True
    proper: ClassVar[bool] = True

    def value(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> float:
        """The root, in the unit of the label."""
        import numpy as np

        return float(np.sqrt(np.average(_errors(labels, predictions) ** 2, weights=weights))) if len(labels) else NAN

    def contributions(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> Contributions | None:
        """The root, and half the difference of the row's squared error to the mean one, over the root."""
        import numpy as np

        root = self.value(labels, predictions, weights)
        if not np.isfinite(root) or not root:
            return None
        return root + (_errors(labels, predictions) ** 2 - root**2) / (2 * root), weights


class Mae(PredictionMetric):
    """Mean absolute error of predicted numbers; of classes in an order, by how many classes the predicted one is off.

    That is the median of the predicted probabilities, which has the least expected error: the first class up to which they sum
    up to one half.
    """

    labels: ClassVar[frozenset[str]] = frozenset({"numeric", "ordinal"})
    lower_is_better: ClassVar[bool] = True

    def value(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> float:
        """The mean over weights, in the unit of the label, or in classes."""
        import numpy as np

        return float(np.average(np.abs(_errors(labels, predictions)), weights=weights)) if len(labels) else NAN

    def contributions(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> Contributions | None:
        """The absolute error of each row."""
        import numpy as np

        return (np.abs(_errors(labels, predictions)), weights) if finite(predictions) else None


class _Deviance(PredictionMetric):
    """A mean Tweedie deviance of predicted means, 0 or more, from labels."""

    labels: ClassVar[frozenset[str]] = frozenset({"count"})
    lower_is_better: ClassVar[bool] = True

    def value(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> float:
        """The mean over weights; nan with labels or predictions below 0, or a mean of 0 where the label is above."""
        import numpy as np

        found = self.contributions(labels, predictions, weights)
        return float(np.average(found[0], weights=weights)) if found else NAN

    def contributions(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> Contributions | None:
        """The deviance of each row."""
        from mtkit.data.label_statistics import tweedie_deviance

        if not finite(predictions) or (predictions < 0).any() or (labels < 0).any():
            return None
        values = tweedie_deviance(labels.astype(float), predictions.astype(float), self._power)
        return (values, weights) if finite(values) else None

    @property
    def _power(self) -> float:
        raise NotImplementedError


class PoissonDeviance(_Deviance):
    """Mean Poisson deviance of predicted means: 2 (y log(y / μ) - y + μ), for labels from 0 on, whole numbers or not.

    Source: McCullagh and Nelder, Generalized Linear Models, 1989, section 2.3.
    """

    @property
    def _power(self) -> float:
        return 1.0


class TweedieDeviance(_Deviance):
    """Mean Tweedie deviance of predicted means, for amounts that are often 0 and otherwise vary the more, the larger they are.

    Source: Jørgensen, Exponential Dispersion Models, JRSS B 49 (2), 1987.
    """

    power: Annotated[float, Field(gt=1, lt=2)] = Field(1.5, description="p of the variance, which grows as mean^p")

    @property
    def _power(self) -> float:
        return self.power


class QuadraticKappa(PredictionMetric):
    """Cohen's kappa of classes in an order, by squared distances: 1 is right everywhere, 0 as chance.

    The predicted class is the median, as for `mae`.

    Source: Cohen, Weighted Kappa, Psychological Bulletin 70 (4), 1968.
    """

    labels: ClassVar[frozenset[str]] = frozenset({"ordinal"})
    limits: ClassVar[tuple[float, float]] = (-1, 1)

    def value(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> float:
        """1 less the mean squared distance over that of labels and predictions of different rows; nan where that is 0."""
        found = self._distances(labels, predictions, weights)
        return NAN if found is None else 1 - found[0][0] / found[1][0]

    def contributions(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> Contributions | None:
        """Influences through both distances."""
        found = self._distances(labels, predictions, weights)
        if found is None:
            return None
        (own, of_rows), (chance, of_pairs) = found
        return 1 - own / chance - of_rows / chance + own / chance**2 * of_pairs, weights

    def _distances(
        self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray
    ) -> tuple[tuple[float, np.ndarray], tuple[float, np.ndarray]] | None:
        """Mean squared distances in rows, and between different ones, each with the influences of the rows."""
        import numpy as np

        if not finite(predictions):
            return None
        label, found = labels.astype(np.float64), median_class(predictions).astype(np.float64)
        one, other = (float(np.average(values, weights=weights)) for values in (label, found))
        in_rows = (label - found) ** 2
        between = label**2 + found**2 - 2 * (label * other + found * one - one * other)
        own, chance = (float(np.average(values, weights=weights)) for values in (in_rows, between))
        return ((own, in_rows - own), (chance, between - chance)) if chance > 0 else None


def _errors(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    import numpy as np

    predictions = np.asarray(predictions, np.float64)
    if predictions.ndim == 2:
        predictions = np.where(finite(predictions), median_class(predictions), NAN)
    return np.asarray(predictions - labels)


def median_class(probabilities: np.ndarray) -> np.ndarray:
    """The first class up to which probabilities `[rows, classes]` sum up to one half of their sum, int `[rows]`."""
    import numpy as np

    below = np.cumsum(probabilities, axis=1, dtype=np.float64)
    return np.asarray((below < below[:, -1:] / 2).sum(axis=1))


def _per_class(predictions: np.ndarray) -> np.ndarray:
    """Probabilities float64 `[rows, classes]`, two of a binary label."""
    import numpy as np

    probabilities = predictions.astype(np.float64)
    return np.stack([1 - probabilities, probabilities], axis=1) if predictions.ndim == 1 else probabilities


def _of_each_class(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Mean over classes of the negative log likelihood of each for itself, float64 `[rows]`."""
    import numpy as np

    tiny = np.finfo(np.float64).eps
    chance = np.where(labels > 0, predictions, 1 - predictions.astype(np.float64)).clip(tiny, 1)
    return np.asarray(-np.log(chance).mean(axis=1))


def _squared(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Squared differences of probabilities and labels, summed over the classes."""
    import numpy as np

    probabilities = _per_class(predictions)
    truth = np.eye(probabilities.shape[1])[labels.astype(int)]
    return np.asarray(((probabilities - truth) ** 2).sum(axis=1))


def finite(predictions: np.ndarray) -> bool:
    """Whether there are predictions, and all are numbers."""
    import numpy as np

    return len(predictions) > 0 and bool(np.isfinite(predictions).all())
