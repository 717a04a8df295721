"""What trackers note of runs: figures of epochs and of the test, as plain numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mtkit.runs.damage import reading
from mtkit.runs.directory import RunDirectory, write_json

_ANEW = "remove it, and epochs may be noted twice"


def epoch_figures(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of an epoch that can be drawn, without its own number."""
    return {name: float(value) for name, value in metrics.items() if name != "epoch" and _is_number(value)}


def final_figures(directory: RunDirectory) -> dict[str, float]:
    """The model's figures on the test, and those of baselines as `baselines/NAME/KEY`; of several seeds their means."""
    if not directory.metrics.exists():
        return {}
    with reading(directory.metrics, "restore it, or finish the run with mtkit run --resume"):
        found = json.loads(directory.metrics.read_text(encoding="utf-8"))
    groups = {"": found.get("test") or {}}
    groups |= {f"baselines/{name}/": figures for name, figures in (found.get("baselines") or {}).items()}
    values = {f"{group}{key}": _mean(value) for group, figures in groups.items() for key, value in figures.items()}
    return {key: value for key, value in values.items() if _is_number(value)}


def runs_in(directory: Path) -> Iterator[RunDirectory]:
    """The run in a directory, or those of several seeds or folds, each of which is tracked for itself."""
    whole = RunDirectory(directory)
    yield from map(RunDirectory, whole.replicates()) if not whole.lock.exists() else [whole]


class Noted:
    """What a tracker has noted of a run, in a file, so that a run that is taken up again is not noted twice.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[str, Any]:
        """What is there; nothing before the first epoch."""
        if not self._path.exists():
            return {}
        with reading(self._path, _ANEW):
            found: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
        return {key: value for key, value in found.items() if key != "format"}

    def write(self, **more: Any) -> None:
        """Adds to what is there."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self._path, self.read() | more)

    def is_new(self, phase: str, epoch: int) -> bool:
        """Whether an epoch was not noted."""
        last: int = self.read().get("epochs", {}).get(phase, 0)
        return epoch > last

    def note(self, phase: str, epoch: int) -> None:
        """Notes an epoch."""
        self.write(epochs={**self.read().get("epochs", {}), phase: epoch})


def _mean(value: Any) -> Any:
    return value.get("mean") if isinstance(value, Mapping) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
