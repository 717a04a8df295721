"""Probabilities that mean what they say: how they are corrected on validation, and how far off they are; no TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from mtkit.types import LabeledRows

#: Rows of each label, or rows on which the most probable class is right and wrong, without which nothing is learned.
LEAST = 50
#: Parts of the users, each of which is measured with what the others teach.
FOLDS = 5
#: Knots of an isotonic calibration, at most.
KNOTS = 256
#: Bins of the calibration error.
BINS = 15
#: How often labels are drawn anew from predictions.
DRAWS = 1000
#: Slopes that are possible: beyond these, predictions say nothing of the label, or tell it without mistake.
SLOPES = (0.05, 20.0)
#: By how much isotonic outputs rise, on the scale of logits, over all rows: so what is flat keeps its order.
_TILT = 6e-4
#: Drawn at once.
_BLOCK = 4_000_000
#: Probabilities whose logits float32 can tell apart.
LOWEST, HIGHEST = 1e-37, 1 - 2.0**-24


@dataclass(frozen=True)
class Temperature:
    """sigmoid(slope · logit(p) + bias) for a label of 0 and 1; softmax(slope · log p) over classes, without a bias.

    Source: Platt, Probabilistic outputs for support vector machines, 1999, on logits, without its smoothed labels; Guo et
    al., On calibration of modern neural networks, 2017, section 4.2: the temperature is 1 / slope.
    """

    slope: float
    bias: float = 0.0
    use: Literal["temperature"] = "temperature"

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """Calibrated probabilities, float64 `[rows]` or `[rows, classes]`."""
        from scipy.special import expit, softmax

        scores = self.slope * _scores(probabilities)
        return np.asarray(expit(scores + self.bias) if scores.ndim == 1 else softmax(scores, axis=1))

    def about(self) -> str:
        """What it does, for people."""
        return f"slope {self.slope:.3f}" + (f", bias {self.bias:+.3f}" if self.bias else "")

    def plain(self) -> dict[str, Any]:
        """What a record says of it."""
        return {"use": self.use, "slope": self.slope, "bias": self.bias}


@dataclass(frozen=True)
class Isotonic:
    """A probability by linear interpolation between knots that increase; of a label of 0 and 1.

    Source: Zadrozny and Elkan, Transforming classifier scores into accurate multiclass probability estimates, 2002.
    Deviations: what is flat rises a little, so that order is kept, and nothing is certain: as if there were one more row of
    either label.

    Attributes:
        inputs: from 0 to 1.
        outputs: at these.
    """

    inputs: Sequence[float]
    outputs: Sequence[float]
    use: Literal["isotonic"] = "isotonic"

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """Calibrated probabilities, float64 `[rows]`."""
        return np.asarray(np.interp(probabilities, self.inputs, self.outputs))

    def about(self) -> str:
        """What it does, for people."""
        return f"{len(self.inputs)} knots"

    def plain(self) -> dict[str, Any]:
        """What a record says of it."""
        return {"use": self.use, "knots": len(self.inputs)}


Calibration = Temperature | Isotonic


@dataclass(frozen=True)
class BeforeAfter:
    """A figure without and with calibration."""

    before: float
    after: float


@dataclass(frozen=True)
class Learned:
    """What validation teaches about the probabilities of a task.

    Attributes:
        calibration: corrects them; None = they stay as they are.
        why: why they stay; empty where they do not.
        rows: that have a label.
        figures: `log_loss` and `calibration_error` on validation, each row with what rows of other users teach.
    """

    calibration: Temperature | Isotonic | None
    why: str
    rows: int
    figures: dict[str, BeforeAfter] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """What a record says of it."""
        own = {"use": "none", "why": self.why} if self.calibration is None else self.calibration.plain()
        return own | {"rows": self.rows} | {name: asdict(pair) for name, pair in self.figures.items()}

    def about(self) -> str:
        """The same in a line."""
        if self.calibration is None:
            return f"not calibrated: {self.why}"
        loss = self.figures["log_loss"]
        return f"{self.calibration.use}, {self.calibration.about()}; log loss {loss.before:.4f} -> {loss.after:.4f}"


def learn(use: Literal["temperature", "isotonic"], predictions: np.ndarray, rows: LabeledRows) -> Learned:
    """What corrects probabilities, if it does so on rows of users that it has not seen.

    Args:
        use: how.
        predictions: probabilities, `[rows]` of a label of 0 and 1, `[rows, classes]` else.
        rows: labels, weights and users (`groups`); those of weight 0 have no label.
    """
    there = np.flatnonzero(rows.weights > 0)
    users = there if rows.groups is None else rows.groups[there]
    given = rows.labels[there], predictions[there], rows.weights[there].astype(np.float64)
    if why := _too_little(*given[:2]):
        return Learned(None, why, len(there))
    parts = part_of(users)
    if len(np.unique(parts)) == 1:
        return Learned(None, "validation has too few users to learn from some and measure others", len(there))
    crossed = given[1].astype(np.float64)
    for part in np.unique(parts):
        inside = parts == part
        crossed[inside] = fit(use, *(values[~inside] for values in given))(given[1][inside])
    figures = {
        name: BeforeAfter(*(measure(given[0], values, given[2]) for values in (given[1], crossed)))
        for name, measure in (("log_loss", log_loss), ("calibration_error", error))
    }
    if not figures["log_loss"].after < figures["log_loss"].before:
        return Learned(None, f"{use} does not lower the log loss on rows of other users", len(there), figures)
    return Learned(fit(use, *given), "", len(there), figures)


def _too_little(labels: np.ndarray, predictions: np.ndarray) -> str:
    """Why nothing can be learned of rows; empty if it can."""
    if not np.isfinite(predictions).all():
        return "predictions are not finite"
    no, yes = np.bincount(_confidence(labels, predictions)[1].astype(int), minlength=2)
    if min(no, yes) >= LEAST:
        return ""
    of = "rows with 1 and {} with 0" if predictions.ndim == 1 else "rows whose class is predicted and {} others"
    return f"validation has {yes:,} {of.format(f'{no:,}')}; expected {LEAST} of either"


def part_of(users: np.ndarray) -> np.ndarray:
    """Which of the `FOLDS` parts each user belongs to, by a hash; int64 `[rows]`."""
    hashed = users.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return ((hashed >> np.uint64(32)) % np.uint64(FOLDS)).astype(np.int64)


def fit(use: str, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> Calibration:
    """The calibration of least log loss (`temperature`), or of least squared error among those that increase (`isotonic`).

    Args:
        use: which.
        labels: `[rows]`, 0 and 1 or class numbers.
        predictions: as for `learn`.
        weights: float64 `[rows]`, positive.
    """
    if use == "isotonic":
        return _isotonic(labels, predictions, weights)
    scores, weights = _scores(predictions), weights / weights.sum()
    return _binary(labels, scores, weights) if scores.ndim == 1 else _of_classes(labels.astype(int), scores, weights)


def _binary(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> Temperature:
    """Slope and bias, found on centered scores of unit variance, along which the loss is well conditioned."""
    from scipy.optimize import minimize
    from scipy.special import expit

    mean = weights @ scores
    spread = np.sqrt(weights @ (scores - mean) ** 2) or 1.0
    scaled = (scores - mean) / spread

    def loss(found: np.ndarray) -> tuple[float, np.ndarray]:
        logits = found[0] * scaled + found[1]
        wrong = weights * (expit(logits) - labels)
        return float(weights @ (np.logaddexp(0, logits) - labels * logits)), np.array([wrong @ scaled, wrong.sum()])

    bounds = [(SLOPES[0] * spread, SLOPES[1] * spread), (None, None)]
    tight = {"ftol": 1e-15, "gtol": 1e-10}
    found = minimize(loss, [spread, mean], jac=True, method="L-BFGS-B", bounds=bounds, options=tight).x
    slope = float(found[0] / spread)
    return Temperature(slope, float(found[1] - slope * mean))


def _of_classes(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> Temperature:
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    own = scores[np.arange(len(labels)), labels]

    def loss(slope: float) -> float:
        return float(weights @ (logsumexp(slope * scores, axis=1) - slope * own))

    return Temperature(float(minimize_scalar(loss, bounds=SLOPES, method="bounded", options={"xatol": 1e-8}).x))


def _isotonic(labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> Isotonic:
    from scipy.special import expit, logit
    from sklearn.isotonic import IsotonicRegression

    least = 1 / (len(labels) + 2)
    steps = IsotonicRegression(y_min=least, y_max=1 - least)
    steps.fit(predictions.astype(np.float64), labels, sample_weight=weights)
    kept = np.unique(np.linspace(0, len(steps.X_thresholds_) - 1, KNOTS - 2).round().astype(int))
    inputs, outputs = steps.X_thresholds_[kept], steps.y_thresholds_[kept]
    knots = np.stack([inputs, outputs, _share_below(inputs, predictions, weights)])
    # Predictions beyond those of validation have a place, too.
    if inputs[0] > 0:
        knots = np.column_stack([(0, outputs[0], 0), knots])
    if inputs[-1] < 1:
        knots = np.column_stack([knots, (1, outputs[-1], 1)])
    inputs, outputs, below = knots
    return Isotonic(inputs.tolist(), expit(logit(outputs) + _TILT * (below - 0.5)).tolist())


def _share_below(values: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The share of rows whose predictions are below values, half of those that are equal among them."""
    order = np.argsort(predictions, kind="stable")
    mass = np.append(0.0, np.cumsum(weights[order]))
    left, right = (np.searchsorted(predictions[order], values, side) for side in ("left", "right"))
    return np.asarray((mass[left] + mass[right]) / (2 * mass[-1]))


def _scores(probabilities: np.ndarray) -> np.ndarray:
    """Logits float64 of a label of 0 and 1; logarithms of the classes' probabilities else."""
    clipped = np.clip(probabilities.astype(np.float64), LOWEST, HIGHEST if probabilities.ndim == 1 else 1.0)
    return np.log(clipped) - np.log1p(-clipped) if probabilities.ndim == 1 else np.log(clipped)


def log_loss(labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> float:
    """Mean negative log likelihood in nats."""
    predictions = predictions.astype(np.float64)
    if predictions.ndim == 1:
        chance = np.where(labels > 0, predictions, 1 - predictions)
    else:
        chance = predictions[np.arange(len(labels)), labels.astype(int)] / predictions.sum(axis=1)
    return float(np.average(-np.log(chance.clip(np.finfo(np.float64).eps, 1)), weights=weights))


def gaps(
    labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray, bins: int = BINS
) -> tuple[np.ndarray, np.ndarray]:
    """The bin of each row, int `[rows]`, and its confidence less whether it is right, float64 `[rows]`."""
    confidence, right = _confidence(labels, predictions)
    return _bins(confidence, weights, bins), confidence - right


def error(labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error, in [0, 1]: mean absolute difference of confidence and frequency over bins."""
    place, gap = gaps(labels, predictions, weights, bins)
    return float(np.abs(np.bincount(place, weights * gap)).sum() / weights.sum(dtype=np.float64))


def error_by_chance(predictions: np.ndarray, weights: np.ndarray, bins: int = BINS, draws: int = DRAWS) -> float:
    """The expected calibration error of labels that are drawn from the predictions: that of one that is calibrated.

    Args:
        predictions: as for `learn`.
        weights: `[rows]`, positive.
        bins: as of `error`.
        draws: how often labels are drawn; the seed is fixed.
    """
    confidence, _ = _confidence(np.zeros(len(predictions)), predictions)
    order = np.argsort(confidence, kind="stable")
    confidence, weights = confidence[order], weights[order].astype(np.float64)
    starts = np.flatnonzero(np.diff(_bins(confidence, weights, bins), prepend=-1))
    expected, threshold = np.add.reduceat(weights * confidence, starts), confidence.astype(np.float32)
    random, found, size = np.random.default_rng(0), 0.0, max(1, _BLOCK // len(weights))
    for begin in range(0, draws, size):
        drawn = random.random((min(size, draws - begin), len(weights)), np.float32) < threshold
        found += np.abs(np.add.reduceat(np.where(drawn, weights, 0.0), starts, axis=1) - expected).sum()
    return float(found / draws / weights.sum())


def _confidence(labels: np.ndarray, predictions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The probability of 1 and whether it is 1; of classes, that of the most probable one, and whether it is right."""
    if predictions.ndim == 1:
        return predictions.astype(np.float64), labels
    return predictions.max(axis=1).astype(np.float64), predictions.argmax(axis=1) == labels


def _bins(confidence: np.ndarray, weights: np.ndarray, bins: int) -> np.ndarray:
    """Bins of equal weight by confidence; equal ones are in one bin, that in which the middle of their weight lies."""
    _, place = np.unique(confidence, return_inverse=True)
    mass = np.bincount(place, weights.astype(np.float64))
    middle = (mass.cumsum() - mass / 2) / mass.sum()
    # A middle on a bound belongs above it, however its sum was rounded.
    return np.asarray(np.minimum((middle * bins + 1e-9).astype(int), bins - 1)[place])
