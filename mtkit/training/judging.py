"""Validation after each epoch: what is measured, what is kept of the best epochs, and which tasks leave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from mtkit.backend import tf
from mtkit.evaluation.user_sums import Measured
from mtkit.feed.interface import evaluation_of
from mtkit.model.assembly import Pipeline
from mtkit.model.model_evaluation import Evaluator
from mtkit.model.private_parts import private_weights
from mtkit.training.schedule import Rules, Schedule, judges
from mtkit.types import MetricKey

VALIDATION = "val_"
"""Before the key of a figure of an epoch, as Keras has it."""


class Validation:
    """Measures the tasks of a pipeline on a sample of its evaluation rows, as its model is now.

    Of rankings it measures the figure by which they are judged alone, of predictions all metrics; of slices none but that of
    such a figure.

    Args:
        pipeline: the model and its rows.
        rows: the most of a table, evenly spread over it.
    """

    def __init__(self, pipeline: Pipeline, rows: int) -> None:
        self.judges = judges(pipeline.recipe)
        whole = pipeline.protocol()
        protocols = {task: whole.only(MetricKey.parse(judge.key)) for task, judge in self.judges.items()}
        self._evaluator = Evaluator(pipeline, protocols, pipeline.recipe.evaluate.prediction_metrics, rows)

    def measured(self) -> Measured:
        """Metric key -> value."""
        return self._evaluator.measured()

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Row table -> how many rows are measured, and how many there are."""
        plan = self._evaluator.pipeline.plan
        tables = dict.fromkeys(map(plan.rows_of, self.judges))
        feed = self._evaluator.model.feed
        return {name: (len(self._evaluator.rows(name)), feed.size(evaluation_of(name))) for name in tables}


class Course(tf.Module):
    """The course of a training: its schedule, by what validation has said, and the best epochs so far.

    It is a part of the checkpoints, so that a run is taken up with all that it had decided. To be made in the strategy's scope.

    Args:
        pipeline: the model.
        epochs: the most.
        repeats: the schedule of the validation phase, which is repeated; None = this is that phase, or nothing stops it.
        validated: whether validation will say something.
    """

    def __init__(self, pipeline: Pipeline, repeats: Schedule | None = None, *, validated: bool = False) -> None:
        super().__init__(name="course")
        recipe, self._model = pipeline.recipe, pipeline.model
        self._rules, self._judges = Rules.of(recipe), judges(recipe) if validated else {}
        if not (validated or repeats):
            self._rules = replace(self._rules, stop="never", learned=False)
        self._repeats = repeats
        self._tables = {name: spec.rows for name, spec in pipeline.plan.tasks.items()}
        self.scores = None
        if self._judges:
            nothing = np.full([self._rules.epochs, len(self._judges)], np.nan)
            self.scores = tf.Variable(nothing, trainable=False, name="scores")
        tasks = [*self._model.heads] if self._rules.stop == "task" else []
        self._own = {task: private_weights(self._model, task) for task in tasks}
        self.best = {task: [*map(_copy, weights)] for task, weights in self._own.items()}
        decides = self._rules.stop != "never" and repeats is None
        self.chosen = [*map(_copy, self._model.weights)] if decides else []

    def schedule(self, epoch: int) -> Schedule:
        """The schedule, as it is known after a number of epochs."""
        if self._repeats is not None:
            return self._repeats
        values = [] if self.scores is None else self.scores.numpy()[:epoch].T.tolist()
        return Schedule(self._rules, self._tables, dict(zip(self._judges, values, strict=True)))

    def judge(self, epoch: int, figures: Mapping[str, float]) -> None:
        """Takes what validation says after an epoch, from 1."""
        assert self.scores is not None, "without validation nothing is judged"
        values = self.scores.numpy()
        values[epoch - 1] = [judge.score(figures) for judge in self._judges.values()]
        self.scores.assign(values)

    def end(self, epoch: int) -> None:
        """Ends an epoch, from 1: keeps what was best so far, and goes back to it where a task leaves, or training ends."""
        schedule = self.schedule(epoch)
        if self.chosen and schedule.chosen(epoch) == epoch:
            _assign(self.chosen, self._model.weights)
        for task, weights in self._own.items():
            if schedule.best(task, epoch) == epoch and task not in self._model.resting:
                _assign(self.best[task], weights)
            if schedule.returns(task, epoch):
                _assign(weights, self.best[task])
        if self.chosen and epoch == schedule.epochs and schedule.chosen(epoch) not in (None, epoch):
            _assign(self._model.weights, self.chosen)
        self._model.rest(schedule.resting(epoch))


def _copy(weight: Any) -> tf.Variable:
    return tf.Variable(weight, trainable=False, name="best")


def _assign(to: list[Any], values: list[Any]) -> None:
    for variable, value in zip(to, values, strict=True):
        variable.assign(value)
