"""Checks of the data, of how things were measured, and of what is left."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mtkit.report.findings import Found, finds
from mtkit.report.kept import KeptRun
from mtkit.report.markup import clipped
from mtkit.report.numbers import percent
from mtkit.spec import Baseline

_SAID_ELSEWHERE = (
    "worse than",
    "all of them by popularity",
    "rank these by popularity",
    "training knows too little of the unknown",
)
_LONG = 300


@finds("R012")
def leaks(run: KeptRun) -> Iterator[Found]:
    """Those that the run found, but for notes."""
    for leak in run.data.get("leaks") or ():
        if leak["level"] != "note":
            yield Found(leak["where"], clipped(leak["what"], _LONG), "data")


@finds("R013")
def suspicious(run: KeptRun) -> Iterator[Found]:
    """Those that the run found."""
    for one in run.data.get("findings") or ():
        yield Found(one["where"], clipped(f"{one['code']}: {one['title']}", _LONG), "data")


@finds("R016")
def left_out(run: KeptRun) -> Iterator[Found]:
    """Of interactions that are evaluated."""
    reasons = ((run.metrics.get("left_out") or {}).get("test") or {}).get("interactions") or {}
    lost = sum(int(count) for reason, count in reasons.items() if reason.startswith("eval"))
    whole = (run.metrics.get("protocol") or {}).get("interactions", {}).get("test", 0)
    if isinstance(whole, int) and whole and lost / whole > 0.2:
        yield Found("test", f"{lost:,} of {whole:,} interactions ({percent(lost / whole)})", "left-out")


@finds("R017")
def sampled(run: KeptRun) -> Iterator[Found]:
    """By the recipe."""
    number = run.recipe.evaluate.sampled
    for task in run.recipe.plan.rankings() if number else ():
        yield Found(task, f"against {number:,} items", "protocol")


@finds("R035")
def at_the_edge(run: KeptRun) -> Iterator[Found]:
    """Options of which several values were tried, and the smallest or the largest was best."""
    tuned = (run.metrics.get("valid") or {}).get("tuned") or {}
    for name, of_task in tuned.items():
        baseline = run.recipe.evaluate.baselines.get(name)
        tried = _tried(baseline) if baseline is not None else {}
        for option, values in tried.items():
            at = {task: chosen.get(option) for task, chosen in of_task.items()}
            for task, value in at.items():
                if value and value in (values[0], values[-1]):  # there is nothing below 0
                    shown = f"{values[0]:g} to {values[-1]:g}"
                    yield Found(f"{name}, {task}", f"{option} = {value:g}, tried from {shown}", "good")


def _tried(baseline: Baseline) -> dict[str, list[float]]:
    """Option -> the numbers that the grid has of it, ascending, where these are three at least."""
    values: dict[str, set[Any]] = {}
    for setting in baseline.grid():
        for option, value in setting.model_dump(mode="json").items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                values.setdefault(option, set()).add(value)
    return {option: sorted(found) for option, found in values.items() if len(found) > 2}


@finds("R036")
def no_export(run: KeptRun) -> Iterator[Found]:
    """Where the recipe has an exporter, and there was a model."""
    if run.test and run.recipe.export.servable and not run.export_bytes:
        yield Found(run.recipe.uses.get("export", "export"), f"mtkit export {run.directory.path}", "cost")


@finds("R038")
def warned(run: KeptRun) -> Iterator[Found]:
    """What no other check says."""
    for message in run.metrics.get("warnings") or ():
        if not any(part in message for part in _SAID_ELSEWHERE):
            phase, _, text = message.partition(": ")
            yield Found(phase, clipped(text or message, _LONG), "course")
