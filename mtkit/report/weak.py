"""Where is it weak? Slices, unknown ids, and what predictions are like beside their labels, task by task."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mtkit.report import charts
from mtkit.report.drawing import svg
from mtkit.report.kept import KeptRun
from mtkit.report.markup import Html, details, el, join, part, prose, section, slug, table
from mtkit.report.measures import confusion, ordering, residuals
from mtkit.report.numbers import NONE, bounds, figure, percent, value_of
from mtkit.types import MetricKey

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Where is it weak?"
_MOST_SLICES = 24


def weak(run: KeptRun) -> Html:
    """The section."""
    tasks = [
        el("div", el("h3", task), _task(run, task), class_="part", id=slug("weak", task)) for task in run.recipe.task
    ]
    return section("weak", TITLE, *tasks, part("Users and items that training has never seen", _unknown(run)))


def _task(run: KeptRun, task: str) -> Html:
    parts = [_slices(run, task), _said(run, task)]
    if not any(parts):
        return prose(
            "No slices are measured, and no predictions are kept: name slices in ", el("code", "evaluate.slices"), "."
        )
    return join(parts)


def _sliced(run: KeptRun, task: str) -> list[MetricKey]:
    """The figure that judges the task on the whole, and in slices, where it is defined; empty without slices."""
    deciding = run.deciding(task)
    if deciding is None:
        return []
    whole = MetricKey.parse(deciding)._replace(slice="")
    known = [key for key in map(MetricKey.parse, run.test) if value_of(run.test[str(key)]) is not None]
    found = [key for key in known if key.slice and key._replace(slice="") == whole][:_MOST_SLICES]
    return [*(key for key in known if key == whole), *found] if found else []


def slice_chart(run: KeptRun, task: str) -> Figure | None:
    """The figure that judges the task, by slices; None without slices."""
    keys = _sliced(run, task)
    if not keys:
        return None
    values = [value_of(run.test[str(key)]) or 0.0 for key in keys]
    pairs = [run.interval(str(key)) for key in keys]
    whole = None if keys[0].slice else values[0]
    return charts.intervals([key.slice or "whole" for key in keys], values, pairs, keys[0].label, whole)


def _slices(run: KeptRun, task: str) -> Html | None:
    keys, drawn = _sliced(run, task), slice_chart(run, task)
    if drawn is None:
        return None
    name = keys[0].label
    caption = f"{task}: {name} of parts of the test, with 95 % intervals; the dashed line is the whole."
    head = ("slice", "rows", name, "95 %", "best baseline there", "its value")
    found = table(f"{task}: {name} by slice", head, [_slice(run, key) for key in keys], numbers=(1, 2, 3, 5))
    return join([svg(drawn, slug("slices", task), caption), details("As numbers", found)])


def _slice(run: KeptRun, key: MetricKey) -> tuple[str, ...]:
    text, rows = str(key), run.rows(key.group)
    others = {name: number for name, of in run.baselines.items() if (number := value_of(of.get(text))) is not None}
    pick = min if run.recipe.lower_is_better(text) else max
    best = pick(others, key=others.__getitem__, default=None)
    beside = (best, figure(others[best])) if best is not None else (NONE, NONE)
    return (
        key.slice or "whole",
        NONE if rows is None else f"{rows:,}",
        figure(run.test.get(text)),
        bounds(run.interval(text)),
        *beside,
    )


def _said(run: KeptRun, task: str) -> Html | None:
    """Figures of the predictions of a task."""
    rows, form = run.predictions(task), run.form(task)
    if rows is None or not len(rows):
        return None
    if not np.isfinite(rows["prediction"]).all():
        return prose("Predictions are not finite, so there is nothing to draw.")
    told = run.said["predictions"][task]
    some = f"On {told['kept']:,} of {told['rows']:,} rows of the test." if told["kept"] < told["rows"] else ""
    drawn = {"binary": _binary, "scores": _ordering, "classes": _classes, "numeric": _numbers}[form](run, task, rows)
    return join([prose(some) if some else None, el("div", list(drawn), class_="grid")])


def _binary(run: KeptRun, task: str, rows: pd.DataFrame) -> Iterator[Html | None]:
    yield _reliability(run, task)
    yield from _ordering(run, task, rows)


def _reliability(run: KeptRun, task: str) -> Html:
    found = run.reliability(task)
    what = "a probability" if run.form(task) == "binary" else "the confidence in the predicted class"
    caption = (
        f"{task}: how often {what} comes true, by ten bins of as many rows. Calibration error {found.error:.4f}; a "
        f"calibrated model has {found.by_chance:.4f} on as many rows. Below the line, it promises too much."
    )
    return svg(charts.reliability(found.confidence, found.frequency, found.weight), slug("calibration", task), caption)


def _ordering(_run: KeptRun, task: str, rows: pd.DataFrame) -> Iterator[Html | None]:
    found = ordering(rows)
    if found is None:
        return
    yield svg(
        charts.roc(found.false, found.true, found.area), slug("roc", task),
        f"{task}: with which share of negatives which share of positives is found. The area is {found.area:.3f}; chance has 0.5.",
    )  # fmt: skip
    yield svg(
        charts.precision_recall(found.recall, found.precision, found.rate), slug("precision", task),
        f"{task}: which share of what is picked is positive, by the share of positives found. Chance has {percent(found.rate)}.",
    )  # fmt: skip
    tenth = float(np.interp(0.1, found.share, found.lift))
    yield svg(
        charts.lift(found.share, found.lift), slug("lift", task),
        f"{task}: how many times more positives the rows with the highest predictions have; in the first tenth {tenth:.2f}.",
    )  # fmt: skip


def _classes(run: KeptRun, task: str, rows: pd.DataFrame) -> Iterator[Html | None]:
    if {"confidence"} <= set(rows.columns):
        yield _reliability(run, task)
    found = confusion(rows, list(run.classes(task)))
    worst = _worst(found.shares, found.names)
    caption = (
        f"{task}: what rows of a class (down) are taken for (across), of the {len(found.names)} most frequent classes."
    )
    drawn = charts.matrix(found.shares, found.names, found.names, "predicted", "is")
    yield svg(drawn, slug("confusion", task), f"{caption} {worst}")
    own = [
        (name, f"{n:,}", percent(found.shares[i, i]))
        for i, (name, n) in enumerate(zip(found.names, found.rows, strict=True))
    ]
    yield table(f"{task}: classes", ("class", "rows", "found"), own, numbers=(1, 2))


def _worst(shares: np.ndarray, names: list[str]) -> str:
    wrong = shares - np.diag(np.diag(shares))
    if not wrong.any():
        return "None of them is taken for another."
    i, j = np.unravel_index(int(wrong.argmax()), wrong.shape)
    return f"Most often mistaken: {names[i]} for {names[j]}, {percent(wrong[i, j])} of its rows."


def _numbers(_run: KeptRun, task: str, rows: pd.DataFrame) -> Iterator[Html | None]:
    found, rest = residuals(rows), rows["label"] - rows["prediction"]
    caption = (
        f"{task}: labels less predictions, by predictions: the median and the middle 80 %. On average {rest.mean():.4g}, with a "
        f"standard deviation of {rest.std():.4g}; that of the labels is {rows['label'].std():.4g}."
    )
    yield svg(charts.residuals(found.predicted, found.low, found.middle, found.high), slug("residuals", task), caption)


def _unknown(run: KeptRun) -> Html | None:
    rows = []
    for task, groups in ((run.metrics.get("unknown") or {}).get("test") or {}).items():
        for group, of in groups.items():
            figures = (figure(of[name]) for name in ("auc", "log_loss", "mean_prediction", "rate"))
            rows.append((f"{task}, {group.replace('_', ' ')}", f"{of['rows']:,}", *figures))
    head = ("task, rows of", "rows", "AUC", "log loss", "mean prediction", "rate")
    return table("Predictions for unknown users and items, beside known ones", head, rows, numbers=range(1, 6))
