"""The end of a run on one screen: each task beside its best baseline, what should not be missed, and where to look."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mtkit.evaluation.slices import EARLIER
from mtkit.recipe.loader import Recipe
from mtkit.runs.result_tables import STYLES, cell, column_name, interval
from mtkit.runs.results import RunResults
from mtkit.runs.work import clock, indented
from mtkit.shown import counted, shown, shown_line

MOST_WARNINGS = 5
"""Warnings of which all is said; there are more in `metrics.json`."""
_NARROW, _ROOMY = 78, 100
"""Columns below which there is no room for intervals, and above which there is some for gaps and long words."""
_LONGEST = 24
"""Characters of a task's name that are not broken."""
_WORDS = {"not told apart": "unclear", "not tested": "untested", "no baseline": "alone"}
"""Verdicts that are longer than a screen has room for."""
_MEANINGS = {
    "better": "better, worse: p < 0.05 in a paired test over users, corrected for all lines",
    "worse": "better, worse: p < 0.05 in a paired test over users, corrected for all lines",
    "not told apart": "unclear: chance alone could make this difference",
    "not tested": "untested: no values per user",
    "no baseline": "alone: no baseline has this metric",
}


class LastScreen:
    """Prints the end of a run.

    Args:
        console: where to.
        recipe: what ran.
        directory: where results are.
        last: the directory of the last of several runs; of one, the same.
    """

    def __init__(self, console: Console, recipe: Recipe, directory: Path, last: Path) -> None:
        self._console, self._recipe, self._directory, self._last = console, recipe, directory, last

    def show(self, results: RunResults, sections: Sequence[str], warnings: Sequence[str]) -> None:
        """Prints the screen.

        Args:
            results: what was found.
            sections: what hooks add.
            warnings: what nobody should miss.
        """
        self._console.print(Text.assemble("\n", (shown(self._recipe.name), "bold"), _about(results)))
        self._console.print(self._tasks(results))
        for line in self._legend(results):
            self._console.print(Text(shown_line(line), "dim"))
        if before := (results.init or {}).get("test", {}).get("before"):
            self._console.print(Text("\nBefore, by the model of the earlier run, and after the update", "bold"))
            self._console.print(self._since(before, results))
        for section in sections:
            self._console.print(Text(shown(f"\n{section}")))
        self._next()
        for message in warnings[:MOST_WARNINGS]:
            self._console.print(Text(shown_line(f"warning: {message}"), "bold yellow"))
        if (more := len(warnings) - MOST_WARNINGS) > 0:
            self._console.print(Text(f"and {counted(more, 'more warning', 'more warnings')} in metrics.json", "yellow"))

    def _tasks(self, results: RunResults) -> Table:
        lines, wide = list(_mains(results.verdicts or ())), self._console.width >= _NARROW
        longest = max((len(shown_line(line["task"])) for line in lines), default=0)
        table = Table(
            box=box.SIMPLE_HEAD, show_edge=False, padding=(0, int(self._console.width > _ROOMY), 0, 0), pad_edge=False
        )
        table.add_column("task", overflow="fold", min_width=min(longest, _LONGEST))
        table.add_column("metric", overflow="fold", min_width=8)
        table.add_column("mtkit", justify="right", no_wrap=True)
        if wide:
            table.add_column("95 %", justify="right", no_wrap=True)
        room = None if self._console.width > _ROOMY else 12
        table.add_column("best baseline", overflow="fold", min_width=10, max_width=room)
        table.add_column("value", justify="right", no_wrap=True)
        if wide:
            table.add_column("difference" if self._console.width > _ROOMY else "diff.", justify="right", no_wrap=True)
        table.add_column("verdict", no_wrap=True)
        for line in lines:
            bounds = _interval(results.intervals.get("test", {}).get(f"{line['task']}/{line['metric']}"))
            table.add_row(*self._row(line, bounds, wide=wide))
        return table

    def _row(self, line: Mapping[str, Any], bounds: str, *, wide: bool) -> list[Text]:
        key = f"{line['task']}/{line['metric']}"
        values = {"model": line["model"], "value": line["value"]}
        there = [value for value in values.values() if value is not None]
        best = (min if self._recipe.lower_is_better(key) else max)(there)
        marked = {name: _marked(value, best, len(there)) for name, value in values.items()}
        word, difference = line["verdict"], line["difference"]
        apart = Text("" if difference is None else f"{difference:+.4f}")
        return [
            Text(shown_line(line["task"])),
            Text(shown_line(line["metric"])),
            marked["model"],
            *[Text(bounds)] * wide,
            Text(column_name(line["baseline"] or "")),
            marked["value"],
            *[apart] * wide,
            Text(_WORDS.get(word, word), STYLES.get(word, "")),
        ]

    def _since(self, before: Mapping[str, float | None], results: RunResults) -> Table:
        """What the earlier run's model reaches on the rows of the test, and this one: in all, for ids of old, for new ones."""
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for name in ("task", "metric", "of"):
            table.add_column(name, overflow="fold")
        for name in ("before", "after", "change"):
            table.add_column(name, justify="right", no_wrap=True)
        after = results.test or {}
        for line in _mains(results.verdicts or ()):
            for part in ("", *EARLIER):
                key = "/".join(filter(None, (line["task"], part, line["metric"])))
                was, now = before.get(key), after.get(key)
                if was is not None and now is not None:
                    of = part.replace("_", " ") or "all"
                    table.add_row(
                        shown_line(line["task"]),
                        shown_line(line["metric"]),
                        of,
                        cell(was),
                        cell(now),
                        f"{now - was:+.4f}",
                    )
        return table

    def _legend(self, results: RunResults) -> Iterator[str]:
        """What words of the table mean, those alone that are there."""
        lines = list(_mains(results.verdicts or ()))
        yield from dict.fromkeys(_MEANINGS[line["verdict"]] for line in lines)
        keys = [f"{line['task']}/{line['metric']}" for line in lines]
        less = dict.fromkeys(key.rpartition("/")[2] for key in keys if self._recipe.lower_is_better(key))
        if less:
            yield f"less is better: {', '.join(less)}"

    def _next(self) -> None:
        run = self._last
        table = Table.grid(padding=(0, 2))
        table.add_column(overflow="fold")
        answers = self._recipe.plan.recommending(None) is not None
        ask = (f"mtkit recommend {run} --user ID", "ask the exported model")
        for command, why in (
            (f"mtkit report {self._directory} --text", "all metrics, slices and baselines"),
            *[ask] * (answers and self._recipe.export.servable),
            *[(f"mtkit explain {run} --user ID", "why an item has its score")] * answers,
            (f"mtkit compare {self._directory}", "every metric against every baseline"),
            (f"mtkit evaluate {run}", "measure it again"),
        ):
            table.add_row(Text(shown_line(command)), why)
        self._console.print(Text(shown(f"\nResults are in {self._directory}. Try next:")))
        self._console.print(indented(table))


def _about(results: RunResults) -> str:
    """How many tasks are better, and how long it took."""
    words = [line["verdict"] for line in _mains(results.verdicts or ())]
    counts = {word: words.count(word) for word in dict.fromkeys(words)}
    told = [f"{count} {_WORDS.get(word, word)}" for word, count in counts.items()]
    total = results.timing.get("total_seconds")
    seconds = [] if total is None else [clock(sum(total["values"]) if isinstance(total, Mapping) else total)]
    of = counted(len(words), "task")
    return f": {', '.join([f'{of} on the test', *told, *seconds])}"


def _mains(verdicts: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The verdict of each task by its main metric, which is the first."""
    first = {line["task"]: line for line in reversed(verdicts)}
    yield from reversed(first.values())


def _interval(bounds: Sequence[float] | None) -> str:
    """Both bounds, in eleven characters as far as they reach."""
    large = max(map(abs, bounds or [0.0])) >= 1
    return "-".join(f"{bound:.4g}" for bound in bounds or ()) if large else interval(bounds)


def _marked(value: float | None, best: float, of: int) -> Text:
    """A value, which is bold and has a `*` if it is the best of several."""
    if value is None:
        return Text("")
    is_best = of > 1 and value == best
    return Text(f"{cell(value)}{'*' if is_best else ' '}", "bold" if is_best else "")
