"""`mtkit verify`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mtkit.runs.verifying import Verified


@click.command()
@click.argument("path", metavar="RUN|RECIPE", type=click.Path(path_type=Path))
@click.option("--run-dir", type=click.Path(path_type=Path), help="The run of RECIPE. [default: runs/NAME]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(context: click.Context, path: Path, run_dir: Path | None, *, as_json: bool) -> None:
    """Compare the figures of a run with what its recipe expects.

    Exits with 1 where a figure does not lie in its interval of [expect].
    """
    from mtkit.runs.verifying import verify

    found = verify(path, run_dir)
    _json(found) if as_json else _print(found)
    context.exit(0 if all(each.holds for each in found) else 1)


def _json(found: Sequence[Verified]) -> None:
    from mtkit.runs.directory import to_json

    plain = [
        {"metric": each.key, "value": each.value, **each.expected.model_dump(), "holds": each.holds} for each in found
    ]
    click.echo(to_json({"expected": plain}), nl=False)


def _print(found: Sequence[Verified]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from mtkit.shown import counted, shown_line

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("metric", overflow="fold")
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("expected", no_wrap=True)
    table.add_column("", no_wrap=True)
    for each in found:
        value = "not measured" if each.value is None else f"{each.value:.4f}"
        table.add_row(Text(shown_line(each.key)), value, each.expected.in_words(), "ok" if each.holds else "off")
    console = Console(highlight=False)
    console.print(table)
    off = sum(not each.holds for each in found)
    console.print(f"\n{counted(off, 'figure is', 'figures are')} off" if off else "\nall as expected")
