"""Figures as tables: metrics down and models across, verdicts, rows of unknown users and items."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from mtkit.evaluation.unknown_rows import UnknownRows
from mtkit.shown import counted, shown_line
from mtkit.types import MetricKey

MODEL = "mtkit"
"""How columns of the model are headed."""
_TEST = "test"
_INTERVAL = "95 %"
_GAP = 2


STYLES = {"better": "bold green", "worse": "bold yellow"}


def verdict_table(verdicts: Sequence[Mapping[str, Any]]) -> Table:
    """A line for each verdict, as `mtkit.evaluation.verdicts` has them; it fits 60 columns."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, _GAP - 1, 0, 0), pad_edge=False)
    table.add_column("metric", overflow="fold")
    table.add_column(MODEL, justify="right", no_wrap=True)
    table.add_column("best", justify="right", no_wrap=True)
    table.add_column("baseline", overflow="fold")
    table.add_column("mtkit is", no_wrap=True)
    for line in verdicts:
        table.add_row(
            Text(shown_line(f"{line['task']} {line['metric']}")),
            cell(line["model"]),
            cell(line["value"]),
            Text(column_name(line["baseline"] or "")),
            Text(line["verdict"], STYLES.get(line["verdict"], "")),
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
                *(Text(cell(n), style) for n in figures),
            )
    return table


def result_tables(
    keys: Sequence[str],
    columns: Mapping[str, Mapping[str, Any]],
    width: int,
    lower: Collection[str] = (),
    intervals: Mapping[str, Sequence[float]] | None = None,
) -> Iterator[Table]:
    """Metrics down, the model and as many baselines across as fit; the best of a row is bold, with a `*`, in every table.

    Args:
        keys: metric keys of one task and slice.
        columns: name -> metric key -> value, or mean and standard deviation; the first is repeated in every table.
        width: columns of the terminal.
        lower: the keys of which less is better.
        intervals: metric key -> bounds of the first column's values; they stand beside it once.
    """
    best = [_best([values.get(key) for values in columns.values()], key in lower) for key in keys]
    cells = {
        name: [f"{cell(values.get(key))}{_mark(values.get(key), most)}" for key, most in zip(keys, best, strict=True)]
        for name, values in columns.items()
    }
    if len(columns) == 1:
        cells = {name: [text[:-1] for text in column] for name, column in cells.items()}
    first, *others = columns
    if bounds := [interval((intervals or {}).get(key)) for key in keys] if intervals else []:
        cells[_INTERVAL], others = bounds, [_INTERVAL, *others]
    widths = {name: max(map(len, [*column_name(name).split(), *column])) for name, column in cells.items()}
    labels = [shown_line(MetricKey.parse(key).label) for key in keys]
    room = width - max(map(len, [*labels, _TEST])) - widths[first] - _GAP
    for names in _chunks(others, widths, room):
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, _GAP - 1, 0, 0), pad_edge=False)
        table.add_column(_TEST, no_wrap=True)
        for name in (first, *names):
            table.add_column(column_name(name), justify="right", width=widths[name])
        for row, label in enumerate(labels):
            values = [(cells[name][row], "bold" if cells[name][row].endswith("*") else "") for name in (first, *names)]
            table.add_row(label, *(Text(*value) for value in values))
        yield table


def _mark(value: Any, best: float | None) -> str:
    """What follows the best value of a row, as color does not reach everywhere; others are followed by a blank."""
    mean = figure(value)
    return "*" if mean is not None and mean == best else " "


def column_name(name: str) -> str:
    """A baseline, as the head of a column has it."""
    return shown_line(name).replace("_", " ")


def row_counts(counts: int | Sequence[int] | None) -> str:
    """How many rows are behind the figures, or how many in each of several runs."""
    if counts is None:
        return ""
    if isinstance(counts, int):
        return counted(counts, "row")
    return f"{', '.join(f'{count:,}' for count in counts)} rows"


def interval(bounds: Sequence[float] | None) -> str:
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
    means = [mean for value in values if (mean := figure(value)) is not None]
    return (min if lower else max)(means, default=None)


def cell(value: Any) -> str:
    """A figure to four digits; with several seeds the standard deviation too, where there is any."""
    mean = figure(value)
    if mean is None:
        return "" if value is None else "-"
    spread = value["std"] if isinstance(value, Mapping) else 0.0
    return f"{mean:.4f}" + (f"±{spread:.4f}".replace("±0.", "±.") if spread else "")


def figure(value: Any) -> float | None:
    """The figure; None where there is none, or where it is undefined."""
    mean = value["mean"] if isinstance(value, Mapping) else value
    return None if mean is None or mean != mean else float(mean)  # noqa: PLR0124 - nan
