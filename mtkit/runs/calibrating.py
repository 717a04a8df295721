"""Calibration in a run: learned in phase valid, kept in the run directory, and taken up by the model of the test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from mtkit.model.assembly import Pipeline
from mtkit.model.calibration import calibrated_tasks, calibration_errors, learn_calibration, set_calibration
from mtkit.runs.directory import RunDirectory, write_json
from mtkit.runs.procedure import Run

_LEARNS = "valid"


def take_calibration(directory: RunDirectory, pipeline: Pipeline) -> None:
    """Gives the model of a test the calibrations that validation taught; that of validation has none.

    Raises:
        RunError: what was learned cannot be read.
    """
    tasks = calibrated_tasks(pipeline.plan)
    if tasks and pipeline.fold.name != _LEARNS:
        known = directory.read_calibration(tasks)
        set_calibration(pipeline.model, {task: known[task].calibration for task in tasks})


def calibration_results(run: Run, pipeline: Pipeline, answers: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What a phase has to say of calibration, by task; of validation it is learned here, and kept.

    Args:
        run: the run.
        pipeline: of the phase.
        answers: task -> what its head answers for the rows that it is evaluated on.
    """
    if pipeline.fold.name != _LEARNS:
        return calibration_errors(pipeline, answers)
    found = learn_calibration(pipeline, answers)
    if found:
        kept = {task: asdict(learned) for task, learned in found.items()}
        write_json(run.directory.calibration, {"tasks": kept})
        run.report.calibration({task: learned.about() for task, learned in found.items()})
    return {task: learned.plain() for task, learned in found.items()}
