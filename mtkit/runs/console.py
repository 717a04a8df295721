"""What a person sees of a run: populations, progress, and results beside baselines."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from mtkit.evaluation.unknown_rows import UnknownRows
from mtkit.shown import counted, shown, shown_line
from mtkit.types import MetricKey

if TYPE_CHECKING:
    from mtkit.data.leakage import Finding
    from mtkit.profile.findings import Finding as DataFinding
    from mtkit.recipe.loader import Recipe
    from mtkit.runs.results import RunResults
    from mtkit.spec import Cut
    from mtkit.training.fit import Training
    from mtkit.types import Part

PHASES = 2
_WORTH_A_LINE = 1.0
"""Seconds of a baseline's work that are said."""
_MODEL = "mtkit"
_INDENT = (0, 0, 0, 2)
_TEST = "test"
_INTERVAL = "95 %"
_GAP = 2


class Reporter:
    """Prints a run's course and results.

    Args:
        console: where to; default: standard output, 80 columns where it is no terminal.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self._runs = 1
        self._number = 0
        self._alarms: list[str] = []

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
            self._indented(Text(shown(f"data: {note}")))

    def begins(self, directory: Path, lines: Sequence[str]) -> None:
        """Says what a model begins with, of an earlier run."""
        for line in (f"train.init_from: {directory}", *lines):
            self._indented(Text(shown_line(line)))

    def leaks(self, findings: Sequence[Finding]) -> None:
        """Says what training could know of what is evaluated."""
        for finding in findings:
            self._indented(Text(shown(finding), "" if finding.level == "note" else "yellow"))

    def profile(self, recipe: Recipe, findings: Sequence[DataFinding]) -> None:
        """Says what is suspicious about the data, a line each, and what says more."""
        for line in suspicions(recipe, findings):
            self._indented(Text(shown_line(line), "yellow"))

    def rows(self, notes: Mapping[str, Mapping[Part, Mapping[str, Any]]], left_out: Mapping[str, Any]) -> None:
        """Says what the rows are, and what is not among them."""
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

        judged = {task: f"{VALIDATION}{key}" for task, key in training.judged().items()}
        table = EpochTable(self.console, list(training.pipeline.model.trackers), judged)
        if training.step:
            self._indented(Text(f"goes on after step {training.step} of {training.steps}"))

        def epoch(numbers: Mapping[str, float]) -> None:
            done(numbers)
            table.add(numbers)

        fit = PHASES * (self._number - 1) + (1 if phase == "valid" else 2)
        if not self.console.is_terminal:
            yield [EpochLog(training, epoch)]
            return
        bar = Bar(self.console, training, fit, PHASES * self._runs)
        with bar.live:
            yield [bar, EpochLog(training, epoch)]

    @contextlib.contextmanager
    def baseline(self, name: str, what: str) -> Iterator[None]:
        """Shows which baseline is at work, as long as it is, and afterwards how long that took, if it took long."""
        begin, text = time.perf_counter(), f"baseline {name}, {what}"
        columns = (TextColumn("  {task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal) as shown_:
            shown_.add_task(escape(shown_line(text)), total=None)
            yield
        if (seconds := time.perf_counter() - begin) > _WORTH_A_LINE:
            self._indented(Text(shown_line(f"{text}: {seconds:,.0f} s"), "dim"))

    def exported(self, path: Path) -> None:
        """Says where the servable is."""
        self._indented(Text(shown_line(f"exported {path}")))

    def calibration(self, lines: Mapping[str, str]) -> None:
        """Says how the probabilities of tasks are corrected."""
        for task, line in lines.items():
            self._indented(Text(shown_line(f"calibration of {task}: {line}")))

    def warn(self, message: str) -> None:
        """Says what is not as it should be, and does no harm."""
        self._indented(Text(shown(message), "yellow"))

    def alarm(self, messages: Sequence[str]) -> None:
        """Keeps what nobody should miss; it is printed last."""
        run = f"{self._last.name}: " if self._runs > 1 else ""
        self._alarms += [f"{run}{message}" for message in messages]

    def results(self, results: RunResults, sections: Sequence[str]) -> None:
        """Prints the test's metrics beside the baselines, a table per task and slice, the verdicts, and what to try next."""
        self._tables({_MODEL: results.test or {}, **results.baselines}, results)
        if unknown := (results.unknown or {}).get("test"):
            self.console.print(Text("\nrows of unknown users and items, of the test", "bold"))
            self.console.print(unknown_table(unknown))
        if results.verdicts:
            self.console.print(Text(shown("\nbeside the baseline that is best on validation"), "bold"))
            self.console.print(verdict_table(results.verdicts))
        for section in sections:
            self.console.print(Text(shown(f"\n{section}")))
        self._next()
        for message in self._alarms:
            self.console.print(Text(shown_line(f"warning: {message}"), "bold yellow"))

    def baselines(self, results: RunResults) -> None:
        """Prints what baselines reach on the test, a table per task and slice."""
        columns = results.baselines
        self._tables(columns, results)
        if others := [name for name, values in columns.items() if not values]:
            self.warn(f"do not apply to these tasks and data: {', '.join(others)}; mtkit plugins show NAME says why")
        self.console.print(Text(shown(f"\nmetrics.json is in {self._directory}")))

    def _tables(self, columns: Mapping[str, Mapping[str, Any]], results: RunResults) -> None:
        """A table for each task and slice, of the columns that have values there."""
        lower, bounds = self._recipe.lower_is_better, results.intervals.get("test", {})
        measured = dict.fromkeys(key for values in columns.values() for key in values)
        parsed = {key: MetricKey.parse(key) for key in measured}
        for path, task in {key.group: key.task for key in parsed.values()}.items():
            keys = [name for name, key in parsed.items() if key.group == path]
            fitting = {name: values for name, values in columns.items() if any(key in values for key in keys)}
            behind = f"{_rows(results.counts.get(path))}{self._sampled(task)}"
            title = Text.assemble("\n", (shown_line(path), "bold"), (f"  {behind}", "dim"))
            for table in result_tables(keys, fitting, self.console.width, [key for key in keys if lower(key)], bounds):
                self.console.print(title, table, sep="\n")
                title = Text("")

    def _sampled(self, task: str) -> str:
        """What a ranking is against, where that is not the catalog."""
        number = self._recipe.evaluate.sampled
        ranks = number and task in self._recipe.plan.rankings()
        return f", each ranked against {number:,} sampled items: biased" if ranks else ""

    def _next(self) -> None:
        directory = self._last
        table = Table.grid(padding=(0, 2))
        table.add_column(overflow="fold")
        answers = self._recipe.plan.recommending(None) is not None
        ask = (f"mtkit recommend {directory} --user ID -k 10", "ask the exported model")
        for command, why in (
            *[ask] * (answers and self._recipe.export.servable),
            (f"mtkit evaluate {directory}", "measure it again"),
            (f"mtkit check {self._recipe.document.file} --fast", "how the tasks are wired"),
        ):
            table.add_row(Text(shown_line(command)), why)
        self.console.print(Text(shown(f"\nmetrics.json, history.csv and the rest are in {self._directory}. Try next:")))
        self._indented(table)

    def _headed(self, head: str, text: str) -> None:
        self.console.print(Text.assemble((shown(head), "bold"), shown(text)))

    def _indented(self, what: Any) -> None:
        self.console.print(Padding(what, _INDENT, expand=False))


def suspicions(recipe: Recipe, findings: Sequence[DataFinding]) -> list[str]:
    """A line for each finding of a glance at the data, and what says more; none where nothing was found."""
    file = recipe.document.file
    more = [f"all checks of the data, and what to do: mtkit profile {file}"] if findings and file else []
    return [*(f"{finding.severity}: {finding}" for finding in findings), *more]


_STYLES = {"better": "bold green", "worse": "bold yellow"}


def verdict_table(verdicts: Sequence[Mapping[str, Any]]) -> Table:
    """A line for each verdict, as `mtkit.evaluation.verdicts` has them; it fits 60 columns."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, _GAP - 1, 0, 0), pad_edge=False)
    table.add_column("metric", overflow="fold")
    table.add_column(_MODEL, justify="right", no_wrap=True)
    table.add_column("best", justify="right", no_wrap=True)
    table.add_column("baseline", overflow="fold")
    table.add_column("mtkit is", no_wrap=True)
    for line in verdicts:
        table.add_row(
            Text(shown_line(f"{line['task']} {line['metric']}")),
            _cell(line["model"]),
            _cell(line["value"]),
            Text(_name(line["baseline"] or "")),
            Text(line["verdict"], _STYLES.get(line["verdict"], "")),
        )
    return table


def unknown_table(unknown: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Table:
    """A line for each task and group of rows, as `mtkit.evaluation.unknown_rows` has them; it fits 80 columns."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, _GAP - 1, 0, 0), pad_edge=False)
    table.add_column("task", overflow="fold")
    table.add_column("rows of", no_wrap=True)
    for name in ("rows", "auc", "log loss", "mean", "rate", "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    for task, groups in unknown.items():
        for group, of in groups.items():
            figures = (of[key] for key in ("auc", "log_loss", "mean_prediction", "rate", "ratio"))
            style = "bold yellow" if UnknownRows(**of).off and group != "known" else ""
            table.add_row(
                Text(shown_line(task)),
                group.replace("_", " "),
                f"{of['rows']:,}",
                *(Text(_cell(n), style) for n in figures),
            )
    return table


def result_tables(
    keys: Sequence[str],
    columns: Mapping[str, Mapping[str, Any]],
    width: int,
    lower: Collection[str] = (),
    intervals: Mapping[str, Sequence[float]] | None = None,
) -> Iterator[Table]:
    """Metrics down, the model and as many baselines across as fit; the best of a row is bold in every table.

    Args:
        keys: metric keys of one task and slice.
        columns: name -> metric key -> value, or mean and standard deviation; the first is repeated in every table.
        width: columns of the terminal.
        lower: the keys of which less is better.
        intervals: metric key -> bounds of the first column's values; they stand beside it once.
    """
    cells = {name: [_cell(values.get(key)) for key in keys] for name, values in columns.items()}
    best = [_best([values.get(key) for values in columns.values()], key in lower) for key in keys]
    first, *others = columns
    if bounds := [_interval((intervals or {}).get(key)) for key in keys] if intervals else []:
        cells[_INTERVAL], others = bounds, [_INTERVAL, *others]
    widths = {name: max(map(len, [*_name(name).split(), *column])) for name, column in cells.items()}
    labels = [shown_line(MetricKey.parse(key).label) for key in keys]
    room = width - max(map(len, [*labels, _TEST])) - widths[first] - _GAP
    for names in _chunks(others, widths, room):
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, _GAP - 1, 0, 0), pad_edge=False)
        table.add_column(_TEST, no_wrap=True)
        for name in (first, *names):
            table.add_column(_name(name), justify="right", width=widths[name])
        for row, key in enumerate(keys):
            means = {name: _mean(columns.get(name, {}).get(key)) for name in (first, *names)}
            values = [
                Text(cells[name][row], "bold" if mean is not None and mean == best[row] else "")
                for name, mean in means.items()
            ]
            table.add_row(labels[row], *values)
        yield table


def _name(name: str) -> str:
    """A baseline, as the head of a column has it."""
    return shown_line(name).replace("_", " ")


def _rows(counts: int | Sequence[int] | None) -> str:
    """How many rows are behind the figures, or how many in each of several runs."""
    if counts is None:
        return ""
    if isinstance(counts, int):
        return counted(counts, "row")
    return f"{', '.join(f'{count:,}' for count in counts)} rows"


def _interval(bounds: Sequence[float] | None) -> str:
    """Both bounds to four digits, without a leading 0."""
    return "-".join(f"{bound:.4f}".removeprefix("0") for bound in bounds or ())


def _chunks(names: Sequence[str], widths: Mapping[str, int], room: int) -> list[list[str]]:
    """The names in groups that fit; at least one group, and one name in each but an only one."""
    groups: list[list[str]] = [[]]
    for name in names:
        if groups[-1] and sum(widths[other] + _GAP for other in (*groups[-1], name)) > room:
            groups.append([])
        groups[-1].append(name)
    return groups


def _best(values: Sequence[Any], lower: bool) -> float | None:
    means = [mean for value in values if (mean := _mean(value)) is not None]
    return (min if lower else max)(means, default=None)


def _cell(value: Any) -> str:
    """A figure to four digits; with several seeds the standard deviation too, where there is any."""
    mean = _mean(value)
    if mean is None:
        return "" if value is None else "-"
    spread = value["std"] if isinstance(value, Mapping) else 0.0
    return f"{mean:.4f}" + (f"±{spread:.4f}".replace("±0.", "±.") if spread else "")


def _mean(value: Any) -> float | None:
    """The figure; None where there is none, or where it is undefined."""
    mean = value["mean"] if isinstance(value, Mapping) else value
    return None if mean is None or mean != mean else float(mean)  # noqa: PLR0124 - nan
