"""What a run found: the contents of `metrics.json`, and of what is kept of each phase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from mtkit.evaluation.calibration import Learned

#: Metric key (`task/[slice/]metric[@k]`) -> value; of several runs, mean, standard deviation and values.
Figures = Mapping[str, Any]


@dataclass(frozen=True)
class DataRecord:
    """What `data.json` holds: the fingerprint of the data that a run began with, and checksums of what encoders read."""

    fingerprint: str
    files: Mapping[str, str]


@dataclass(frozen=True)
class Before:
    """What `init/before.json` holds: what the model of the earlier run reaches on the rows of the test."""

    metrics: Mapping[str, float | None]


@dataclass(frozen=True)
class Scores:
    """What `scores.json` holds: task -> its figure after each epoch, more being better; None = undefined."""

    scores: dict[str, list[float | None]]


@dataclass(frozen=True)
class KeptCalibration:
    """What `calibration.json` holds: task -> what phase valid learned of its probabilities."""

    tasks: Mapping[str, Learned]


@dataclass(frozen=True)
class _Kept:
    """Fields that become keys, in their order; None is left out."""

    def plain(self) -> dict[str, Any]:
        """The fields as JSON has them."""
        values = {part.name: getattr(self, part.name) for part in fields(self)}
        values = {name: value.plain() if isinstance(value, _Kept) else value for name, value in values.items()}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class PhaseResults(_Kept):
    """What was found in one phase, `valid` or `test`.

    Attributes:
        model: the model's figures; None where there is no model.
        baselines: baseline -> its figures.
        tuned: baseline -> task -> the options that it was set to.
        constants: what the same answer for every row reaches by proper scores; None where there is no model.
        counts: `task[/slice]` -> rows behind the figures; of the test alone.
        intervals: of the test alone: `test`, metric key -> bounds of the model, and `baselines`, name -> the same.
        verdicts: of the test alone: each task beside its best baseline, as `mtkit.evaluation.verdicts` says.
        timing: seconds of each part.
        memory: MiB that the process had taken at most when each part ended.
        warnings: what was not as it should be.
        init: what the model began with, where that was another run's.
        calibration: task -> in `valid`, how its probabilities are corrected, and what that does to them, measured on rows of
            other users; in `test`, their calibration error beside that of labels drawn from them.
        left_out: interactions, and rows by row table, that are not there: reason -> how many.
        training: how long the model trained: epochs, passes over row tables, and when tasks left.
        unknown: task -> rows of unknown users, items, both, and of known ones beside -> what is said of them and what is so.
        edges: baseline -> task -> options that were set to the smallest or the largest value that was tried; of `valid` alone.
    """

    model: Figures | None
    baselines: Mapping[str, Figures]
    tuned: Mapping[str, Mapping[str, Mapping[str, Any]]]
    constants: Figures | None = None
    counts: Mapping[str, Any] | None = None
    intervals: Mapping[str, Any] | None = None
    verdicts: Sequence[Mapping[str, Any]] | None = None
    timing: Mapping[str, float] | None = None
    warnings: Sequence[str] | None = None
    init: Mapping[str, Any] | None = None
    calibration: Mapping[str, Any] | None = None
    left_out: Mapping[str, Any] | None = None
    training: Mapping[str, Any] | None = None
    unknown: Mapping[str, Any] | None = None
    edges: Mapping[str, Mapping[str, Sequence[str]]] | None = None
    memory: Mapping[str, float] | None = None


@dataclass(frozen=True)
class RunResults(_Kept):
    """What `metrics.json` holds.

    Attributes:
        protocol: how the data were split, and against what rows were ranked.
        test: the model's figures on the test; None of baselines alone.
        baselines: baseline -> its figures on the test.
        counts: `task[/slice]` -> rows behind the figures.
        intervals: `test`, metric key -> bounds of the model, and `baselines`, name -> the same.
        verdicts: each task beside the baseline that is best on validation; None without a model.
        constants: phase -> what the same answer for every row reaches by proper scores; None without predictions.
        valid: what validation found; None of several runs.
        timing: seconds of each part, and counters such as `texts_encoded`.
        memory: MiB that the process had taken at most when each part ended; None of several runs.
        warnings: what was not as it should be in training; None where all was.
        init: phase -> what its model began with; None where no other run's weights were taken.
        calibration: phase -> what it found, as of `PhaseResults`; None of several runs, and where nothing is calibrated.
        left_out: phase -> interactions, and rows by row table, that are not there: reason -> how many.
        training: phase -> how long its model trained; None of baselines alone.
        unknown: phase -> task -> group of rows -> its figures, as of `mtkit.evaluation.unknown_rows`; None of several runs, and
            where all users and items are known.
    """

    protocol: Mapping[str, Any]
    test: Figures | None
    baselines: Mapping[str, Figures]
    counts: Mapping[str, Any]
    intervals: Mapping[str, Any]
    verdicts: Sequence[Mapping[str, Any]] | None = None
    constants: Mapping[str, Figures] | None = None
    valid: PhaseResults | None = None
    timing: Mapping[str, Any] = field(default_factory=dict)
    warnings: Sequence[str] | None = None
    init: Mapping[str, Any] | None = None
    calibration: Mapping[str, Any] | None = None
    left_out: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] | None = None
    unknown: Mapping[str, Any] | None = None
    memory: Mapping[str, float] | None = None
