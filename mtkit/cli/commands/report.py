"""`mtkit report`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--text", is_flag=True, required=True, help="Print all tables: metrics, slices, baselines, verdicts.")
def command(run: Path, *, text: bool) -> None:
    """Show all that RUN found."""
    del text  # the one form that there is
    from mtkit.runs.directory import RunDirectory
    from mtkit.runs.text_report import write_text
    from mtkit.runs.work import Screen

    write_text(RunDirectory(run), Screen())
