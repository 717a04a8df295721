"""The course of a run as JSON, an object a line, for programs that watch it: `--log json`."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mtkit.runs.console import NOBODY, Reporter
from mtkit.shown import shown_values

if TYPE_CHECKING:
    from mtkit.data.leakage import Finding
    from mtkit.profile.findings import Finding as DataFinding
    from mtkit.recipe.loader import Recipe
    from mtkit.runs.results import RunResults
    from mtkit.runs.work import Advance
    from mtkit.spec import Cut
    from mtkit.training.fit import Training
    from mtkit.types import Part

#: Event -> the keys that it has beside `time` and `event`; documented in docs/terminal.md, and a promise.
EVENTS: Mapping[str, tuple[str, ...]] = {
    "start": ("name", "tasks", "replicas", "runs", "directory"),
    "run": ("directory", "number", "of"),
    "note": ("message",),
    "finding": ("code", "severity", "message"),
    "leak": ("severity", "message"),
    "split": ("split", "interactions", "refit"),
    "phase": ("phase", "about"),
    "rows": ("table", "part", "rows", "population"),
    "left_out": ("what", "reason", "count"),
    "training": ("passes", "validated"),
    "epoch": ("phase", "epoch", "seconds", "rows_per_second", "figures"),
    "work": ("what", "state", "seconds"),
    "calibration": ("task", "message"),
    "exported": ("path",),
    "report": ("path",),
    "warning": ("message",),
    "verdict": ("task", "metric", "model", "interval", "baseline", "value", "difference", "verdict"),
    "section": ("text",),
    "costs": ("phases", "step", "trace"),
    "end": ("directory", "seconds", "warnings"),
}


class JsonReporter(Reporter):
    """Writes what happens, an object a line.

    Args:
        file: where to; default: standard output.
    """

    def __init__(self, file: IO[str] | None = None) -> None:
        super().__init__(NOBODY)
        self._file, self._seconds = file, 0.0

    @property
    def seconds(self) -> float:
        """The time of the CPU that writing has taken so far."""
        return self._seconds

    def _say(self, event: str, *values: Any) -> None:
        begin = time.thread_time()
        keys = dict(zip(EVENTS[event], values, strict=True))
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **_plain(keys)}
        print(json.dumps(line, allow_nan=False), file=self._file or sys.stdout, flush=True)
        self._seconds += time.thread_time() - begin

    def start(self, recipe: Recipe, strategy: Any, directory: Path, runs: int) -> None:
        """`start`."""
        super().start(recipe, strategy, directory, runs)
        self._say(
            "start", recipe.name, list(recipe.task), strategy.num_replicas_in_sync if strategy else 0, runs, directory
        )

    def run(self, name: str) -> None:
        """`run`, of several."""
        super().run(name)
        if self._runs > 1:
            self._say("run", self._last, self._number, self._runs)

    def phase(self, cut: Cut) -> None:
        """`phase`."""
        self._say("phase", cut.name, cut.about)

    def protocol(self, protocol: Mapping[str, Any]) -> None:
        """`split`."""
        self._say("split", protocol["split"], protocol["interactions"], protocol["refit"])

    def data(self, notes: Sequence[str]) -> None:
        """`note`, of the data."""
        for note in notes:
            self._say("note", note)

    def begins(self, directory: Path, lines: Sequence[str]) -> None:
        """`note`, of what a model begins with."""
        for line in (f"train.init_from: {directory}", *lines):
            self._say("note", line)

    def note(self, message: str) -> None:
        """`note`."""
        self._say("note", message)

    def leaks(self, findings: Sequence[Finding]) -> None:
        """`leak`."""
        for finding in findings:
            self._say("leak", finding.level, str(finding))

    def profile(self, recipe: Recipe, findings: Sequence[DataFinding]) -> None:
        """`finding`."""
        for finding in findings:
            self._say("finding", finding.code, finding.severity, str(finding))

    def rows(self, notes: Mapping[str, Mapping[Part, Mapping[str, Any]]], left_out: Mapping[str, Any]) -> None:
        """`rows` and `left_out`."""
        for name, parts in notes.items():
            for part, note in parts.items():
                self._say("rows", name, part, note["rows"], note["population"])
        for what, reasons in {"interactions": left_out["interactions"], **left_out["rows"]}.items():
            for reason, count in reasons.items():
                self._say("left_out", what, reason, count)

    def training(self, passes: Mapping[str, float], measured: Mapping[str, tuple[int, int]]) -> None:
        """`training`."""
        self._say("training", passes, measured)

    @contextlib.contextmanager
    def progress(
        self, phase: str, training: Training, done: Callable[[Mapping[str, float]], None]
    ) -> Iterator[list[Any]]:
        """`epoch`."""
        from mtkit.training.fit import EpochLog

        def epoch(numbers: Mapping[str, float]) -> None:
            done(numbers)
            known = {name: numbers[name] for name in ("epoch", "seconds", "rows_per_second")}
            figures = {name: value for name, value in numbers.items() if name not in known}
            self._say("epoch", phase, int(known["epoch"]), known["seconds"], known["rows_per_second"], figures)

        with self.working(f"fit, phase {phase}"):
            yield [EpochLog(training, epoch)]

    @contextlib.contextmanager
    def working(self, what: str, parts: int = 0) -> Iterator[Advance]:
        """`work`, when it begins and when it is done."""
        begin = time.perf_counter()
        self._say("work", what, "begun", 0.0)
        yield lambda count: None  # noqa: ARG005 - events are few
        self._say("work", what, "done", time.perf_counter() - begin)

    def exported(self, path: Path) -> None:
        """`exported`."""
        self._say("exported", path)

    def page(self, path: Path) -> None:
        """`report`."""
        self._say("report", path)

    def calibration(self, lines: Mapping[str, str]) -> None:
        """`calibration`."""
        for task, line in lines.items():
            self._say("calibration", task, line)

    def warn(self, message: str) -> None:
        """`warning`."""
        self._say("warning", message)

    def results(self, results: RunResults, sections: Sequence[str]) -> None:
        """`verdict` of each task and metric, `section` of hooks, and `end`."""
        for line in results.verdicts or ():
            bounds = results.intervals.get("test", {}).get(f"{line['task']}/{line['metric']}")
            self._say("verdict", *(bounds if key == "interval" else line[key] for key in EVENTS["verdict"]))
        for section in sections:
            self._say("section", section)
        self._end(results)

    def costs(self, record: Mapping[str, Any], trace: Path | None) -> None:
        """`costs`."""
        self._say("costs", record["phases"], record["step"], trace)

    def baselines(self, results: RunResults) -> None:
        """`end`."""
        self._end(results)

    def _end(self, results: RunResults) -> None:
        total = results.timing["total_seconds"]
        seconds = sum(total["values"]) if isinstance(total, Mapping) else total
        self._say("end", self._directory, seconds, list(results.warnings or ()))


def _plain(value: Any) -> Any:
    """Values as JSON has them, as they may be shown; what is undefined is null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return shown_values(str(value) if isinstance(value, Path) else value)
