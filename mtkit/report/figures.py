"""The figures of a report for notebooks: of a run directory, by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from mtkit.errors import RunError, nearest
from mtkit.report import charts
from mtkit.report.course import task_curves
from mtkit.report.declared import wiring_of
from mtkit.report.good import verdict_chart
from mtkit.report.kept import KeptRun
from mtkit.report.learned import item_map
from mtkit.report.measures import confusion as confusion_of
from mtkit.report.measures import ordering
from mtkit.report.measures import residuals as residuals_of
from mtkit.report.weak import slice_chart

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Run = str | Path | KeptRun
_Found = TypeVar("_Found")


def _kept(run: Run) -> KeptRun:
    return run if isinstance(run, KeptRun) else KeptRun(Path(run))


def verdicts(run: Run) -> Figure:
    """Relative differences of the model to the best baseline of each task, with 95 % intervals.

    Args:
        run: a run directory.

    Raises:
        RunError: there is no finished run, or no task has a baseline.
    """
    return _there(verdict_chart(_kept(run)), "no task stands beside a baseline")


def training(run: Run, task: str) -> Figure:
    """Loss of training, and the figure of validation, of a task after each epoch.

    Args:
        run: a run directory.
        task: its name.

    Raises:
        RunError: there is no finished run or no such task, or nothing was trained.
    """
    kept = _task(run, task)
    return _there(task_curves(kept, task), f"no losses of task {task} are kept")


def slices(run: Run, task: str) -> Figure:
    """The figure that judges a task in each slice, with 95 % intervals, beside the whole.

    Args:
        run: a run directory.
        task: its name.

    Raises:
        RunError: there is no finished run, no such task, or no slice of it.
    """
    kept = _task(run, task)
    return _there(slice_chart(kept, task), f"no slices of task {task} are measured; name some in evaluate.slices")


def calibration(run: Run, task: str) -> Figure:
    """How often what a task predicts comes true, by bins of its probability, or of its confidence in the predicted class.

    Args:
        run: a run directory.
        task: its name.

    Raises:
        RunError: there is no finished run, or the task predicts no probabilities.
    """
    kept, _ = _predictions(run, task, "binary", "classes")
    found = kept.reliability(task)
    return charts.reliability(found.confidence, found.frequency, found.weight)


def roc(run: Run, task: str) -> Figure:
    """The ROC curve of a task with labels of 0 and 1.

    Args:
        run: a run directory.
        task: its name.

    Raises:
        RunError: there is no finished run, or the task has no such labels.
    """
    found = _there(ordering(_predictions(run, task, "binary", "scores")[1]), f"labels of task {task} are of one kind")
    return charts.roc(found.false, found.true, found.area)


def precision_recall(run: Run, task: str) -> Figure:
    """Precision by recall; as `roc`."""
    found = _there(ordering(_predictions(run, task, "binary", "scores")[1]), f"labels of task {task} are of one kind")
    return charts.precision_recall(found.recall, found.precision, found.rate)


def lift(run: Run, task: str) -> Figure:
    """How many times more positives than on average the rows with the highest predictions have; as `roc`."""
    found = _there(ordering(_predictions(run, task, "binary", "scores")[1]), f"labels of task {task} are of one kind")
    return charts.lift(found.share, found.lift)


def confusion(run: Run, task: str) -> Figure:
    """What rows of a class are taken for, of the most frequent classes.

    Args:
        run: a run directory.
        task: its name.

    Raises:
        RunError: there is no finished run, or the task predicts no classes.
    """
    kept, rows = _predictions(run, task, "classes")
    found = confusion_of(rows, list(kept.classes(task)))
    return charts.matrix(found.shares, found.names, found.names, "predicted", "is")


def residuals(run: Run, task: str) -> Figure:
    """Labels less predictions of a task that predicts numbers: median and the middle 80 %, by predictions.

    Args:
        run: a run directory.
        task: its name.

    Raises:
        RunError: there is no finished run, or the task predicts no numbers.
    """
    found = residuals_of(_predictions(run, task, "numeric")[1])
    return charts.residuals(found.predicted, found.low, found.middle, found.high)


def items(run: Run, task: str) -> Figure:
    """A map of the most popular items, as a task that ranks has them (PCA).

    Args:
        run: a run directory.
        task: its name.

    Raises:
        RunError: there is no finished run, or no vectors of items are kept for the task.
    """
    kept = _task(run, task)
    found = _there(item_map(kept, task), f"no vectors of items are kept for task {task}")
    return charts.embedding(*found[:2])


def time_line(run: Run) -> Figure:
    """Interactions by time, by the part of the split that they are in.

    Args:
        run: a run directory.

    Raises:
        RunError: there is no finished run, or interactions have no time.
    """
    line = _there(_kept(run).data.get("time_line"), "interactions have no time, or it was not kept")
    return charts.time_line(line["edges"], line["counts"])


def wiring(run: Run) -> Figure:
    """From what encoders read, through encoders and correlations, to the tasks.

    Args:
        run: a run directory.

    Raises:
        RunError: there is no finished run.
    """
    return wiring_of(_kept(run).recipe.plan)


def _task(run: Run, task: str) -> KeptRun:
    kept = _kept(run)
    if task not in kept.recipe.task:
        raise RunError(f"{kept.path}: has no task {task!r}; {nearest(task, kept.recipe.task)}")
    return kept


def _predictions(run: Run, task: str, *forms: str) -> tuple[KeptRun, pd.DataFrame]:
    """The kept predictions of a task, if they are of one of these forms."""
    kept = _task(run, task)
    rows, form = kept.predictions(task), kept.form(task)
    if rows is None or form not in forms or not np.isfinite(rows["prediction"]).all():
        fitting = [name for name in kept.recipe.task if kept.form(name) in forms]
        others = f"; tasks that have them: {', '.join(fitting)}" if fitting else ""
        raise RunError(f"{kept.path}: task {task} has no kept predictions of the form {' or '.join(forms)}{others}")
    return kept, rows


def _there(found: _Found | None, message: str) -> _Found:
    if found is None:
        raise RunError(message)
    return found
