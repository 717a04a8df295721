"""Checks of what trains beside what is tested, of what is left out, and of what is refused."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mtkit.data.catalogs import moments
from mtkit.data.encoded import present
from mtkit.data.leakage import find_leaks
from mtkit.profile.findings import Found, Needs, finds, graded
from mtkit.profile.view import Feature, View
from mtkit.schema import INTERACTIONS

#: Of the population stability index: a note, and a warning (the usual thresholds in credit scoring).
DRIFT, MUCH_DRIFT = 0.1, 0.25
#: Ranges of a number, and categories that are compared; the others are one.
_RANGES, _CATEGORIES = 10, 20
#: Rows of a part from which on shares say something.
_ENOUGH = 500
#: Shares of tested rows from which on new categories, and new ids, are a warning.
NEW_CATEGORIES, NEW_IDS = 0.1, 0.2
#: The area under the curve from which on a column nearly tells a label.
GOLDEN = 0.98
#: Training rows on which that is measured, and rows of the rarer label that it takes.
_MEASURED, _RARE = 50_000, 20
#: The share of a part from which on what is left out is a warning.
LEFT_OUT = 0.2


@finds("P001", Needs.RAW)
def refused(view: View) -> Iterator[Found]:
    """What fits no declaration."""
    for line in view.refused.splitlines():
        yield Found("data", 1, 0, "mistake", detail=line)


@finds("P002", Needs.RAW)
def uncut(view: View) -> Iterator[Found]:
    """Why there are no parts."""
    if view.uncut:
        yield Found("data.split", 1, 0, "mistake", detail=view.uncut)


@finds("P046", Needs.PARTS)
def drift(view: View) -> Iterator[Found]:
    """Features of the tested rows that are distributed otherwise than those of training."""
    if _few(view):
        return
    for feature in view.features():
        values = view.of_feature(feature)
        bins = (
            _ranges(values, view.trains) if feature.place.declared.kind == "numeric" else _groups(values, view.trains)
        )
        index = _stability(bins[view.trains], bins[view.tested])
        if index > DRIFT:
            severity = graded(index > MUCH_DRIFT)
            tested = int(view.tested.sum())
            yield Found(feature.address, tested, tested, "tested rows", detail=f"PSI {index:.2f}", severity=severity)


@finds("P047", Needs.PARTS)
def new_categories(view: View) -> Iterator[Found]:
    """Categories of tested rows that no training row has."""
    tested = int(view.tested.sum())
    for feature in view.features():
        if feature.place.declared.kind != "categorical":
            continue
        code = view.of_feature(feature)
        new = np.flatnonzero(view.tested & (code >= 0) & ~present(code, view.trains)[code])
        if len(new):
            severity = graded(len(new) >= NEW_CATEGORIES * tested)
            yield Found(
                feature.address, len(new), tested, "tested rows", _values(view, feature, new), severity=severity
            )


@finds("P048", Needs.PARTS, quick=True)
def golden(view: View) -> Iterator[Found]:
    """Single features that order training rows by a binary label."""
    rows = np.flatnonzero(view.trains)
    rows = rows[:: max(len(rows) // _MEASURED, 1)]
    labels = [
        (place, label)
        for place in view.labels
        if not place.declared.classes and (label := _binary(view.numbers(place)[rows])) is not None
    ]
    for feature in view.features() if labels else ():
        values = view.of_feature(feature, rows)
        for place, label in labels:
            there = ~np.isnan(label)
            area = _area(feature, values[there], label[there])
            if max(area, 1 - area) > GOLDEN:
                detail = f"AUC {area:.3f} for {place.name}"
                yield Found(feature.address, int(there.sum()), len(rows), "training rows", detail=detail)


@finds("P049", Needs.PARTS)
def new_ids(view: View) -> Iterator[Found]:
    """Tested rows of users and items that no training row has."""
    tested = int(view.tested.sum())
    for role in view.schema.roles:
        code = view.encoded.codes(view.schema.reference(role))
        new = int(np.count_nonzero(view.tested & ~present(code, view.trains)[code]))
        if new > NEW_IDS * tested:
            yield Found(f"{role} ids", new, tested, "tested rows")


@finds("P050")
def left_out(view: View) -> Iterator[Found]:
    """What is left out while data are cleaned, and by the catalogs of validation and test."""
    rows = len(view.raw.interactions)
    for reason, count in view.dataset.left_out.items():
        yield _left(reason, count, rows)
    for cut, dropped in view.dropped:
        time, fit = moments(view.dataset, cut), cut.cut if cut.fit is None else cut.fit
        sizes = {"train": time < fit, "eval": (time >= cut.cut) & (time < cut.end)}
        called = {"train": f"training for {cut.name}", "eval": cut.name}
        for reason, count in dropped.items():
            part, _, why = reason.partition(": ")
            if count and part in sizes and reason not in view.dataset.left_out:
                yield _left(f"{called[part]}: {why}", count, int(np.count_nonzero(sizes[part])))


@finds("P051", Needs.PARTS)
def leaks(view: View) -> Iterator[Found]:
    """What the linter of leaks says."""
    if view.recipe is not None and view.cuts is not None:
        for leak in find_leaks(view.recipe, view.dataset, *view.cuts):
            advice = f"{leak.advice[:1].upper()}{leak.advice[1:]}."
            yield Found(leak.where, leak.count, 0, detail=leak.what, severity=leak.level, advice=advice)


def _few(view: View) -> bool:
    return min(int(view.trains.sum()), int(view.tested.sum())) < _ENOUGH


def _left(reason: str, count: int, of: int) -> Found:
    return Found(INTERACTIONS, count, of, detail=reason, severity=graded(count > LEFT_OUT * of))


def _ranges(numbers: np.ndarray, trains: np.ndarray) -> np.ndarray:
    """The tenth of the training rows that a number lies among; what is missing is a range of its own. int64 `[rows]`."""
    known = numbers[trains & ~np.isnan(numbers)]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, _RANGES + 1)[1:-1])) if len(known) else np.zeros(0)
    return np.where(np.isnan(numbers), len(edges) + 1, np.searchsorted(edges, numbers))


def _groups(code: np.ndarray, trains: np.ndarray) -> np.ndarray:
    """The most frequent categories of training, the others as one, and what is missing; int64 `[rows]`."""
    counts = np.bincount(code[trains] + 1, minlength=int(code.max(initial=-1)) + 2)
    group = np.zeros(len(counts), np.int64)
    most = np.argsort(-counts[1:], kind="stable")[:_CATEGORIES] + 1
    group[most] = np.arange(1, len(most) + 1)
    group[0] = len(most) + 1
    groups: np.ndarray = group[code + 1]
    return groups


def _stability(train: np.ndarray, test: np.ndarray) -> float:
    """The population stability index of two samples of small integers; no share counts as less than 1 in 10,000."""
    bins = int(max(train.max(initial=0), test.max(initial=0))) + 1
    expected, found = (np.maximum(np.bincount(part, minlength=bins) / len(part), 1e-4) for part in (train, test))
    return float(((found - expected) * np.log(found / expected)).sum())


def _binary(label: np.ndarray) -> np.ndarray | None:
    """The label, if it is 0 or 1 and both are there often enough."""
    there = label[~np.isnan(label)]
    ones = np.count_nonzero(there == 1)
    both = min(ones, np.count_nonzero(there == 0))
    return label if both >= _RARE and ones + np.count_nonzero(there == 0) == len(there) else None


def _area(feature: Feature, values: np.ndarray, label: np.ndarray) -> float:
    """The area under the curve of a column; categories by their rates in one half of the rows, on the other half."""
    if feature.place.declared.kind == "numeric":
        return _curve(np.where(np.isnan(values), -np.inf, values), label)
    learned, measured = slice(0, None, 2), slice(1, None, 2)
    code, many = values + 1, int(values.max(initial=-1)) + 2
    sums, counts = np.bincount(code[learned], label[learned], many), np.bincount(code[learned], minlength=many)
    rate = (sums + label[learned].mean()) / (counts + 1)
    return _curve(rate[code[measured]], label[measured])


def _curve(scores: np.ndarray, label: np.ndarray) -> float:
    """The area under the curve of scores, by the ranks of the positive rows (Mann and Whitney); 0.5 where there is one label."""
    from scipy.stats import rankdata  # slow to import

    ones = label == 1
    positive, negative = np.count_nonzero(ones), np.count_nonzero(~ones)
    if not positive or not negative:
        return 0.5
    return float((rankdata(scores)[ones].sum() - positive * (positive + 1) / 2) / (positive * negative))


def _values(view: View, feature: Feature, rows: np.ndarray) -> tuple[str, ...]:
    """Some values of a feature of rows."""
    table = view.dataset.interactions
    if feature.role is not None:
        table, rows = view.dataset.entities[feature.place.table], view.encoded.rows(feature.role)[rows]
    return tuple(map(repr, table[feature.place.name].take(rows[:1000]).unique()[:3].to_pylist()))
