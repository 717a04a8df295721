"""What a run keeps so that people can look at it later: samples of predictions and lists, rates, a time line; no TensorFlow.

All of it is bounded, whatever the size of the data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.stats import rankdata

from mtkit.data.catalogs import moments
from mtkit.data.columns import seconds
from mtkit.data.prepared import kept_record
from mtkit.data.row_tables import Tables
from mtkit.evaluation.baseline_tuning import labeled_rows
from mtkit.evaluation.metrics import labeled
from mtkit.evaluation.user_sums import TopLists
from mtkit.recipe.plan import Plan
from mtkit.spec import Cut, TaskHead
from mtkit.types import Dataset, Fold, LabeledRows, RowTable

#: Predictions that are kept of a task, and rows on which single columns are looked at.
MOST_ROWS, LOOKED_AT = 20_000, 5_000
#: Items of a list, of a past, and of what followed, that are kept.
LIST, PAST, TARGETS = 10, 20, 20
#: Items whose vectors are kept.
VECTORS = 2000
#: Intervals of the time line.
BINS = 60
#: Rows with a value, without which nothing is said of a column.
_ENOUGH = 50


def evenly(size: int, most: int) -> np.ndarray:
    """Numbers of rows, int64, ascending: all, or `most` that are spread evenly."""
    return np.unique(np.linspace(0, size - 1, min(size, most)).astype(np.int64))


def time_line(dataset: Dataset, valid: Cut, test: Cut) -> dict[str, Any] | None:
    """Interactions by time and part; None where interactions have no time.

    Returns:
        `edges`: seconds, one more than there are intervals. `counts`: part -> interactions in each.
    """
    if dataset.schema.time is None or not len(dataset.interactions):
        return None
    if kept := kept_record(dataset):
        return dict(kept.found["time_line"])
    times = seconds(dataset.interactions[dataset.schema.time])
    edges = np.linspace(times.min(), times.max() + 1, BINS + 1)
    parts = {"train": moments(dataset, valid) < valid.cut}
    for cut in (valid, test):
        clock = moments(dataset, cut)
        parts[cut.name] = (clock >= cut.cut) & (clock < cut.end)
    counts = {name: np.histogram(times[inside], edges)[0].tolist() for name, inside in parts.items()}
    return {"edges": edges.tolist(), "counts": counts}


def label_rates(plan: Plan, tables: Tables) -> dict[str, dict[str, dict[str, float]]]:
    """Task that predicts -> part -> `rows` with a label and, of labels of 0 and 1 or of numbers, their `mean`, by weight."""
    return {
        task: {part: _rate(_labels(table, head)) for part, table in tables[head.rows].items()}
        for task, head in plan.predictions().items()
    }


def _labels(table: RowTable, head: TaskHead) -> LabeledRows:
    weighed = table.weighed(head.scales).of_population(head.predicts)
    return labeled(weighed, head.predicts, numeric=head.numeric, form=head.form)


def _rate(rows: LabeledRows) -> dict[str, float]:
    there = rows.weights > 0
    found: dict[str, float] = {"rows": int(np.count_nonzero(there))}
    if there.any() and rows.labels.ndim == 1 and rows.classes in (0, 2):
        found["mean"] = float(np.average(rows.labels[there], weights=rows.weights[there].astype(np.float64)))
        found["positives"] = int(np.count_nonzero(rows.labels[there] > 0))
    return found


@dataclass(frozen=True)
class TaskEvidence:
    """What the kept predictions of a task are.

    Attributes:
        form: `binary`, `numeric`, `classes`, `scores`: an order of rows and no probabilities.
        rows: with a label.
        kept: of them in the file.
        classes: names of the classes.
    """

    form: str
    rows: int
    kept: int
    classes: Sequence[str] = ()

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def kept_predictions(table: RowTable, head: TaskHead, answers: np.ndarray) -> tuple[TaskEvidence, pa.Table] | None:
    """Predictions of a task beside labels and weights; None of labels with any number of classes.

    Args:
        table: the rows on which it is evaluated.
        head: its spec.
        answers: `[rows]`, or probabilities `[rows, classes]`.

    Returns:
        A table with `label`, `weight` and `prediction`; of several classes also the `confidence` in the predicted one and in
        the `true` one.
    """
    rows = labeled(table.weighed(head.scales), head.predicts, numeric=head.numeric, form=head.form)
    if rows.labels.ndim == 2:
        return None
    there = np.flatnonzero(rows.weights > 0)
    some = there[evenly(len(there), MOST_ROWS)]
    label, weight, found = rows.labels[some], rows.weights[some], answers[some]
    columns = {"label": label, "weight": weight.astype(np.float32)}
    if found.ndim == 2:
        columns |= {"prediction": found.argmax(1).astype(np.int32), "confidence": found.max(1).astype(np.float32)}
        columns["true"] = found[np.arange(len(found)), label.astype(int)].astype(np.float32)
    else:
        columns["prediction"] = found.astype(np.float32)
    form = {0: "numeric", 2: "binary"}.get(rows.classes, "classes")
    if head.form in ("scores", "grades"):
        form = "scores"
    elif found.ndim == 2:
        form = "classes"
    names = tuple(map(str, table.classes.get(head.predicts, ())))
    return TaskEvidence(form, len(there), len(some), names), pa.table(columns)


def kept_lists(top: TopLists, table: RowTable, fold: Fold, shares: np.ndarray | None) -> pa.Table:
    """Lists of a task with what users had before and what followed; items and users are rows of their catalogs.

    Returns:
        A table with `user`, `past` (the last items, the latest first), `past_size`, `targets`, `items`, `hits`, `relevant` and
        `popularity`, the share of users who had had each item of the list.
    """
    role, users = next(iter(table.ids.items()))
    event_item = fold.events.ids.get(fold.events.item or "")
    begins, ends = table.history[top.rows].T if len(table.history) else np.zeros((2, len(top.rows)), np.int64)
    past: list[Any] = [
        [] if event_item is None else event_item[max(begin, end - PAST) : end][::-1]
        for begin, end in zip(begins, ends, strict=True)
    ]
    targets, items = table.lists["target"].take(top.rows), top.items[:, :LIST]
    known = np.zeros(int(items.max(initial=0)) + 1) if shares is None else shares
    return pa.table(
        {
            "user": users[top.rows],
            "past": pa.array(past, pa.list_(pa.int32())),
            "past_size": ends - begins,
            "targets": pa.array(_rows_of(targets.offsets, targets.values["item"]), pa.list_(pa.int32())),
            "items": pa.array(list(items), pa.list_(pa.int32())),
            "hits": pa.array(list(top.hits[:, :LIST]), pa.list_(pa.bool_())),
            "relevant": top.relevant,
            "popularity": pa.array(list(known[items].astype(np.float32)), pa.list_(pa.float32())),
        }
    ).replace_schema_metadata({"user": fold.schema.scopes[role]})


def _rows_of(offsets: np.ndarray, values: np.ndarray) -> list[np.ndarray]:
    return [np.unique(values[a:b])[:TARGETS] for a, b in pairwise(offsets)]


def told_by_columns(plan: Plan, fold: Fold, tables: Tables) -> dict[str, dict[str, float]]:
    """Task -> address of a column that it reads -> how well this column alone orders the labels, from 0.5 to 1.

    That is the area under the ROC curve of the column, in the better direction, for labels that are 1, numbers above their
    median, or the most frequent class; a value of a category, or an id, is replaced by the rate of the other half of the rows
    that have it. It is measured on some of the evaluation rows. Labels with any number of classes, and grades, are left out.
    """
    found: dict[str, dict[str, float]] = {}
    for task, head in plan.predictions().items():
        table = tables[head.evaluated_on]["eval"].weighed(head.scales)
        there = np.flatnonzero(table.weights[head.predicts] > 0)
        some = table.take(there[evenly(len(there), LOOKED_AT)]) if len(there) else table
        rows = labeled_rows(fold, some, head.predicts, plan.features(task), numeric=head.numeric)
        if rows.labels.ndim == 1 and head.form != "grades" and (told := dict(_told(rows, _target(rows)))):
            found[task] = told
    return found


def _target(rows: LabeledRows) -> np.ndarray:
    """What columns are to tell, bool `[rows]`."""
    if rows.classes == 0:
        return np.asarray(rows.labels > np.median(rows.labels)) if len(rows.labels) else rows.labels > 0
    if rows.classes > 2:
        return np.asarray(rows.labels == np.bincount(rows.labels.astype(int), minlength=1).argmax())
    return np.asarray(rows.labels > 0)


def _told(rows: LabeledRows, label: np.ndarray) -> Iterator[tuple[str, float]]:
    for address, values in rows.columns.items():
        kind = rows.kinds.get(address)
        if values.ndim != 1 or kind in ("text", "list"):
            continue
        numeric = np.issubdtype(values.dtype, np.number) and kind == "numeric"
        scores = values.astype(np.float64) if numeric else _rates_of_others(values, label)
        there = np.isfinite(scores)
        if (area := auc(scores[there], label[there])) is not None:
            yield address, max(area, 1 - area) if numeric else area


def _rates_of_others(values: np.ndarray, label: np.ndarray) -> np.ndarray:
    """For each row the rate among rows of the other half with its value, drawn to the mean by one row; nan without a value."""
    missing = np.array([value is None for value in values]) if values.dtype == object else np.zeros(len(values), bool)
    _, place = np.unique(values.astype(str), return_inverse=True)
    half = np.arange(len(values)) % 2
    scores = np.full(len(values), np.nan)
    for side in (0, 1):
        other = half != side
        if not other.any():
            continue
        rows = np.bincount(place[other], minlength=place.max(initial=-1) + 1)
        ones = np.bincount(place[other], label[other], minlength=len(rows))
        rates = (ones + label.mean()) / (rows + 1)
        scores[half == side] = rates[place[half == side]]
    scores[missing] = np.nan
    return scores


def auc(scores: np.ndarray, label: np.ndarray) -> float | None:
    """The area under the ROC curve; None of few rows, or of one kind alone.

    Args:
        scores: float64 `[rows]`, finite.
        label: bool `[rows]`.
    """
    ones = int(np.count_nonzero(label))
    zeros = len(label) - ones
    if len(label) < _ENOUGH or not ones or not zeros:
        return None
    ranks = rankdata(scores)
    return float((ranks[label].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def kept_vectors(vectors: np.ndarray, shares: np.ndarray | None) -> pa.Table:
    """The vectors of the most popular items, or of the first ones, with their rows in the catalog.

    Args:
        vectors: float `[items, n]`, row 0 = the unknown.
        shares: float64 `[items]`, the share of users who have had each; None = not known.
    """
    items = np.arange(1, len(vectors))
    if shares is not None:
        items = items[np.argsort(-shares[1:], kind="stable")]
    items = items[:VECTORS].astype(np.int32)
    flat = pa.array(vectors[items].astype(np.float32).ravel(), pa.float32())
    column = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    known = np.zeros(len(vectors)) if shares is None else shares
    return pa.table({"item": items, "vector": column, "popularity": known[items].astype(np.float32)})


def most_popular(shares: np.ndarray | None, number: int = LIST) -> list[int]:
    """The items that most users have had, the first of them first; none where that is not known."""
    return [] if shares is None else [int(i) for i in np.argsort(-shares, kind="stable") if i and shares[i]][:number]
