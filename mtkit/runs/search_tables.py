"""What a person sees of a search: progress, and the best trials, in 80 columns."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from mtkit.recipe.search_settings import Value
from mtkit.recipe.toml_writer import toml_value
from mtkit.runs.task_tables import Quiet
from mtkit.shown import shown_line

_SHOWN = 10
"""Trials in the last table."""


@dataclass(frozen=True)
class Tried:
    """What became of a trial.

    Attributes:
        number: from 0.
        state: `complete`, `pruned`, or `failed`.
        value: the figure of validation; of a pruned trial that of its last epoch; None = there is none.
        values: key -> value; empty = the recipe as it is, where that is not within the ranges.
        seconds: that it took.
        message: why it failed.
        as_it_is: whether it is the recipe as it is.
    """

    number: int
    state: str
    value: float | None
    values: Mapping[str, Value]
    seconds: float | None
    message: str | None
    as_it_is: bool


class SearchScreen:
    """Prints the progress and the results of a search.

    Args:
        console: where to; default: standard output.
        quiet: whether only warnings are said, on standard error.
    """

    def __init__(self, console: Console | None = None, *, quiet: bool = False) -> None:
        self.console = console or Console(highlight=False, stderr=quiet)
        self.quiet = quiet
        self.trials = Quiet(self.console)

    @contextlib.contextmanager
    def progress(self, count: int, metric: str) -> Iterator[Callable[[Sequence[Tried], Tried | None], None]]:
        """Shows how far a search is; the function is told of all trials so far, and of the best."""
        live = self.console.is_terminal and not self.quiet
        columns = (
            TextColumn("  {task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[best]}"),
        )
        with Progress(*columns, console=self.console, transient=True, disable=not live) as bar:
            number = bar.add_task("trials", total=count, best="")

            def told(trials: Sequence[Tried], best: Tried | None) -> None:
                text = "" if best is None else shown_line(f"best {metric} {best.value:.4f} (trial {best.number})")
                bar.update(number, completed=len(trials), best=text)
                if not self.quiet:
                    self.console.print(Text(shown_line(f"  {_line(trials[-1])}")))

            yield told

    def results(
        self, metric: str, trials: Sequence[Tried], best: Tried, importances: Mapping[str, float], path: Path
    ) -> None:
        """Prints the best trials, what the recipe as it is reached, which keys mattered, and what to do next."""
        found = sorted(
            (one for one in trials if one.state == "complete" and one.value is not None),
            key=lambda one: (one.number != best.number, -(one.value or 0) * _sign(trials, best), one.number),
        )
        self.console.print(
            "", Text(shown_line(f"{metric} on validation"), "bold"), self._table(found[:_SHOWN]), sep="\n"
        )
        states = [one.state for one in trials]
        self.console.print(
            Text(f"{len(trials)} trials: {', '.join(f'{states.count(s)} {s}' for s in dict.fromkeys(states))}")
        )
        if importances:
            shares = ", ".join(f"{key} {share:.0%}" for key, share in importances.items())
            self.console.print(Text(shown_line(f"what the differences come from (fANOVA): {shares}")))
        self.console.print(Text(shown_line(f"The best recipe is in {path}. Try next:")))
        self.console.print(Text(shown_line(f"  mtkit run {path}")))

    def _table(self, trials: Sequence[Tried]) -> Table:
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
        table.add_column("trial", justify="right", no_wrap=True)
        table.add_column("value", justify="right", no_wrap=True)
        table.add_column("sec", justify="right", no_wrap=True)
        table.add_column("with", overflow="fold")
        for one in trials:
            seconds = "" if one.seconds is None else f"{one.seconds:.1f}"
            table.add_row(str(one.number), f"{one.value:.4f}", seconds, Text(shown_line(_settings(one))))
        return table


def _sign(trials: Sequence[Tried], best: Tried) -> int:
    """1 where more is better: no complete trial has more than the best."""
    values = [one.value for one in trials if one.state == "complete" and one.value is not None]
    return 1 if best.value == max(values) else -1


def _settings(one: Tried) -> str:
    settings = ", ".join(f"{key} = {_short(value)}" for key, value in one.values.items())
    return " ".join(
        filter(None, ("as it is:" if one.as_it_is and settings else "as it is" if one.as_it_is else "", settings))
    )


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(toml_value(value))


def _line(one: Tried) -> str:
    value = "" if one.value is None else f" {one.value:.4f}"
    seconds = "" if one.seconds is None else f", {one.seconds:.1f} s"
    why = f": {one.message.splitlines()[0]}" if one.message else ""
    return f"trial {one.number}, {one.state}{value}{seconds}: {_settings(one)}{why}"
