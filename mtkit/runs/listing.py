"""The runs in a directory: what is known of them from their files, without plugins and without TensorFlow."""

from __future__ import annotations

import fcntl
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from mtkit.errors import RunError
from mtkit.runs.directory import RunDirectory

State = Literal["done", "running", "stopped", "damaged"]


@dataclass(frozen=True)
class Listed:
    """A run.

    Attributes:
        path: its directory.
        name: of its recipe; empty if the lock cannot be read.
        date: when it last wrote its results or its lock, ISO 8601, UTC.
        state: `done`, `running` (a process holds the directory), `stopped` (it can be resumed) or `damaged`.
        tasks: names.
        runs: how many seeds or folds; 1 = one run.
        metric: key of its main metric; None where there is none.
        value: of the model on the test, of several runs the mean; None where it is not known.
        baseline: the baseline that is best on validation, and its value, where the run says so.
        baseline_value: its value.
        verdict: what the run says of the model beside it.
    """

    path: str
    name: str
    date: str
    state: State
    tasks: tuple[str, ...] = ()
    runs: int = 1
    metric: str | None = None
    value: float | None = None
    baseline: str | None = None
    baseline_value: float | None = None
    verdict: str | None = None

    def plain(self) -> dict[str, Any]:
        """The run for JSON."""
        return asdict(self)


def list_runs(directory: Path) -> list[Listed]:
    """The run in a directory, or those in the directories below it, the latest first.

    Raises:
        RunError: there is no such directory.
    """
    if not directory.is_dir():
        raise RunError(f"{directory}: there is no such directory; expected one that holds runs, such as `runs`")
    own = RunDirectory(directory)
    found = [own] if own.begun() else [RunDirectory(path) for path in sorted(directory.iterdir()) if path.is_dir()]
    return sorted((_listed(run) for run in found if run.begun()), key=lambda run: run.date, reverse=True)


def _listed(run: RunDirectory) -> Listed:
    parts = [RunDirectory(path) for path in run.replicates()] or [run]
    written = run.metrics if run.metrics.exists() else parts[-1].lock
    date = datetime.fromtimestamp(written.stat().st_mtime, UTC).isoformat(timespec="seconds")
    try:
        recipe = tomllib.loads(parts[0].lock.read_text(encoding="utf-8"))
        results = json.loads(run.metrics.read_text(encoding="utf-8")) if run.metrics.exists() else {}
        main = recipe.get("evaluate", {}).get("main")
        told: dict[str, Any] = next(
            (v for v in results.get("verdicts") or () if f"{v['task']}/{v['metric']}" == main), {}
        )
        return Listed(
            str(run.path),
            str(recipe["name"]),
            date,
            "done" if results else "running" if _is_held(run) else "stopped",
            tuple(recipe["task"]),
            len(parts),
            main,
            _mean((results.get("test") or {}).get(main)),
            told.get("baseline"),
            told.get("value"),
            told.get("verdict"),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # files of others, or cut short
        return Listed(str(run.path), "", date, "damaged")


def _is_held(run: RunDirectory) -> bool:
    """Whether a process holds the directory."""
    try:
        handle = os.open(run.claim, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _mean(value: Any) -> float | None:
    mean: float | None = value["mean"] if isinstance(value, Mapping) else value
    return mean
