"""All that a run found, as tables of text; made from what its directory keeps, without TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from mtkit.recipe.loader import Recipe
from mtkit.runs.directory import RunDirectory
from mtkit.runs.result_tables import MODEL, result_tables, row_counts, unknown_table, verdict_table
from mtkit.runs.results import RunResults
from mtkit.runs.work import clock, indented
from mtkit.shown import shown, shown_line
from mtkit.types import MetricKey

Columns = Mapping[str, Mapping[str, Any]]
"""Name of the model or a baseline -> metric key -> value."""


def write_text(directory: RunDirectory, console: Console) -> None:
    """Prints everything that a run, or several of one recipe, found on the test.

    Raises:
        RunError: there is no such run, it is not complete, or a file of it cannot be read.
    """
    results, recipe = directory.read_metrics(), directory.read_any_recipe()
    TextReport(console, recipe).all(results)


class TextReport:
    """Prints tables of results.

    Args:
        console: where to.
        recipe: what ran.
    """

    def __init__(self, console: Console, recipe: Recipe) -> None:
        self._console, self._recipe = console, recipe

    def all(self, results: RunResults) -> None:
        """Verdicts, a table for each task and slice, rows of what training has never seen, warnings, and times."""
        if results.verdicts:
            self._head("beside the baseline that is best on validation")
            self._console.print(verdict_table(results.verdicts))
        self.tables({MODEL: results.test or {}, **results.baselines}, results)
        if unknown := (results.unknown or {}).get("test"):
            self._head("rows of unknown users and items, of the test")
            self._console.print(unknown_table(unknown))
        if results.warnings:
            self._head("warnings")
            for message in results.warnings:
                self._console.print(indented(Text(shown_line(message), "yellow")))
        if times := dict(_times(results)):
            self._head("time")
            for name, seconds in times.items():
                self._console.print(indented(Text(f"{clock(seconds):>8}  {name}")))

    def tables(self, columns: Columns, results: RunResults) -> None:
        """A table for each task and slice, of the columns that have values there.

        Where all baselines have the values of an earlier table, as two tasks on the same rows have, they are not repeated.
        """
        lower, bounds = self._recipe.lower_is_better, results.intervals.get("test", {})
        shown_before: dict[str, Columns] = {}
        for group, keys in _groups(columns).items():
            fitting = {name: values for name, values in columns.items() if any(key in values for key in keys)}
            beside = {name: _labeled(values, keys) for name, values in fitting.items() if name != MODEL}
            before = next((other for other, of in shown_before.items() if beside and of == beside), None)
            if before and MODEL in fitting:
                fitting = {MODEL: fitting[MODEL]}
            elif beside:
                shown_before[group] = beside
            note = f"; baselines as of {before}" if before else ""
            behind = f"{row_counts(results.counts.get(group))}{self._sampled(group)}{note}"
            title = Text.assemble("\n", (shown_line(group), "bold"), (f"  {behind}", "dim"))
            less = [key for key in keys if lower(key)]
            for table in result_tables(keys, fitting, self._console.width, less, bounds):
                self._console.print(title, table, sep="\n")
                title = Text("")

    def _sampled(self, group: str) -> str:
        """What a ranking is against, where that is not the catalog."""
        number = self._recipe.evaluate.sampled
        ranks = number and group.partition("/")[0] in self._recipe.plan.rankings()
        return f", each ranked against {number:,} sampled items: biased" if ranks else ""

    def _head(self, text: str) -> None:
        self._console.print(Text(shown(f"\n{text}"), "bold"))


def _groups(columns: Columns) -> dict[str, list[str]]:
    """`task[/slice]` -> metric keys, in the order in which they were measured."""
    found: dict[str, list[str]] = {}
    for key in dict.fromkeys(key for values in columns.values() for key in values):
        found.setdefault(MetricKey.parse(key).group, []).append(key)
    return found


def _labeled(values: Mapping[str, Any], keys: list[str]) -> dict[str, Any]:
    """`metric[@k]` -> value, of some keys."""
    return {MetricKey.parse(key).label: values[key] for key in keys if key in values}


def _times(results: RunResults) -> Iterator[tuple[str, float]]:
    """Parts of the run -> seconds; of several runs, the mean."""
    for key, value in results.timing.items():
        if key.endswith("_seconds"):
            seconds = value["mean"] if isinstance(value, Mapping) else value
            yield key.removesuffix("_seconds").replace("_", " "), float(seconds)
