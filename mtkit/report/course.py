"""What did training do? Losses and validation by task, passes, weights, and what tasks did to one another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from mtkit.report import charts
from mtkit.report.drawing import svg
from mtkit.report.kept import KeptRun
from mtkit.report.markup import Html, details, el, part, prose, section, slug, table
from mtkit.report.numbers import NONE, figure, signed_percent
from mtkit.report.records import TaskRecord
from mtkit.training.schedule import judges

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "What did training do?"
#: Before the figures of validation in the history of a run.
_VALIDATION = "val_"
_PHASES = ("valid", "test")


def course(run: KeptRun) -> Html:
    """The section."""
    return section(
        "course",
        TITLE,
        _told(run),
        el("div", [_curves(run, task) for task in run.recipe.task], class_="grid"),
        part("Passes over the row tables", _passes(run)),
        part("Weights of the tasks", *_weights(run)),
        part("What tasks do to one another", *_tasks(run), place="tasks"),
        part("Warnings", *(prose(text) for text in run.metrics.get("warnings") or ())),
        details("All epochs as numbers", _epochs(run)),
    )


def _told(run: KeptRun) -> Html:
    if not len(run.history):
        return prose("Nothing was trained.")
    training = (run.metrics.get("training") or {}).get("valid") or {}
    epochs = int(run.history["epoch"].max())
    kept = f" The model is as it was after epoch {training['chosen_epoch']}." if training.get("chosen_epoch") else ""
    return prose(
        f"{epochs} epochs; phase valid trains up to validation, measured after each epoch, and phase test trains anew on all "
        f"before the test.{kept} Losses of different kinds have different units: one of hundreds beside one of 0.3 may be a sum "
        "over targets beside a mean over rows. Compare a loss with itself."
    )


def task_curves(run: KeptRun, task: str) -> Figure | None:
    """Loss and validation of a task; None where no losses are kept."""
    losses = {phase: values for phase in _PHASES if len(values := run.losses(task, phase))}
    name, scores, _ = _judged(run, task)
    return charts.curves(task, losses, {name: scores} if len(scores) else {}, name) if losses else None


def _judged(run: KeptRun, task: str) -> tuple[str, np.ndarray, bool]:
    """The figure by which validation judges a task, its values after each epoch, and whether less of it is better."""
    judge, scores = judges(run.recipe).get(task), run.scores.get(task)
    if judge is None or scores is None or not np.isfinite(scores).any():
        return "", np.empty(0), False
    return judge.key.removeprefix(f"{task}/"), -scores if judge.lower else scores, judge.lower


def _curves(run: KeptRun, task: str) -> Html | None:
    drawn = task_curves(run, task)
    if drawn is None:
        return None
    name, scores, lower = _judged(run, task)
    ends = [f"{values[-1]:.4g} ({phase})" for phase in _PHASES if len(values := run.losses(task, phase))]
    caption = f"{task}: loss of training, in the end {' and '.join(ends)}"
    if len(scores):
        caption += f", and {name} of validation, {'less' if lower else 'more'} is better{_best_epoch(run, task)}"
    return el("div", svg(drawn, slug("course", task), f"{caption}."), id=slug("course", task))


def _best_epoch(run: KeptRun, task: str) -> str:
    training = (run.metrics.get("training") or {}).get("valid") or {}
    best, left = (training.get(name, {}).get(task) for name in ("best_epochs", "left_after"))
    told = f"; best after epoch {best}" if best else ""
    return f"{told}; it left after epoch {left}" if left else told


def _passes(run: KeptRun) -> Html | None:
    training = run.metrics.get("training") or {}
    phases = [phase for phase in ("valid", "test") if (training.get(phase) or {}).get("passes")]
    rows = []
    for name, spec in run.recipe.rows.items():
        tasks = ", ".join(task for task, head in run.recipe.task.items() if head.rows == name)
        rate = f"{spec.batch_size:,} in a batch" if spec.batch_size else f"{spec.passes:g} passes in an epoch"
        passes = (f"{training[phase]['passes'].get(name, 0):.2f}" for phase in phases)
        rows.append((name, tasks or NONE, rate, *passes))
    head = ("rows", "tasks", "rate", *(f"passes, {phase}" for phase in phases))
    return table("How often training went over each table", head, rows, numbers=range(3, 3 + len(phases)))


def _weights(run: KeptRun) -> Iterator[Html | None]:
    balance, learned = run.recipe.uses.get("balance", ""), run.said.get("weights")
    rows = []
    for task, head in run.recipe.task.items():
        losses = run.losses(task, "test")
        own = NONE if not learned else f"{learned.get(task, float('nan')):.3g}"
        rows.append((task, f"{head.weight:g}", own, f"{losses[-1]:.4g}" if len(losses) else NONE))
    yield table(f"Balanced by {balance}", ("task", "of the recipe", "in the end", "last loss"), rows, numbers=(1, 2, 3))
    if not learned:
        yield prose(f"{balance} tells no weights of its own: it has none, or others in each step.")


def _tasks(run: KeptRun) -> Iterator[Html | None]:
    """What a task report says."""
    if not run.tasks:
        yield prose(
            "Not measured in a run: ",
            el("code", "mtkit tasks RECIPE"),
            " measures it, and ",
            el("code", "mtkit report --tasks"),
            " shows it here.",
        )
        return
    names = [str(name) for name in run.tasks["tasks"]]
    values = np.array([[np.nan if v is None else v for v in row] for row in run.tasks["affinity"]["matrix"]], float)
    texts = [
        [signed_percent(v) if np.isfinite(v) and i != j else "" for j, v in enumerate(row)]
        for i, row in enumerate(values)
    ]
    caption = "What the task of a row does for that of a column, as a share of its figure; red is harm."
    drawn = charts.matrix(np.clip(values * 10, -1, 1), names, names, "does to", "the task", texts)
    yield svg(drawn, "transfer", caption)
    rows = [(one["task"], one["verdict"], one["told"], "; ".join(one["evidence"])) for one in run.tasks["verdicts"]]
    yield table("Verdicts of the task report", ("task", "verdict", "with the others it is", "why"), rows)
    yield from _conflicts(run.tasks)
    yield from _gates(run.tasks)


def _conflicts(tasks: TaskRecord) -> Iterator[Html | None]:
    rows = [
        (" and ".join(map(str, one["tasks"])), str(one["at"]), figure(one.get("cosine")), figure(one.get("conflicts")))
        for one in tasks.get("gradients", ())
        if "tasks" in one
    ]
    yield table(
        "Gradients of two tasks at what they share",
        ("tasks", "at", "mean cosine", "share opposed"),
        rows,
        numbers=(2, 3),
    )


def _gates(tasks: TaskRecord) -> Iterator[Html | None]:
    for name, gate in tasks.get("gates", {}).items():
        shares = np.array(gate["shares"], float)
        caption = f"{name}: which experts the gate of each task takes, mean shares."
        yield svg(charts.matrix(shares, gate["tasks"], gate["experts"], "experts", "task"), slug("gate", name), caption)


def _epochs(run: KeptRun) -> Html | None:
    columns = [name for name in run.history.columns if name not in ("phase", "epoch")]
    rows = [
        (f"{row['phase']} {row['epoch']:.0f}", *(f"{row[name]:.4g}" for name in columns))
        for _, row in run.history.iterrows()
    ]
    heads = [
        name.removeprefix(_VALIDATION) if name.startswith(_VALIDATION) else name.replace("_", " ") for name in columns
    ]
    return table("Epochs", ("epoch", *heads), rows, numbers=range(1, len(columns) + 1))
