"""Checks of what tasks predict, and of the labels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mtkit.report.findings import Found, finds
from mtkit.report.kept import KeptRun
from mtkit.report.markup import slug
from mtkit.report.measures import confusion
from mtkit.report.numbers import figure, percent

_GOLDEN, _FEW = 0.98, 20


@finds("R011")
def golden_feature(run: KeptRun) -> Iterator[Found]:
    """By what single columns tell of the labels of the test."""
    for task, columns in (run.said.get("columns") or {}).items():
        for address, area in columns.items():
            if area >= _GOLDEN:
                yield Found(task, f"{address}: AUC {figure(area)}", slug("columns", task))


@finds("R014")
def rate_differs(run: KeptRun) -> Iterator[Found]:
    """Of labels of 0 and 1 with 100 positives on both sides."""
    for task, parts in (run.said.get("labels") or {}).items():
        train, test = parts.get("train", {}), parts.get("eval", {})
        enough = min(train.get("positives", 0), test.get("positives", 0)) >= 100
        if run.form(task) != "binary" or not enough:
            continue
        low, high = sorted((train["mean"], test["mean"]))
        if low > 0 and high / low > 1.5:
            yield Found(task, f"{percent(train['mean'])} in training, {percent(test['mean'])} in the test", "labels")


@finds("R015")
def few_of_a_kind(run: KeptRun) -> Iterator[Found]:
    """Of labels of 0 and 1."""
    for task, parts in (run.said.get("labels") or {}).items():
        test = parts.get("eval", {})
        if run.form(task) == "binary" and "positives" in test:
            ones, zeros = test["positives"], test["rows"] - test["positives"]
            if min(ones, zeros) < _FEW:
                yield Found(task, f"{ones:,} rows with 1, {zeros:,} with 0", "labels")


@finds("R024")
def miscalibrated(run: KeptRun) -> Iterator[Found]:
    """Of probabilities of 200 rows and more."""
    for task in run.recipe.task:
        rows = run.predictions(task)
        if rows is None or len(rows) < 200 or run.form(task) not in ("binary", "classes") or not _finite(rows):
            continue
        found = run.reliability(task)
        if found.error > 0.02 and found.error > 2 * found.by_chance:
            detail = f"error {figure(found.error)}, {figure(found.by_chance)} by chance"
            yield Found(task, detail, slug("weak", task))


def _finite(rows: object) -> bool:
    return bool(np.isfinite(rows["prediction"]).all())  # type: ignore[index]


@finds("R025")
def all_alike(run: KeptRun) -> Iterator[Found]:
    """Of probabilities and numbers of 50 rows and more."""
    for task in run.recipe.task:
        rows, form = run.predictions(task), run.form(task)
        if rows is None or len(rows) < 50 or form == "classes" or not _finite(rows):
            continue
        spread, mean = float(rows["prediction"].std()), abs(float(rows["prediction"].mean()))
        scale = mean if form == "binary" else float(rows["label"].std())
        if spread < 0.01 * scale or spread == 0:
            yield Found(task, f"mean {figure(mean)}, standard deviation {spread:.2g}", slug("weak", task))


@finds("R026")
def never_predicted(run: KeptRun) -> Iterator[Found]:
    """Classes of some size."""
    for task in run.recipe.task:
        rows = run.predictions(task)
        if rows is None or run.form(task) != "classes":
            continue
        for name, count in confusion(rows, list(run.classes(task))).never.items():
            if count >= max(_FEW, 0.05 * len(rows)):
                yield Found(task, f"{name}: {count:,} of {len(rows):,} rows", slug("weak", task))


@finds("R027")
def off_on_average(run: KeptRun) -> Iterator[Found]:
    """Of numbers of 50 rows and more."""
    for task in run.recipe.task:
        rows = run.predictions(task)
        if rows is None or run.form(task) != "numeric" or len(rows) < 50 or not _finite(rows):
            continue
        mean, label, spread = rows["prediction"].mean(), rows["label"].mean(), rows["label"].std()
        if abs(mean - label) > 0.2 * spread:
            yield Found(task, f"{figure(mean)} predicted, {figure(label)} so", slug("weak", task))
