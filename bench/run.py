"""Measures the project against the figures it promises, `targets.toml`.

Each distinct command runs once (or `repeat` times), and its rows are read from the JSON it prints last, or from a file
that it writes. Exit status 1 where a row misses its floor, ceiling or expected value, or has no value. Rows whose data
are not there are shown as such, and are no failure.

    python bench/run.py                       everything
    python bench/run.py --issue 2             rows of one issue
    python bench/run.py --only NAME...        rows whose name contains one of these
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shlex
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator
from rich.console import Console
from rich.table import Table

BENCH = Path(__file__).resolve().parent


class Target(BaseModel):
    """A figure that is promised.

    Attributes:
        name: unique.
        issue: where it is promised.
        command: what to run, from the repository root; `{tmp}` is one directory for all commands of a call.
        json_file: what the command writes, if the values are not in the last line it prints.
        after: a command that has to run before.
        key: dotted path to the value. `process.seconds` and `process.gigabytes` (the largest
            process, 2**30 bytes) are measured for every command.
        floor: the value must not be below.
        ceiling: the value must not be above.
        expected: the value must be this, give or take `tolerance`.
        goal: what is hoped for beyond floor or ceiling; missing it is shown, and is no failure.
        repeat: how often the command runs; the fastest counts.
        needs: a variable of the environment that says where the command's data are; not run where it is not set.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    issue: int
    command: str
    json_file: str = Field("", alias="json")
    after: str = ""
    key: str
    floor: float | None = None
    ceiling: float | None = None
    expected: float | None = None
    tolerance: float = 0
    goal: float | None = None
    repeat: int = Field(1, gt=0)
    needs: str = ""

    @model_validator(mode="after")
    def _bounded(self) -> Target:
        if self.floor is self.ceiling is self.expected is self.goal is None:
            raise ValueError(f"{self.name}: needs one of floor, ceiling, expected, goal")
        return self

    @property
    def left_out(self) -> bool:
        return bool(self.needs) and not os.environ.get(self.needs)

    def verdict(self, value: float | None) -> Literal["met", "below goal", "missed", "no value", "no data"]:
        if self.left_out:
            return "no data"
        if value is None or math.isnan(value):
            return "no value"
        outside = (
            (self.floor is not None and value < self.floor)
            or (self.ceiling is not None and value > self.ceiling)
            or (self.expected is not None and abs(value - self.expected) > self.tolerance)
        )
        if outside:
            return "missed"
        if self.goal is None:
            return "met"
        reached = value <= self.goal if self.ceiling is not None else value >= self.goal
        return "met" if reached else "below goal"

    @property
    def asked(self) -> str:
        """The bounds, for the table."""
        signs = {"≥": self.floor, "≤": self.ceiling, "=": self.expected, "goal": self.goal}
        return ", ".join(f"{sign} {number:g}" for sign, number in signs.items() if number is not None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", type=Path, default=BENCH / "targets.toml")
    parser.add_argument("--only", nargs="+", default=[""], metavar="NAME", help="rows whose name contains one of these")
    parser.add_argument("--issue", type=int, help="rows of this issue")
    parser.add_argument("--output", type=Path, help="file for the results as JSON")
    arguments = parser.parse_args()
    targets = [
        target
        for target in read(arguments.targets)
        if arguments.issue in (None, target.issue) and any(part in target.name for part in arguments.only)
    ]
    if not targets:
        sys.exit(f"no row of {arguments.targets} is selected")
    values = measure(targets)
    show(targets, values)
    if lacking := {target.needs for target in targets if target.left_out}:
        print(f"no data: {', '.join(sorted(lacking))} is not set", file=sys.stderr)
    if arguments.output:
        results = [target.model_dump() | {"value": values[target.name]} for target in targets]
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(results, indent=2) + "\n")
    sys.exit(any(target.verdict(values[target.name]) in ("missed", "no value") for target in targets))


def read(path: Path) -> list[Target]:
    """The rows of a file."""
    targets = [Target.model_validate(row) for row in tomllib.loads(path.read_text(encoding="utf-8"))["target"]]
    names = [target.name for target in targets]
    if repeated := {name for name in names if names.count(name) > 1}:
        sys.exit(f"{path}: names must be unique, got {sorted(repeated)} more than once")
    return targets


def measure(targets: Sequence[Target]) -> dict[str, float | None]:
    """Name -> value, None where the command failed or did not give it, or its data are not there."""
    done: dict[str, dict[str, Any]] = {}
    values = {}
    with tempfile.TemporaryDirectory(prefix="mtkit-bench-") as directory:
        for target in targets:
            if target.left_out:
                values[target.name] = None
                continue
            for command in filter(None, (target.after, target.command)):
                if command not in done:
                    repeat = target.repeat if command == target.command else 1
                    done[command] = run(command.replace("{tmp}", directory), repeat)
            results = done[target.command]
            if target.json_file:
                results = results | _load(Path(target.json_file.replace("{tmp}", directory)))
            values[target.name] = look_up(results, target.key)
    return values


def run(command: str, repeat: int) -> dict[str, Any]:
    """What a command printed last, if that is a JSON object, and `process`; empty if it failed."""
    print(f"$ {command}", file=sys.stderr)
    runs = [_run_once(shlex.split(command)) for _ in range(repeat)]
    if failed := [one for one in runs if one.status]:
        print(f"{failed[0].printed[-2000:]}\nexit status {failed[0].status}", file=sys.stderr)
        return {}
    fastest = min(runs, key=lambda one: one.seconds)
    process = {"seconds": fastest.seconds, "gigabytes": fastest.gigabytes}
    return _last_json(fastest.printed) | {"process": process}


class Run(NamedTuple):
    """One execution of a command."""

    status: int
    printed: str
    seconds: float
    gigabytes: float


def _run_once(words: Sequence[str]) -> Run:
    """Runs a command from the repository root, with the programs beside this Python first."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    with tempfile.TemporaryFile("w+", encoding="utf-8") as printed:
        begin = time.perf_counter()
        try:
            process = subprocess.Popen(words, cwd=BENCH.parent, env=os.environ | {"PATH": path}, stdout=printed)
        except FileNotFoundError as error:
            return Run(127, str(error), 0, 0)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - begin
        printed.seek(0)
        return Run(process.returncode, printed.read(), seconds, usage.ru_maxrss / 2**20)


def _last_json(printed: str) -> dict[str, Any]:
    lines = printed.strip().splitlines()
    if not lines or not lines[-1].startswith("{"):
        return {}
    try:
        return json.loads(lines[-1])
    except json.JSONDecodeError:
        return {}


def _load(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def look_up(results: Any, key: str) -> float | None:
    """The number at a dotted path; None where there is none."""
    for part in key.split("."):
        if not isinstance(results, Mapping) or part not in results:
            return None
        results = results[part]
    return results if isinstance(results, int | float) else None


def show(targets: Sequence[Target], values: Mapping[str, float | None]) -> None:
    """Prints measured against asked: a table on a terminal, tab-separated lines in a pipe."""
    rows = []
    for target in targets:
        value = values[target.name]
        number = "-" if value is None else f"{value:.4g}"
        rows.append((target.name, number, target.asked, target.verdict(value)))
    if not sys.stdout.isatty():
        print("\n".join(map("\t".join, rows)))
        return
    table = Table("target", "measured", "asked", "")
    for row in rows:
        table.add_row(*row, style={"met": "green", "below goal": "yellow", "no data": "yellow"}.get(row[-1], "red"))
    Console().print(table)


if __name__ == "__main__":
    main()
