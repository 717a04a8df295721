"""What a person sees of a task report: the plan, progress, and tables that fit 80 columns."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from mtkit.evaluation.task_relations import Effect
from mtkit.runs.console import Reporter
from mtkit.runs.task_fits import JOINT, Fit, Fits, Role
from mtkit.runs.task_report import TaskReport
from mtkit.runs.work import clock
from mtkit.shown import counted, shown, shown_line
from mtkit.types import MetricKey

_STYLES = {"keep": "bold green", "re-weight": "bold yellow", "train apart": "bold red"}
_COLUMNS = 5
"""Tasks beside one another in a table of 80 columns."""


class Quiet(Reporter):
    """Says of a fit only what is not as it should be, each message once."""

    def __init__(self, console: Console) -> None:
        super().__init__(Console(quiet=True))
        self._aloud, self._said = console, set[str]()

    def warn(self, message: str) -> None:
        """Says what is not as it should be, and does no harm."""
        if message not in self._said:
            self._said.add(message)
            self._aloud.print(Text(shown(f"  {message}"), "yellow"))


class TaskScreen:
    """Prints the plan, the progress and the results of a task report.

    Args:
        console: where to; default: standard output.
        quiet: whether only warnings are said, on standard error.
    """

    def __init__(self, console: Console | None = None, *, quiet: bool = False) -> None:
        self.console = console or Console(highlight=False, stderr=quiet)
        self.quiet = quiet
        self.fits = Quiet(self.console)

    def plan(self, name: str, roles: Sequence[Role], fits: Fits) -> None:
        """Says what will be fitted, and how much of it is done."""
        if self.quiet:
            return
        every, done = fits.all(), sum(fit.results() is not None for fit in fits.all())
        alone, without = (sum(role.kind == kind for role in roles) for kind in ("alone", "without"))
        self.console.print(Text.assemble((shown_line(name), "bold"), shown_line(f": task report in {fits.directory}")))
        self.console.print(
            Text(
                f"  {len(every)} fits: {counted(len(fits.seeds), 'seed')} of all tasks together, of {alone} alone, and without "
                f"each of {without}; {done} done before"
            )
        )

    @contextlib.contextmanager
    def progress(self, count: int) -> Iterator[Callable[[Fit, float], None]]:
        """Shows how far fits are; the function is told of each that is done, and what it took."""
        begin, done = time.perf_counter(), 0
        columns = (
            TextColumn("  {task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
        )
        bar = Progress(
            *columns, console=self.console, transient=True, disable=not self.console.is_terminal or self.quiet
        )
        with bar:
            number = bar.add_task("fits", total=count, left="")

            def told(fit: Fit, seconds: float) -> None:
                nonlocal done
                done += 1
                left = clock((time.perf_counter() - begin) / done * (count - done))
                bar.update(number, completed=done, left=f"about {left} left")
                if not (self.console.is_terminal or self.quiet):
                    line = f"  {done}/{count} {fit.role}, seed {fit.recipe.seed}: {seconds:.1f} s, about {left} left"
                    self.console.print(Text(shown_line(line)))

            yield told

    def report(self, report: TaskReport, path: Path) -> None:
        """Prints the tables."""
        self.console.print("", self._singles(report), sep="\n")
        for columns in _chunks(report.judged, _COLUMNS):
            self.console.print(Text("\ntransfer: what having the task of a row does for that of a column", "bold"))
            self.console.print(self._transfer(report, columns))
        if report.conflicts:
            self.console.print(Text("\ngradients of two tasks, while they train together", "bold"))
            self.console.print(self._gradients(report))
        for name, gate in report.gates().items():
            self.console.print("")
            self.console.print(Text(shown_line(f"gate {name}: what a task takes of each expert, at the end"), "bold"))
            self.console.print(_gate(gate))
        self._verdicts(report)
        self.console.print(Text(shown_line(f"{path} has all of it, by seed and by epoch.")))

    def _singles(self, report: TaskReport) -> Table:
        table = _table(("task", "metric"), ("alone", "joint", "gain", "95 %", "seen"), ("verdict",))
        for verdict in report.verdicts:
            task, effect = verdict.task, report.effects["", verdict.task]
            alone, joint = (_mean(report.figures(role, task)) for role in (Role("alone", task), JOINT))
            label = MetricKey.parse(report.judges[task].key).label
            word = Text(verdict.verdict, _STYLES[verdict.verdict])
            table.add_row(
                Text(shown_line(task)), Text(shown_line(label)), f"{alone:.4f}", f"{joint:.4f}", *_shares(effect), word
            )
        table.add_row("all", "Δm", "", "", *_shares(report.delta), "")
        return table

    def _transfer(self, report: TaskReport, columns: Sequence[str]) -> Table:
        table = _table(("",), [shown_line(task) for task in columns])
        rows = [("", "all others"), *((task, task) for task in report.tasks)]
        for key, name in rows:
            table.add_row(Text(shown_line(name)), *(_told(report.effects.get((key, task))) for task in columns))
        return table

    def _gradients(self, report: TaskReport) -> Table:
        table = _table(("tasks",), ("cosine", "95 %", "conflicts"), ("at",))
        for one in report.conflicts:
            bounds = "" if one.interval is None else " ".join(f"{bound:+.2f}" for bound in one.interval)
            names = Text(shown_line(", ".join(one.tasks)))
            table.add_row(names, f"{one.cosine:+.2f}", bounds, f"{one.conflicts:.0%}", one.at)
        return table

    def _verdicts(self, report: TaskReport) -> None:
        self.console.print("")
        for verdict in report.verdicts:
            power = ""
            if verdict.told == "not told apart":
                power = ": one seed and no users tell nothing" if verdict.detectable is None else (
                    f"; a difference of {verdict.detectable:.1%} would have been seen"
                )  # fmt: skip
            by = f" from {', '.join(verdict.by)}" if verdict.verdict == "train apart" else ""
            line = f": {verdict.told} with the others{power}" + "".join(f"; {text}" for text in verdict.evidence)
            head = (shown_line(f"{verdict.task}: {verdict.verdict}{by}"), _STYLES[verdict.verdict])
            self.console.print(Text.assemble(head, shown_line(line)))
        count = sum(effect.p is not None for effect in report.effects.values())
        self.console.print(
            Text(
                f"\n* p < 0.05 by Holm's correction for {counted(count, 'comparison')}, over seeds and users. `seen`: what would "
                "be found 8 times of 10, uncorrected."
            )
        )
        if len(report.figures(JOINT, report.judged[0])) < 2:
            self.console.print(Text("One seed: chance of training is not in the intervals; ask for --seeds 3 or more."))


def _table(left: Sequence[str], right: Sequence[str], end: Sequence[str] = ()) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    for name in left:
        table.add_column(name, overflow="fold")
    for name in right:
        table.add_column(name, justify="right", overflow="fold")
    for name in end:
        table.add_column(name, no_wrap=True)
    return table


def _shares(effect: Effect) -> tuple[str, str, str]:
    """Gain, interval and what would have been seen, as shares."""
    gain, bounds = effect.share(effect.gain), effect.interval
    star = "*" if effect.told else ""
    interval = "" if bounds is None else " ".join(_percent(effect.share(bound)) for bound in bounds)
    return f"{_percent(gain)}{star}", interval, _percent(effect.share(effect.detectable), sign="")


def _told(effect: Effect | None) -> Text:
    if effect is None:
        return Text("-", "dim")
    style = {1: "bold green", -1: "bold red", 0: "dim"}[effect.told]
    return Text(f"{_percent(effect.share(effect.gain))}{'*' if effect.told else ' '}", style)


def _percent(share: float | None, sign: str = "+") -> str:
    return "" if share is None else f"{share:{sign}.1%}"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _gate(gate: dict[str, Any]) -> Table:
    shown_ = gate["experts"][: _COLUMNS + 1]
    table = _table(("task",), [*shown_, "entropy"])
    for task, shares, entropy in zip(gate["tasks"], gate["shares"], gate["entropy"], strict=True):
        table.add_row(Text(shown_line(task)), *(f"{share:.0%}" for share in shares[: len(shown_)]), f"{entropy:.2f}")
    return table


def _chunks(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    yield from (names[begin : begin + size] for begin in range(0, len(names), size))
