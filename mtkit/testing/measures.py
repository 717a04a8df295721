"""What holds of what models are measured by: metrics and baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mtkit.data.catalogs import make_fold
from mtkit.evaluation.rank import of_rows, rank
from mtkit.spec import Baseline, ContentBaseline, Cut, GroupedMetric, PredictionMetric, RankingMetric, UnseenMetric
from mtkit.testing.data import sample_data
from mtkit.types import DAY, Events, LabeledRows, Ragged, Ranking

_ROWS, _ITEMS, _TOP = 40, 60, 10
_FORMS = {
    "binary": 2,
    "classes": 4,
    "numeric": 0,
    "multi_label": -4,
    "count": 0,
    "ordinal": 4,
    "scores": 2,
    "grades": 0,
}
"""Form of a label -> `LabeledRows.classes`, negative where any number of them applies."""


def check_ranking_metric(metric: RankingMetric) -> None:
    """Values of rows that stay apart and whose mean is the metric; a row of weight 2 is two rows; nan where no row was ranked.

    Metrics over all rows together (`by_row` is false) have one value, whatever the order of the rows.
    """
    ranking = _ranking(metric)
    order = np.random.default_rng(1).permutation(_ROWS)
    for key, k in metric.keys("metric", (1, _TOP // 2, _TOP)).items():
        value = metric.value(ranking, k)
        _assert_close(value, metric.value(of_rows(ranking, order), k), f"{key} and {key} of the rows in another order")
        assert np.isfinite(value), f"{key} is {value}"
        if metric.by_row:
            values = metric.per_row(ranking, k)
            assert np.shape(values) == (_ROWS,), f"{key}: expected a value for each row, got {np.shape(values)}"
            _assert_close(values.mean(), value, f"the mean over rows of {key} and {key}")
            some = metric.per_row(of_rows(ranking, order[:7]), k)
            _assert_close(some, values[order[:7]], f"{key} of some rows alone and of all")
        weights = 1 + order % 2
        twice = metric.value(of_rows(ranking, np.repeat(np.arange(_ROWS), weights)), k)
        weighed = metric.value(replace(ranking, weights=weights.astype(np.float32)), k)
        _assert_close(weighed, twice, f"{key} with rows of weight 2 and with two rows each")
        nothing = metric.value(of_rows(ranking, order[:0]), k)
        assert np.isnan(nothing), f"{key} of no rows: expected nan, got {nothing}"


def _ranking(metric: RankingMetric) -> Ranking:
    from scipy.sparse import csr_array

    rng = np.random.default_rng(0)
    scores = rng.integers(0, 20, (_ROWS, _ITEMS + 1)).astype(np.float32)
    sizes = rng.integers(1, 6, _ROWS)
    items = np.concatenate([rng.choice(np.arange(1, _ITEMS + 1), size, replace=False) for size in sizes])
    targets = Ragged(np.append(0, np.cumsum(sizes)), {"item": items.astype(np.int32)})
    vectors = rng.random((_ITEMS + 1, 5))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ranking, _ = rank(
        lambda rows: scores[rows].copy(), targets, _TOP, shares=np.append(1, rng.uniform(0.01, 1, _ITEMS)),
        vectors={name: csr_array(vectors) if "." in name else vectors for name in metric.reads}, whole=True,
    )  # fmt: skip
    return ranking


def check_prediction_metric(metric: PredictionMetric) -> None:
    """A value that depends on rows and their weights alone, is best for the labels themselves, and has contributions.

    A row of weight 2 is two rows. `lower_is_better` says in which direction the labels themselves are best.
    """
    assert metric.labels, f"labels is empty; expected some of {', '.join(_FORMS)}"
    for form in sorted(metric.labels):
        labels, predictions, weights, groups = _predictions(form)
        given = _Given(metric, labels, predictions, weights, groups)
        value = given.value()
        assert np.isfinite(value), f"{form}: the value is {value}"
        rows = np.arange(len(labels))
        _assert_close(given.value(rows[::-1]), value, f"{form}: values of rows in another order")
        if not metric.counts_places:
            _assert_close(given.value(weigh=3), value, f"{form}: values with weights three times as large")
        doubled = np.concatenate([rows, rows[weights == 2]])
        _assert_close(given.value(doubled, weigh=0), value, f"{form}: values with a row of weight 2 and with two rows")
        best, sign = given.value(perfect=True), -1 if metric.lower_is_better else 1
        assert sign * best >= sign * value, (
            f"{form}: {best} for the labels themselves, {value} for others; which is better?"
        )
        given.check_contributions(form)


class _Given:
    """What a metric is given, and ways to change it."""

    def __init__(self, metric: PredictionMetric, *given: np.ndarray) -> None:
        self.metric = metric
        self.labels, self.predictions, self.weights, self.groups = given

    def value(self, rows: np.ndarray | None = None, weigh: float = 1, *, perfect: bool = False) -> float:
        """The metric of some rows; `weigh` multiplies weights, 0 makes them 1; `perfect` predicts the labels."""
        rows = np.arange(len(self.labels)) if rows is None else rows
        weights = self.weights[rows] * np.float32(weigh) if weigh else np.ones(len(rows), np.float32)
        predictions = self._perfect() if perfect else self.predictions
        return self.metric.value(self.labels[rows], predictions[rows], weights, **self._groups(rows))

    def check_contributions(self, form: str) -> None:
        """Whether the mean of contributions is the metric."""
        rows = np.arange(len(self.labels))
        found = self.metric.contributions(self.labels, self.predictions, self.weights, **self._groups(rows))
        if found is not None:
            values, weights = found
            assert values.shape == weights.shape == rows.shape, f"{form}: expected contributions of each row"
            mean = float(np.average(values, weights=weights))
            _assert_close(mean, self.value(), f"{form}: the mean of the contributions and the value")

    def _groups(self, rows: np.ndarray) -> dict[str, Any]:
        if isinstance(self.metric, UnseenMetric):
            return {"unseen": self.groups[rows]}
        return {"groups": self.groups[rows]} if isinstance(self.metric, GroupedMetric) else {}

    def _perfect(self) -> np.ndarray:
        if self.predictions.ndim == 2 and self.labels.ndim == 1:
            classes: np.ndarray = np.eye(self.predictions.shape[1], dtype=np.float32)[self.labels]
            return classes
        return self.labels.astype(np.float32)


def _predictions(form: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Labels, predictions with ties, weights of 1 and 2, and groups of 200 rows."""
    classes, rng = _FORMS[form], np.random.default_rng(0)
    weights = rng.integers(1, 3, 200).astype(np.float32)
    groups = rng.integers(1, 9, 200)
    predictions = (rng.integers(1, 20, 200) / 20).astype(np.float32)
    if not classes:
        numbers = rng.poisson(1, 200) if form in ("count", "grades") else rng.normal(size=200)
        return numbers.astype(np.float32), predictions, weights, groups
    if classes < 0:
        several = (rng.integers(1, 20, (200, -classes)) / 20).astype(np.float32)
        return (rng.random((200, -classes)) < 0.3).astype(np.float32), several, weights, groups
    labels = rng.integers(0, classes, 200)
    if classes == 2:
        return labels.astype(np.float32), predictions, weights, groups
    several = rng.random((200, classes)).astype(np.float32)
    return labels.astype(np.int32), several / several.sum(1, keepdims=True), weights, groups


def check_baseline(baseline: Baseline, rows: tuple[LabeledRows, LabeledRows] | None = None) -> None:
    """A grid of its own kind, and scores or predictions that know nothing of what they are asked, the same each time.

    What happens from the cut on, labels of the rows asked for, and training rows of weight 0 do not matter.

    Args:
        baseline: the baseline.
        rows: of one that predicts: rows to train on, and to be asked for, if it reads others than those that are made up here,
            which have `user.id`, `item.id`, `user.town`, `context.hour` and `item.title`.
    """
    grid = baseline.grid()
    assert grid, "grid() is empty"
    assert all(type(setting) is type(baseline) for setting in grid), f"grid() has other baselines: {grid}"
    if baseline.form == "retrieval":
        _check_scores(baseline)
    else:
        made = {form: (_labeled(form, 0), _labeled(form, 1)) for form in ("binary", "classes", "numeric")}
        given = made if rows is None else {_form_of(rows[0]): rows}
        fitting = [_check_predictions(baseline, form, *of) for form, of in given.items()]
        assert any(fitting), "predict() is None for binary labels, classes and numbers alike"


def _check_scores(baseline: Baseline) -> None:
    dataset = sample_data()
    cut = Cut("test", 80 * DAY, 100 * DAY)
    fold = make_fold(dataset, cut, {})
    items, users = len(fold.entities["item"]), np.arange(1, len(fold.entities["user"]), dtype=np.int32)

    extra = {"vectors": _vectors(baseline.reads, items)} if isinstance(baseline, ContentBaseline) else {}

    def scores(events: Events) -> Callable[[np.ndarray], np.ndarray]:
        score = baseline.rank(events, cut.cut, items, **extra)
        assert score is not None, "rank() is None for a small shop"
        return score

    score = scores(fold.events)
    found = score(users)
    assert found.shape == (len(users), items), f"expected scores [{len(users)}, {items}], got {found.shape}"
    assert not np.isnan(found).any(), "scores are nan"
    _assert_close(score(users[1:]), found[1:], "scores of users with and without others beside them")
    _assert_close(scores(fold.events)(users), found, "scores when fitted again")
    late = fold.events.time >= cut.cut
    changed = {name: np.where(late, ids[::-1], ids) if name == "item" else ids for name, ids in fold.events.ids.items()}
    _assert_close(scores(replace(fold.events, ids=changed))(users), found, "scores when what happens later changes")


def _vectors(names: Sequence[str], items: int) -> dict[str, np.ndarray]:
    """Vectors of length 1 `[items, 8]`, and none for the unknown."""
    vectors = np.random.default_rng(0).normal(size=(items, 8))
    vectors[0] = 0
    return dict.fromkeys(names, vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-9))


def _form_of(rows: LabeledRows) -> str:
    return {0: "numeric", 2: "binary"}.get(rows.classes, "classes")


def _check_predictions(baseline: Baseline, form: str, train: LabeledRows, rows: LabeledRows) -> bool:
    """Whether the baseline predicts labels of this form; numbers are asked only of those that say so."""
    if form == "numeric" and not baseline.numeric:
        return False
    found = baseline.predict(train, rows)
    if found is None:
        return False
    shape = (len(rows.labels), *([rows.classes] if rows.classes > 2 else []))
    assert found.shape == shape, f"{form}: expected predictions {list(shape)}, got {found.shape}"
    assert np.isfinite(found).all(), f"{form}: predictions are not finite"
    if rows.classes:
        assert ((found >= 0) & (found <= 1)).all(), f"{form}: expected probabilities, got {found}"
    if rows.classes > 2:
        _assert_close(found.sum(1), np.ones(len(found)), f"{form}: sums of probabilities over classes and 1")
    removed = np.where(train.weights > 0, train.labels, 1).astype(train.labels.dtype)
    others: Mapping[str, tuple[LabeledRows, LabeledRows]] = {
        "when fitted again": (train, rows),
        "with other labels of the rows asked for": (train, replace(rows, labels=np.roll(rows.labels, 1))),
        "with other labels of training rows of weight 0": (replace(train, labels=removed), rows),
    }
    for what, given in others.items():
        _assert_close(baseline.predict(*given), found, f"{form}: predictions {what}")
    return True


def _labeled(form: str, seed: int) -> LabeledRows:
    """Rows with features of every kind, which tell something of the label."""
    rng = np.random.default_rng(seed)
    labels, _, _, groups = _predictions(form)
    labels = labels[rng.permutation(200)]
    columns = {
        "user.id": groups.astype(np.int32),
        "item.id": rng.integers(1, 10, 200).astype(np.int32),
        "user.town": np.where(labels > 0, "a", rng.choice(np.array(["b", None], object), 200)).astype(object),
        "context.hour": np.where(rng.random(200) < 0.1, np.nan, labels + rng.normal(size=200)).astype(np.float32),
        "item.title": np.array([f"thing {number}" for number in rng.integers(0, 9, 200)], object),
    }
    weights = (rng.random(200) < 0.9).astype(np.float32)
    kinds: Any = {
        "user.id": "id",
        "item.id": "id",
        "user.town": "categorical",
        "context.hour": "numeric",
        "item.title": "text",
    }
    return LabeledRows(columns, labels, weights, _FORMS[form], kinds, groups.astype(np.int32), "user")


def _assert_close(found: Any, expected: Any, what: str) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6, err_msg=f"{what} differ")
