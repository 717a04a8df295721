"""What a run cost: seconds and memory by phase, and of a training step by component; no TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from mtkit.runs.results import RunResults
from mtkit.shown import shown_line

if TYPE_CHECKING:
    from mtkit.training.step_trace import StepCosts

#: What is told of -> the laps of a run that it has, without the phase before them.
PHASES: Mapping[str, tuple[str, ...]] = {
    "load": ("load",),
    "prepare": ("build",),
    "train": ("fit",),
    "evaluate": ("evaluate", "calibrate", "evidence", "intervals"),
    "baselines": ("baselines",),
    "export": ("export",),
}
_FOLDS = ("data", "valid", "test")


def costs(results: RunResults, step: StepCosts | None) -> dict[str, Any]:
    """What `costs.json` holds.

    Args:
        results: of the run; of several runs, means are told.
        step: what some training steps cost; None = none was traced.

    Returns:
        `phases`: a list of `phase`, `of` (`data`, `valid` or `test`), `seconds`, `share` of all of them, and `mebibytes`, the
        most that the process had taken until its end (None of several runs); `step`: None, or `steps` and `seconds` of one by
        the clock, and `parts`, a list of `part`, `forward` and `backward` seconds of its operations in a step, `share`, and
        `operations`.
    """
    found = list(_phases(results))
    whole = sum(phase["seconds"] for phase in found) or 1.0
    return {"phases": [phase | {"share": phase["seconds"] / whole} for phase in found], "step": step and _step(step)}


def _phases(results: RunResults) -> Iterator[dict[str, Any]]:
    memory = results.memory or {}
    for fold in _FOLDS:
        for phase, laps in PHASES.items():
            timed = [_mean(of) for lap in laps if (of := results.timing.get(f"{fold}_{lap}_seconds")) is not None]
            peaks = [memory[f"{fold}_{lap}"] for lap in laps if f"{fold}_{lap}" in memory]
            if timed:
                yield {"phase": phase, "of": fold, "seconds": sum(timed), "mebibytes": max(peaks, default=None)}


def _mean(value: Any) -> float:
    return float(value["mean"] if isinstance(value, Mapping) else value)


def _step(step: StepCosts) -> dict[str, Any]:
    whole = sum(cost.forward + cost.backward for cost in step.parts.values()) or 1.0
    parts = [
        {
            "part": part,
            "forward": cost.forward,
            "backward": cost.backward,
            "share": (cost.forward + cost.backward) / whole,
            "operations": cost.operations,
        }
        for part, cost in step.parts.items()
    ]
    return {"steps": step.steps, "seconds": step.seconds, "parts": parts}


def tables(record: Mapping[str, Any]) -> Iterator[Table]:
    """What `costs` told, as tables."""
    yield _phase_table(record["phases"])
    if record["step"] and record["step"]["parts"]:
        yield _part_table(record["step"])


def _table(title: str, first: str, *numbers: str) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False
    )
    table.add_column(first, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _phase_table(phases: list[Mapping[str, Any]]) -> Table:
    table = _table("Where the time went", "phase", "seconds", "share", "memory, MiB")
    for phase in phases:
        memory = "" if phase["mebibytes"] is None else f"{phase['mebibytes']:,.0f}"
        table.add_row(f"{phase['of']} {phase['phase']}", f"{phase['seconds']:.1f}", f"{phase['share']:.0%}", memory)
    return table


def _part_table(step: Mapping[str, Any]) -> Table:
    title = f"A training step, {1000 * step['seconds']:.1f} ms by the clock, by operations on the host"
    table = _table(title, "part", "forward, ms", "backward, ms", "share", "operations")
    for part in step["parts"]:
        times = (f"{1000 * part[way]:.2f}" for way in ("forward", "backward"))
        table.add_row(shown_line(part["part"]), *times, f"{part['share']:.0%}", f"{part['operations']:.0f}")
    return table
