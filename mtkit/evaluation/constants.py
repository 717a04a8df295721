"""What a head of predictions has to beat at the least: the same answer for every row; no TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from mtkit.data.row_tables import Tables
from mtkit.evaluation.metrics import labeled, predict_metrics
from mtkit.evaluation.user_sums import Measured
from mtkit.recipe.plan import Plan
from mtkit.recipe.settings import Evaluate
from mtkit.types import LabeledRows, MetricKey

#: What is lost in float32, relative to the value.
_ROUNDING = 1e-6
_ADVICE = "fewer epochs, more regularization, `calibrate`, or another rate of its rows"


def constant_metrics(plan: Plan, tables: Tables, settings: Evaluate) -> Measured:
    """`task/metric` -> what a constant reaches by the proper scores that are measured, whatever the baselines.

    The constant is the mean of the labels of the training rows, or the share of each class, by weight; of tables that keep a
    share of the negatives, as of all rows.
    """
    proper = {name: metric for name, metric in settings.prediction_metrics.items() if metric.proper}
    measured = Measured()
    for task, head in plan.predictions().items() if proper else ():
        parts = tables[head.rows]
        train, rows = (
            labeled(table.weighed(head.scales), head.predicts, numeric=head.numeric)
            for table in (parts["train"].of_population(head.predicts), parts["eval"])
        )
        measured |= predict_metrics(task, _constant(train, len(rows.labels)), rows, proper)
    return measured


def below_chance(plan: Plan, settings: Evaluate, model: Mapping[str, Any], constants: Mapping[str, Any]) -> list[str]:
    """Sentences on tasks that are worse than a constant, or than any order, each with what to do.

    Args:
        plan: the tasks.
        settings: the metrics.
        model: metric key -> value; None is undefined.
        constants: what `constant_metrics` found.
    """
    return [line for task in plan.predictions() for line in _below(task, plan, settings, model, constants)]


def below_popularity(
    plan: Plan, settings: Evaluate, model: Mapping[str, Any], baselines: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Sentences on tasks that rank worse than one order for everyone, where their loss may be why, with what to do.

    Args:
        plan: the tasks.
        settings: the metrics and the baselines; those that need no past are such orders.
        model: metric key -> value; None is undefined.
        baselines: name -> the same.
    """
    same = [name for name, baseline in settings.baselines.items() if not baseline.needs_past and name in baselines]
    found = []
    for task, head in plan.rankings().items():
        if not head.below_popularity:
            continue
        key = next((key for key in settings.deciding(task, head) if model.get(key) is not None), "")
        lower = bool(key) and head.lower_is_better(MetricKey.parse(key).metric, settings)
        values = {name: value for name in same if (value := baselines[name].get(key)) is not None}
        worse = {name: value for name, value in values.items() if (model[key] > value) == lower and model[key] != value}
        for name, value in list(worse.items())[:1]:
            found.append(
                f"task {task}: {key} is {model[key]:.4f}, worse than {value:.4f} of {name}; {head.below_popularity}"
            )
    return found


def _below(
    task: str, plan: Plan, settings: Evaluate, model: Mapping[str, Any], constants: Mapping[str, Any]
) -> Iterator[str]:
    for key in settings.keys(task, plan.tasks[task]):
        found, value = MetricKey.parse(key), model.get(key)
        metric = settings.prediction_metrics.get(found.metric)
        if value is None or found.slice or metric is None:
            continue
        what, bound = "a constant's", constants.get(key)
        if not metric.proper:
            what, bound = "that of an order by chance", metric.chance
        sign = 1 if metric.lower_is_better else -1
        if bound is not None and sign * (value - bound) > _ROUNDING * abs(bound):
            yield f"task {task}: {key} is {value:.4f}, worse than {what} {bound:.4f}; try {_ADVICE}"


def _constant(train: LabeledRows, rows: int) -> np.ndarray:
    """The same prediction for each of a number of rows: `[rows]`, or `[rows, classes]`."""
    there = train.weights > 0
    labels, weights = train.labels[there], train.weights[there].astype(np.float64)
    if train.classes <= 2 or labels.ndim == 2:
        mean = np.average(labels, axis=0, weights=weights)
    else:
        counts = np.bincount(labels.astype(int), weights, minlength=train.classes)
        mean = counts / counts.sum()
    return np.broadcast_to(mean, (rows, *np.shape(mean)))
