"""Calibration of the heads of a trained model, by the rows that it is evaluated on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from mtkit.evaluation.calibration import Calibration, Learned, error, error_by_chance, learn
from mtkit.evaluation.metrics import labeled
from mtkit.heads.base import Head
from mtkit.heads.prediction import PredictionHead
from mtkit.model.assembly import Pipeline
from mtkit.model.model_evaluation import evaluate
from mtkit.model.multi_task import MultiTaskModel
from mtkit.recipe.plan import Plan
from mtkit.spec import PredictionTask
from mtkit.types import LabeledRows


def calibrated_tasks(plan: Plan) -> dict[str, Literal["temperature", "isotonic"]]:
    """Task -> how it is to be calibrated, for those that are."""
    found = {name: spec.calibration for name, spec in plan.tasks.items() if isinstance(spec, PredictionTask)}
    return {name: use for name, use in found.items() if use is not None}


def calibrate(pipeline: Pipeline) -> dict[str, Learned]:
    """Calibrates the heads of a trained model by its evaluation rows, as a run does by those of validation.

    Until it is called again, `predict`, `mtkit.evaluate` and exports give calibrated probabilities; figures on these same rows
    flatter them.

    Args:
        pipeline: of the model.

    Returns:
        Task -> what was learned, for the tasks that the recipe wants to be calibrated.
    """
    tasks = calibrated_tasks(pipeline.plan)
    set_calibration(pipeline.model, dict.fromkeys(tasks))
    answers: dict[str, np.ndarray] = {}
    if tasks:
        evaluate(pipeline, metrics={}, tasks=tasks, answers=answers)
    found = learn_calibration(pipeline, answers)
    set_calibration(pipeline.model, {task: learned.calibration for task, learned in found.items()})
    return found


def set_calibration(model: MultiTaskModel, calibrations: Mapping[str, Calibration | None]) -> None:
    """Sets what corrects the answers of some tasks; None = nothing does."""
    for task, calibration in calibrations.items():
        model.heads[task].calibration = calibration
    model.predict_function = None  # Keras keeps what it traced before


def learn_calibration(pipeline: Pipeline, answers: Mapping[str, np.ndarray]) -> dict[str, Learned]:
    """Task -> what its evaluation rows teach.

    Args:
        pipeline: of the rows.
        answers: task -> its predictions on them, not calibrated.
    """
    found = {}
    for task, use in calibrated_tasks(pipeline.plan).items():
        if _usual(pipeline.model.heads[task]):
            found[task] = learn(use, answers[task], _rows(pipeline, task))
        else:
            found[task] = Learned(None, "its layer answers, or evaluates, in a way of its own", 0)
    return found


def calibration_errors(pipeline: Pipeline, answers: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Task -> its calibration error, and that of labels drawn from its predictions, `calibration_error_by_chance`.

    Args:
        pipeline: of the rows.
        answers: task -> its predictions on them.
    """
    found: dict[str, dict[str, float]] = {}
    for task in calibrated_tasks(pipeline.plan):
        if not _usual(pipeline.model.heads[task]):
            continue
        rows = _rows(pipeline, task)
        there = rows.weights > 0
        labels, predictions, weights = rows.labels[there], answers[task][there], rows.weights[there]
        if there.any() and np.isfinite(predictions).all():
            found[task] = {
                "calibration_error": error(labels, predictions, weights),
                "calibration_error_by_chance": error_by_chance(predictions, weights),
            }
    return found


def _usual(head: Head) -> bool:
    """Whether the answers of a head are those of its base class, which calibrates them."""
    return isinstance(head, PredictionHead) and all(
        getattr(type(head), name) is getattr(PredictionHead, name) for name in ("answers", "evaluate")
    )


def _rows(pipeline: Pipeline, task: str) -> LabeledRows:
    """The evaluation rows of a task, as it weighs them."""
    spec = pipeline.plan.tasks[task]
    return labeled(pipeline.tables[spec.evaluated_on]["eval"].weighed(spec.scales), spec.predicts)
