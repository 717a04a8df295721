"""Checks of what training did."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from mtkit.report.findings import Found, finds
from mtkit.report.kept import KeptRun
from mtkit.report.markup import slug
from mtkit.report.numbers import percent

_GAIN = 0.02
#: Tasks whose weights are less than this part of the largest are off.
_OFF = 0.01


def _trained(run: KeptRun) -> dict[str, np.ndarray]:
    """Task -> its scores, of tasks with several, all defined, which stay as the last epoch left them."""
    training = (run.metrics.get("training") or {}).get("valid") or {}
    if training.get("chosen_epoch") or run.several:
        return {}
    left = training.get("left_after") or {}
    return {
        task: scores
        for task, scores in run.scores.items()
        if task not in left and len(scores) >= 2 and np.isfinite(scores).all()
    }


@finds("R018")
def overfit(run: KeptRun) -> Iterator[Found]:
    """Half of what was gained is lost again, and more than a hundredth, while the loss falls."""
    for task, scores in _trained(run).items():
        best = int(scores.argmax())
        lost, losses = scores[best] - scores[-1], run.losses(task, "valid")
        gained = max(float(np.ptp(scores)), np.finfo(float).tiny)
        falls = len(losses) == len(scores) and losses[-1] < losses[best]
        if lost > 0.01 * abs(scores[best]) and lost > gained / 2 and falls and best < len(scores) - 1:
            detail = f"best after epoch {best + 1} of {len(scores)}, then {percent(lost / abs(scores[best]))} worse"
            yield Found(task, detail, slug("course", task))


@finds("R019")
def undertrained(run: KeptRun) -> Iterator[Found]:
    """The last epoch is the best, by some."""
    for task, scores in _trained(run).items():
        gain = (scores[-1] - scores[-2]) / max(abs(scores[-2]), np.finfo(float).tiny)
        if scores.argmax() == len(scores) - 1 and gain > _GAIN:
            yield Found(task, f"{percent(gain)} better in epoch {len(scores)}, the last", slug("course", task))


@finds("R020")
def rows_not_seen(run: KeptRun) -> Iterator[Found]:
    """Of the training for the test."""
    training = run.metrics.get("training") or {}
    passes = (training.get("test") or training.get("valid") or {}).get("passes") or {}
    for table, number in passes.items():
        if number < 0.5:
            yield Found(f"rows.{table}", f"{number:.2g} passes", "course")


@finds("R021")
def diverged(run: KeptRun) -> Iterator[Found]:
    """By the losses of each phase."""
    for task in run.recipe.task:
        for phase in ("valid", "test"):
            losses = run.losses(task, phase, finite=False)
            if len(losses) and not np.isfinite(losses).all():
                yield Found(task, f"its loss is no number in phase {phase}", slug("course", task))
            elif len(losses) > 1 and losses[-1] > losses[0] + abs(losses[0]) / 2:
                detail = f"loss {losses[0]:.4g} after the first epoch of {phase}, {losses[-1]:.4g} after the last"
                yield Found(task, detail, slug("course", task))


@finds("R022")
def one_task_dominates(run: KeptRun) -> Iterator[Found]:
    """By the losses of the last epoch, times the weights of tasks and balancer."""
    weights = run.said.get("weights") or {task: head.weight for task, head in run.recipe.task.items()}
    last = {task: losses[-1] for task in run.recipe.task if len(losses := run.losses(task, "test"))}
    parts = {task: abs(weights.get(task, 1.0) * loss) for task, loss in last.items() if math.isfinite(loss)}
    whole = sum(parts.values())
    for task, of in parts.items():
        if len(parts) > 1 and whole and of / whole > 0.95:
            yield Found(task, f"{percent(of / whole)} of the weighted loss", "course")


@finds("R023")
def first_epoch_was_best(run: KeptRun) -> Iterator[Found]:
    """Of three epochs and more, and by some."""
    for task, scores in _trained(run).items():
        lost = (scores[0] - scores[1:].max()) / max(abs(scores[0]), np.finfo(float).tiny)
        if len(scores) > 2 and lost > 0.05:
            yield Found(task, f"{percent(lost)} worse in all later epochs", slug("course", task))


@finds("R039")
def turned_off(run: KeptRun) -> Iterator[Found]:
    """By the weights in the end, beside those that the recipe gives."""
    given = run.recipe.task
    weights = {
        task: w / given[task].weight for task, w in (run.said.get("weights") or {}).items() if given[task].weight
    }
    largest = max(weights.values(), default=0.0)
    for task, weight in weights.items():
        if weight < _OFF * largest:
            yield Found(task, f"weight {weight:.2g}, the largest {largest:.2g}", "course")


@finds("R037")
def hurt_by_others(run: KeptRun) -> Iterator[Found]:
    """By a task report, where one is given."""
    for verdict in run.tasks["verdicts"] if run.tasks else ():
        if verdict["told"] == "worse":
            yield Found(verdict["task"], "; ".join(verdict["evidence"]) or verdict["verdict"], "tasks")
