"""Figures of a run for notebooks: those of its report, by `matplotlib`; see docs/report.md."""

from mtkit.report.figures import (
    calibration,
    confusion,
    items,
    lift,
    precision_recall,
    residuals,
    roc,
    slices,
    time_line,
    training,
    verdicts,
    wiring,
)

__all__ = [
    "calibration",
    "confusion",
    "items",
    "lift",
    "precision_recall",
    "residuals",
    "roc",
    "slices",
    "time_line",
    "training",
    "verdicts",
    "wiring",
]
