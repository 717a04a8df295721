"""What a person sees of a run: populations, progress, and results beside baselines."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mtkit.runs.costs import tables
from mtkit.runs.last_screen import LastScreen
from mtkit.runs.text_report import TextReport
from mtkit.runs.work import Advance, Screen, at_work, indented
from mtkit.shown import counted, shown, shown_line

if TYPE_CHECKING:
    from mtkit.data.leakage import Finding
    from mtkit.evaluation.baseline_tuning import Tuned
    from mtkit.profile.findings import Finding as DataFinding
    from mtkit.recipe.loader import Recipe
    from mtkit.runs.results import RunResults
    from mtkit.spec import Cut
    from mtkit.training.fit import Training
    from mtkit.types import Part

PHASES = 2
NOBODY = Console(quiet=True)


class Reporter:
    """Prints a run's course and results.

    Args:
        console: where to; default: standard output, 80 columns where it is no terminal.
        verbosity: -1 = warnings and the last screen alone, 1 = all tables before it, too.
    """

    def __init__(self, console: Console | None = None, verbosity: int = 0) -> None:
        self.console, self.verbosity = console or Screen(), verbosity
        self._runs = 1
        self._number = 0
        self._told_rows = False
        self._alarms: list[str] = []

    @property
    def seconds(self) -> float:
        """The time of the CPU that printing has taken so far; 0 on a console of others."""
        return self.console.seconds if isinstance(self.console, Screen) else 0.0

    def start(self, recipe: Recipe, strategy: Any, directory: Path, runs: int) -> None:
        """Announces a recipe, and how often it runs; no strategy means without a model."""
        self._runs = runs
        self._recipe, self._directory = recipe, directory
        replicas = strategy.num_replicas_in_sync if strategy else 0
        where = counted(replicas, "replica") if replicas else "baselines alone"
        self._headed(recipe.name, f": {counted(len(recipe.task), 'task')}, {where}, results in {directory}")

    def run(self, name: str) -> None:
        """Announces one of several runs, by its directory (`seed-1`); an only one has no name."""
        self._number += 1
        self._last = self._directory / name
        if self._runs > 1:
            self._headed(f"\n{name.replace('-', ' ')}", f", {self._number} of {self._runs}")

    def phase(self, cut: Cut) -> None:
        """Announces a phase."""
        rest = "up to" if cut.clock is None else "without"
        does = (
            f"train {rest}, and tune baselines on," if cut.name == "valid" else f"train anew {rest}, and test once on,"
        )
        if cut.fit is not None:
            does = "test once, without training anew, on"
        self._headed(f"\n{cut.name}", f": {does} {cut.about}")

    def protocol(self, protocol: Mapping[str, Any]) -> None:
        """Says how the data are split."""
        sizes = ", ".join(f"{number:,} {part}" for part, number in protocol["interactions"].items())
        refit = "trained anew for the test" if protocol["refit"] else "not trained anew for the test"
        self._headed("split", f": {protocol['split']}; interactions: {sizes}; {refit}")

    def data(self, notes: Sequence[str]) -> None:
        """Says how data were read that could mean several things."""
        for note in notes:
            self.note(f"data: {note}")

    def note(self, message: str) -> None:
        """Says something that is worth knowing, and nothing to be done about."""
        self._indented(Text(shown(message)))

    def begins(self, directory: Path, lines: Sequence[str]) -> None:
        """Says what a model begins with, of an earlier run."""
        for line in (f"train.init_from: {directory}", *lines):
            self._indented(Text(shown_line(line)))

    def leaks(self, findings: Sequence[Finding]) -> None:
        """Says what training could know of what is evaluated."""
        for finding in findings:
            if finding.level == "note":
                self._indented(Text(shown(finding)))
            else:
                self.warn(str(finding))

    def profile(self, recipe: Recipe, findings: Sequence[DataFinding]) -> None:
        """Says what is suspicious about the data, a line each, and what says more."""
        for line in suspicions(recipe, findings):
            self.warn(shown_line(line))

    def rows(self, notes: Mapping[str, Mapping[Part, Mapping[str, Any]]], left_out: Mapping[str, Any]) -> None:
        """Says what the rows are, and what is not among them; of later phases, only where all is to be said."""
        if self._told_rows and self.verbosity <= 0:
            return
        self._told_rows = True
        table = Table.grid("rows", "part", "count", "population", padding=(0, 1))
        table.columns[2].justify = "right"
        table.columns[0].max_width = self.console.width // 3
        for column in table.columns[:3]:
            column.no_wrap = True
        for name, parts in notes.items():
            for part, note in parts.items():
                table.add_row(Text(name, "cyan"), part, f"{note['rows']:,}", Text(shown_line(note["population"])))
        self._indented(table)
        for reason, count in left_out["interactions"].items():
            if count:
                self._indented(Text(shown_line(f"left out: {counted(count, 'interaction')}, {reason}")))
        for name, reasons in left_out["rows"].items():
            for reason, count in reasons.items():
                if count:
                    self._indented(Text(shown_line(f"left out: {counted(count, 'row')} of {name}, {reason}")))

    def training(self, passes: Mapping[str, float], measured: Mapping[str, tuple[int, int]]) -> None:
        """Says how often training goes over each table, and what is measured after each epoch.

        Args:
            passes: row table -> passes.
            measured: row table -> how many of its rows are measured, and how many there are.
        """
        self._indented(Text(shown_line("passes: " + ", ".join(f"{name} {of:.2g}" for name, of in passes.items()))))
        if measured:
            rows = ", ".join(
                f"{name} {some:,}" + (f" of {all_:,}" if some < all_ else "") for name, (some, all_) in measured.items()
            )
            self._indented(Text(shown_line(f"validates each epoch on rows: {rows}")))

    @contextlib.contextmanager
    def progress(
        self, phase: str, training: Training, done: Callable[[Mapping[str, float]], None]
    ) -> Iterator[list[Any]]:
        """Keras callbacks that show the progress of a fit, and hand finished epochs to `done`."""
        from mtkit.runs.progress import Bar, EpochTable  # TensorFlow, which baselines do without
        from mtkit.training.fit import EpochLog
        from mtkit.training.judging import VALIDATION

        console = self.console if self.verbosity >= 0 else NOBODY
        judged = {task: f"{VALIDATION}{key}" for task, key in training.judged().items()}
        table = EpochTable(console, list(training.pipeline.model.trackers), judged)
        if training.step:
            self._indented(Text(f"goes on after step {training.step} of {training.steps}"))

        def epoch(numbers: Mapping[str, float]) -> None:
            done(numbers)
            table.add(numbers)

        fit = PHASES * (self._number - 1) + (1 if phase == "valid" else 2)
        with Bar(console, training, fit, PHASES * self._runs) as bar:
            yield [bar, EpochLog(training, epoch)]

    @contextlib.contextmanager
    def working(self, what: str, parts: int = 0) -> Iterator[Advance]:
        """Shows what is at work as long as it is, and afterwards what that took, if it took long.

        Args:
            what: what it is.
            parts: how many parts it has, of which the function that it gives is told; 0 = not known.
        """
        with at_work(self.console if self.verbosity >= 0 else NOBODY, what, parts) as advance:
            yield advance

    def edges(self, edges: Mapping[str, Mapping[str, Sequence[str]]], tuned: Tuned) -> None:
        """Says which options of baselines were set to the smallest or the largest value that was tried."""
        for name, of_task in edges.items():
            said = [
                f"{key} = {getattr(tuned[name][task], key):g} for {task}"
                for task, keys in of_task.items()
                for key in keys
            ]
            self.note(f"baseline {name} is best at the edge of what was tried: {', '.join(said)}")

    def exported(self, path: Path) -> None:
        """Says where the servable is."""
        self._indented(Text(shown_line(f"exported {path}")))

    def page(self, path: Path) -> None:
        """Says where the report is."""
        self.console.print(indented(Text(shown_line(f"{path}: all of it, as a page"))))

    def calibration(self, lines: Mapping[str, str]) -> None:
        """Says how the probabilities of tasks are corrected."""
        for task, line in lines.items():
            self._indented(Text(shown_line(f"calibration of {task}: {line}")))

    def warn(self, message: str) -> None:
        """Says what is not as it should be, and does no harm."""
        self.console.print(indented(Text(shown(message), "yellow")))

    def alarm(self, messages: Sequence[str]) -> None:
        """Keeps what nobody should miss; it is printed last."""
        run = f"{self._last.name}: " if self._runs > 1 else ""
        self._alarms += [f"{run}{message}" for message in messages]

    def results(self, results: RunResults, sections: Sequence[str]) -> None:
        """Prints the last screen; the long tables before it, where all is to be said."""
        if self.verbosity > 0:
            TextReport(self.console, self._recipe).all(results)
        LastScreen(self.console, self._recipe, self._directory, self._last).show(results, sections, self._alarms)

    def costs(self, record: Mapping[str, Any], trace: Path | None) -> None:
        """Prints what phases and components cost, and where the trace is; None = no step was traced."""
        for table in tables(record):
            self.console.print("", table)
        if trace is None:
            self.warn("no training step was traced: training was done already, or is shorter than two calls")
        else:
            self.console.print(Text(shown_line(f"A trace of {counted(record['step']['steps'], 'step')} is in {trace}")))

    def baselines(self, results: RunResults) -> None:
        """Prints what baselines reach on the test, a table per task and slice."""
        columns = results.baselines
        TextReport(self.console, self._recipe).tables(columns, results)
        if others := [name for name, values in columns.items() if not values]:
            self.warn(f"do not apply to these tasks and data: {', '.join(others)}; mtkit plugins show NAME says why")
        self.console.print(Text(shown(f"\nmetrics.json is in {self._directory}")))

    def _headed(self, head: str, text: str) -> None:
        if self.verbosity >= 0:
            self.console.print(Text.assemble((shown(head), "bold"), shown(text)))

    def _indented(self, what: Any) -> None:
        if self.verbosity >= 0:
            self.console.print(indented(what))


def suspicions(recipe: Recipe, findings: Sequence[DataFinding]) -> list[str]:
    """A line for each finding of a glance at the data, and what says more; none where nothing was found."""
    file = recipe.document.file
    more = [f"all checks of the data, and what to do: mtkit profile {file}"] if findings and file else []
    return [*(f"{finding.severity}: {finding}" for finding in findings), *more]
