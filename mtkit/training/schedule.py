"""How long each task trains: what follows from the figures of validation after each epoch, and how it is repeated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mtkit.recipe.loader import Recipe
from mtkit.recipe.settings import Stop
from mtkit.types import MetricKey

LEAST_RANGE = 0.01
"""Of the size of a score: what its regret is a share of at least."""

MOST_SHARE = 4.0
"""The rate of a table that is learned is at most this multiple of the stated rate, and at least the stated rate divided by it."""


@dataclass(frozen=True)
class Judge:
    """The figure by which validation judges a task.

    Attributes:
        key: of the metric, `task/[slice/]metric[@k]`.
        lower: whether less is better.
    """

    key: str
    lower: bool

    def score(self, figures: Mapping[str, float]) -> float:
        """The figure as a number of which more is better; nan where it is undefined."""
        value = figures.get(self.key, np.nan)
        return -value if self.lower else value


def judges(recipe: Recipe) -> dict[str, Judge]:
    """Task -> by what it is judged: `evaluate.main` for its task, for others what the head says; without those not measured."""
    settings, found = recipe.evaluate, {}
    for name, head in recipe.task.items():
        if not (labels := head.metric_labels(settings)):
            continue
        main = settings.main if settings.main and name == settings.main_task and not head.judged_by else None
        key = MetricKey.parse(main or f"{name}/{head.judged_by or head.judging(settings)}")
        if key.label in labels:
            found[name] = Judge(str(key), head.lower_is_better(key.metric, settings))
    return found


@dataclass(frozen=True)
class Rules:
    """What a recipe says about the length of training.

    Attributes:
        epochs: the most.
        stop: what ends it before: nothing, no more progress of the `main` task, or of each `task` for itself.
        patience: epochs without progress after which that happens.
        main: the task of `evaluate.main`.
        limits: task -> epochs that it takes part in, at most.
        learned: whether the rates of row tables follow the progress of their tasks.
    """

    epochs: int
    stop: Stop
    patience: int
    main: str | None
    limits: Mapping[str, int]
    learned: bool = False

    @classmethod
    def of(cls, recipe: Recipe) -> Rules:
        """The rules of a recipe."""
        train = recipe.train
        limits = {name: head.epochs for name, head in recipe.task.items() if head.epochs}
        learned = train.rates == "learned"
        return cls(train.most_epochs, train.stops, train.patience, recipe.evaluate.main_task, limits, learned)

    @property
    def look(self) -> bool:
        """Whether anything depends on what validation says."""
        return self.learned or self.stop != "never"


class Schedule:
    """Which tasks train in which epoch, by the scores of validation so far.

    An epoch is the best of a task if no earlier one had as high a score. With `stop = "task"` a task leaves when `patience`
    epochs brought no better one, as it was in its best; with `"main"` all end when that is so for the main task. In the end the
    whole model is as it was after the `chosen` epoch.

    Args:
        rules: what the recipe says.
        tasks: task -> its row table, for all tasks of the recipe.
        scores: task -> its scores after each epoch, more being better, nan = undefined; tasks that are not measured are
            not there, and do not leave by themselves.
        repeated: whether all scores are known before: training for the test, which has no validation, ends at the chosen
            epoch without looking further.
    """

    def __init__(
        self,
        rules: Rules,
        tasks: Mapping[str, str],
        scores: Mapping[str, Sequence[float | None]],
        *,
        repeated: bool = False,
    ) -> None:
        self.rules, self.tasks, self.repeated = rules, dict(tasks), repeated
        self.scores = {name: np.array(values, np.float64) for name, values in scores.items()}

    def best(self, task: str, until: int | None = None) -> int | None:
        """The best epoch of a task, from 1, of the first `until`; None while nothing was measured."""
        scores = self.scores.get(task, np.empty(0))[:until]
        return int(np.nanargmax(scores)) + 1 if np.isfinite(scores).any() else None

    def stalls(self, task: str) -> int | None:
        """The epoch after which a task had not improved for `patience` epochs; None while it improves."""
        for epoch in range(1, len(self.scores.get(task, ())) + 1):
            best = self.best(task, epoch)
            if best is not None and epoch - best >= self.rules.patience:
                return epoch
        return None

    def leaves(self, task: str) -> int | None:
        """The epoch after which a task leaves; None = it has not, so far."""
        ends = [self.rules.limits.get(task), self.stalls(task) if self.rules.stop == "task" else None]
        return min((end for end in ends if end is not None), default=None)

    def resting(self, epoch: int) -> frozenset[str]:
        """The tasks that no longer train after a number of epochs."""
        return frozenset(task for task in self.tasks if (end := self.leaves(task)) is not None and end <= epoch)

    def shares(self, epoch: int) -> dict[str, float]:
        """Row table -> factor of its rows in a step after a number of epochs, from 1 / `MOST_SHARE` to `MOST_SHARE`.

        A table's progress is the mean relative gain of the scores of its tasks that train in an epoch. Its factor is
        multiplied by its progress as a share of the mean progress of all tables, between a half and two; by a half where
        there was none. What is new here is the rule; that validation sets the rates of tasks is of Jean, Firat and Johnson,
        Adaptive Scheduling for Multi-Task Learning, 2019, who compare with the scores of single-task models instead.
        """
        shares = dict.fromkeys(self.tasks.values(), 1.0)
        for number in range(2, epoch + 1) if self.rules.learned else ():
            gains = self._gains(number)
            mean = sum(max(gain, 0.0) for gain in gains.values()) / max(len(gains), 1)
            for table, gain in gains.items():
                by = min(max(gain / mean if mean > 0 else 1.0, 0.5), 2.0)
                shares[table] = min(max(shares[table] * by, 1 / MOST_SHARE), MOST_SHARE)
        return shares

    def _gains(self, epoch: int) -> dict[str, float]:
        """Row table -> mean relative gain of its tasks' scores in an epoch, of those that have scores."""
        resting, found = self.resting(epoch - 1), dict[str, list[float]]()
        for task, scores in self.scores.items():
            before, after = scores[epoch - 2 : epoch] if len(scores) >= epoch else (np.nan, np.nan)
            if task not in resting and np.isfinite([before, after]).all() and before:
                found.setdefault(self.tasks[task], []).append(float((after - before) / abs(before)))
        return {table: float(np.mean(gains)) for table, gains in found.items()}

    def chosen(self, until: int | None = None) -> int | None:
        """The epoch, from 1, in which the model is in the end, of the first `until`; None = the last.

        That of the main task's best score, or of the least mean regret of all tasks, each as a share of the range of its
        scores. Ranges widen as scores come, so it is the last epoch that had the least regret of all until then: those are the
        epochs of which the weights are kept.
        """
        if self.rules.stop == "main" and self.rules.main:
            return self.best(self.rules.main, until)
        found = [scores[:until] for scores in self.scores.values()]
        known = np.array([scores for scores in found if len(scores) and np.isfinite(scores).all()])
        if self.rules.stop == "never" or not known.size:
            return None
        return max(epoch for epoch in range(1, known.shape[1] + 1) if _least_regret(known[:, :epoch]) == epoch)

    @property
    def epochs(self) -> int:
        """The number of epochs, as far as it is known."""
        if self.repeated and (chosen := self.chosen()):
            return chosen
        ends = [self.leaves(task) for task in self.tasks]
        last = max((end for end in ends if end is not None), default=0) if None not in ends else self.rules.epochs
        if self.rules.stop == "main" and self.rules.main:
            last = min(last, self.stalls(self.rules.main) or last)
        return min(last, self.rules.epochs)

    def plain(self) -> dict[str, list[float]]:
        """What it follows from, beside the recipe: the scores of the tasks."""
        return {task: values.tolist() for task, values in self.scores.items()}

    def told(self, passes: Mapping[str, float]) -> dict[str, Any]:
        """How long training takes, for the record.

        Args:
            passes: row table -> passes over it.
        """
        left = {task: end for task in self.tasks if (end := self.leaves(task)) is not None}
        best = {task: epoch for task in self.scores if (epoch := self.best(task, left.get(task))) is not None}
        chosen = {"chosen_epoch": epoch} if (epoch := self.chosen()) else {}
        return {"epochs": self.epochs, **chosen, "passes": dict(passes), "best_epochs": best, "left_after": left}

    def returns(self, task: str, epoch: int) -> bool:
        """Whether what a task alone trains goes back to its best epoch after this one, in which it leaves, and others go on."""
        going_on = not self.repeated or epoch < self.epochs
        return (
            self.rules.stop == "task"
            and going_on
            and self.leaves(task) == epoch
            and (self.best(task, epoch) or epoch) < epoch
        )


def _least_regret(scores: np.ndarray) -> int:
    """The epoch, from 1, of the least mean regret.

    Args:
        scores: `[tasks, epochs]`, finite.
    """
    best, worst = scores.max(1, keepdims=True), scores.min(1, keepdims=True)
    # What moves by less than a hundredth only wavers.
    ranges = np.maximum(best - worst, np.abs(best) * LEAST_RANGE + np.finfo(np.float64).tiny)
    return int(np.argmin(np.mean((best - scores) / ranges, axis=0))) + 1
