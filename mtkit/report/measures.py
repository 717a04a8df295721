"""What follows from kept predictions and lists: curves, bins, confusions, shares; NumPy and scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mtkit.evaluation import calibration

#: Bins of rows by prediction.
BINS = 10
#: Classes of a confusion, the most frequent ones.
CLASSES = 12
#: How often labels are drawn for the error of a calibrated model.
_DRAWS = 20
#: Items that count as the most shown, or the most popular.
TOP = 10


@dataclass(frozen=True)
class Reliability:
    """Bins of rows by prediction, or by the confidence in the predicted class.

    Attributes:
        confidence: float `[bins]`, the mean prediction.
        frequency: float `[bins]`, the share of labels that are 1, or of classes that are right.
        weight: float `[bins]`, the share of the rows.
        error: mean absolute difference of the two, by weight, as `calibration_error`.
        by_chance: that of labels drawn from the predictions.
    """

    confidence: np.ndarray
    frequency: np.ndarray
    weight: np.ndarray
    error: float
    by_chance: float


def reliability(rows: pd.DataFrame, form: str) -> Reliability:
    """How often what is predicted comes true.

    Args:
        rows: kept predictions.
        form: `binary` or `classes`.
    """
    weight = rows["weight"].to_numpy(np.float64)
    if form == "binary":
        confidence, right = rows["prediction"].to_numpy(np.float64), rows["label"].to_numpy(np.float64)
    else:
        confidence = rows["confidence"].to_numpy(np.float64)
        right = (rows["prediction"] == rows["label"]).to_numpy(np.float64)
    place, _ = calibration.gaps(right, confidence, weight, BINS)
    mass = np.bincount(place, weight, minlength=BINS)
    there = mass > 0
    means = [(np.bincount(place, weight * of, minlength=BINS)[there] / mass[there]) for of in (confidence, right)]
    error = calibration.error(right, confidence, weight)
    chance = calibration.error_by_chance(confidence, weight, draws=_DRAWS)
    return Reliability(means[0], means[1], mass[there] / mass.sum(), error, chance)


@dataclass(frozen=True)
class Ordering:
    """Curves of an order of rows with labels of 0 and 1.

    Attributes:
        false: false positive rates.
        true: true positive rates at these.
        area: under this curve.
        recall: ascending.
        precision: at these.
        share: of the rows, best first, from above 0 to 1.
        lift: the rate among these rows by that of all.
        rate: of positives.
    """

    false: np.ndarray
    true: np.ndarray
    area: float
    recall: np.ndarray
    precision: np.ndarray
    share: np.ndarray
    lift: np.ndarray
    rate: float


def ordering(rows: pd.DataFrame) -> Ordering | None:
    """The curves of a task; None where labels are of one kind, or are not 0 and 1."""
    from sklearn.metrics import auc, precision_recall_curve, roc_curve

    label, scores, weight = (rows[name].to_numpy(np.float64) for name in ("label", "prediction", "weight"))
    if not np.isfinite(scores).all() or set(np.unique(label)) != {0.0, 1.0}:
        return None
    false, true, _ = roc_curve(label, scores, sample_weight=weight)
    precision, recall, _ = precision_recall_curve(label, scores, sample_weight=weight)
    order = np.argsort(-scores, kind="stable")
    ones, mass = np.cumsum((label * weight)[order]), np.cumsum(weight[order])
    rate = float(ones[-1] / mass[-1])
    # Shares below a hundredth are of few rows, and jump.
    some = mass >= 0.01 * mass[-1]
    lift = (ones / mass / rate)[some]
    return Ordering(
        false, true, float(auc(false, true)), recall[::-1], precision[::-1], (mass / mass[-1])[some], lift, rate
    )


@dataclass(frozen=True)
class Confusion:
    """Which classes are taken for which.

    Attributes:
        names: of the classes, the most frequent ones.
        shares: float `[classes, classes]`, of the rows of a class, those that are predicted as another.
        rows: int `[classes]`.
        never: names of classes that are never predicted, with their rows; of all classes.
    """

    names: list[str]
    shares: np.ndarray
    rows: np.ndarray
    never: dict[str, int]


def confusion(rows: pd.DataFrame, names: list[str]) -> Confusion:
    """Of kept predictions of classes."""
    label, predicted = rows["label"].to_numpy(int), rows["prediction"].to_numpy(int)
    classes = max(len(names), int(max(label.max(initial=0), predicted.max(initial=0))) + 1)
    counts = np.bincount(label * classes + predicted, minlength=classes * classes).reshape(classes, classes)
    named = [names[i] if i < len(names) else str(i) for i in range(classes)]
    of = counts.sum(axis=1)
    kept = np.sort(np.argsort(-of, kind="stable")[:CLASSES])
    kept = kept[of[kept] > 0]
    shares = counts[np.ix_(kept, kept)] / of[kept][:, None]
    never = {named[i]: int(of[i]) for i in np.flatnonzero((of > 0) & (counts.sum(axis=0) == 0))}
    return Confusion([named[i] for i in kept], shares, of[kept], never)


@dataclass(frozen=True)
class Residuals:
    """Labels less predictions, by bins of equal size; each float `[bins]`."""

    predicted: np.ndarray
    low: np.ndarray
    middle: np.ndarray
    high: np.ndarray


def residuals(rows: pd.DataFrame) -> Residuals:
    """Of kept predictions of numbers."""
    ordered = rows.sort_values("prediction", kind="stable")
    parts = [part for part in np.array_split(np.arange(len(ordered)), 2 * BINS) if len(part)]
    predicted = ordered["prediction"].to_numpy(np.float64)
    rest = ordered["label"].to_numpy(np.float64) - predicted
    low, middle, high = np.array([np.quantile(rest[part], (0.1, 0.5, 0.9)) for part in parts]).T
    return Residuals(np.array([predicted[part].mean() for part in parts]), low, middle, high)


@dataclass(frozen=True)
class ListFacts:
    """What lists are like together.

    Attributes:
        lists: how many.
        places: in all of them.
        shown: distinct items.
        catalog: items that there are.
        top: share of places of the items that are shown most.
        popular: share of places of the most popular items.
        past: share of places of items that the user had lately.
        hits: share of lists with an item that followed.
        by_item: float `[shown]`, the share of places of each item, descending.
        most: rows of the items that are shown most, with their shares.
    """

    lists: int
    places: int
    shown: int
    catalog: int
    top: float
    popular: float
    past: float
    hits: float
    by_item: np.ndarray
    most: list[tuple[int, float]]


def list_facts(lists: pd.DataFrame, catalog: int, popular: list[int]) -> ListFacts:
    """Of kept lists.

    Args:
        lists: the lists.
        catalog: how many items there are.
        popular: rows of the most popular items.
    """
    items = (
        np.concatenate([np.asarray(one, np.int64) for one in lists["items"]]) if len(lists) else np.empty(0, np.int64)
    )
    items = items[items > 0]
    found, counts = np.unique(items, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    shares = counts[order] / max(len(items), 1)
    own = [len(set(row) & set(past)) for row, past in zip(lists["items"], lists["past"], strict=True)]
    return ListFacts(
        lists=len(lists),
        places=len(items),
        shown=len(found),
        catalog=catalog,
        top=float(shares[:TOP].sum()),
        popular=float(np.isin(items, popular[:TOP]).mean()) if len(items) else 0.0,
        past=sum(own) / max(len(items), 1),
        hits=float(np.mean([any(one) for one in lists["hits"]])) if len(lists) else 0.0,
        by_item=shares,
        most=[(int(found[i]), float(counts[i] / len(items))) for i in order[:TOP]],
    )


def map_of(vectors: np.ndarray) -> tuple[np.ndarray, float]:
    """Points of a map, float `[items, 2]`, and the share of the variance that it has.

    Args:
        vectors: float `[items, n]`, at least 3 items.
    """
    from sklearn.decomposition import PCA

    wide = vectors if vectors.shape[1] > 1 else np.column_stack([vectors, np.zeros(len(vectors))])
    found = PCA(2, random_state=0)
    points = found.fit_transform(wide)
    explained = np.nan_to_num(found.explained_variance_ratio_)
    return np.asarray(points), float(explained.sum())


def nearest(vectors: np.ndarray, of: np.ndarray, number: int) -> list[list[tuple[int, float]]]:
    """Of some items, those with the largest cosine, the item itself aside: places and cosines.

    Args:
        vectors: float `[items, n]`.
        of: places of items, int.
        number: how many.
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    cosines = unit[of] @ unit.T
    cosines[np.arange(len(of)), of] = -np.inf
    order = np.argsort(-cosines, axis=1, kind="stable")[:, : min(number, len(vectors) - 1)]
    return [[(int(j), float(row[j])) for j in places] for row, places in zip(cosines, order, strict=True)]
