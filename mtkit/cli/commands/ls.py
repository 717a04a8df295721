"""`mtkit ls`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mtkit.runs.listing import Listed

_WIDE = 100
"""Columns of a terminal in which the best baseline has room."""


@click.command()
@click.argument("directory", type=click.Path(path_type=Path), default="runs")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(directory: Path, *, as_json: bool) -> None:
    """List the runs in DIRECTORY, the latest first: date, state, tasks, and the main metric (default: runs)."""
    from mtkit.runs.directory import to_json
    from mtkit.runs.listing import list_runs
    from mtkit.shown import shown

    runs = list_runs(directory)
    if as_json:
        click.echo(shown(to_json({"runs": [run.plain() for run in runs]})), nl=False)
    elif runs:
        _print(runs)
    else:
        click.echo(shown(f"{directory}: no runs"))


def _print(runs: Sequence[Listed]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from mtkit.runs.result_tables import STYLES, cell
    from mtkit.runs.work import Screen
    from mtkit.shown import counted, shown_line

    console = Screen()
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("run", overflow="fold")
    for name in ("date (UTC)", "state", "tasks"):
        table.add_column(name, no_wrap=True)
    table.add_column("metric", overflow="fold")
    table.add_column("value", justify="right", no_wrap=True)
    wide = console.width >= _WIDE
    if wide:
        table.add_column("best baseline", overflow="fold")
        table.add_column("verdict", no_wrap=True)
    for run in runs:
        beside = f"{run.baseline} {cell(run.baseline_value)}" if run.baseline else ""
        verdict = Text(run.verdict or "", STYLES.get(run.verdict or "", ""))
        several = f", {run.runs} runs" if run.runs > 1 else ""
        state = Text(run.state, "yellow" if run.state in ("stopped", "damaged") else "")
        row = [run.path, run.date[:16].replace("T", " "), state, counted(len(run.tasks), "task") + several]
        row += [run.metric or "", cell(run.value), *[beside, verdict] * wide]
        table.add_row(*(one if isinstance(one, Text) else Text(shown_line(one)) for one in row))
    console.print(table)
