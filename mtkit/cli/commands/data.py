"""`mtkit data`."""

from __future__ import annotations

import time
from pathlib import Path

import click


@click.group()
def command() -> None:
    """Get published data, or make some up."""


@command.command()
@click.argument("kind")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="Where files go. [default: KIND]"
)
@click.option("--rows", type=click.IntRange(min=1), help="Interactions. [default: 40000]")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of all that is drawn.")
@click.option(
    "--set", "sets", multiple=True, metavar="KNOB=VALUE",
    help="Set a knob, as in correlation=0.2; mtkit plugins show synthetic lists them.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite files that are there.")
def make(kind: str, output: Path | None, rows: int | None, seed: int, sets: tuple[str, ...], *, force: bool) -> None:
    """Make up the data of a domain, with a structure that is known.

    KIND is shop, media, social, people or finance. Writes Parquet files, a recipe that reads them, and truth.json: what the
    planted model reaches in each task.
    """
    from mtkit.declared import brief
    from mtkit.shown import shown
    from mtkit.synthetic.settings import Settings, knob
    from mtkit.synthetic.writing import make as written

    given = dict(knob(text) for text in sets)
    settings = Settings(**{"seed": seed, **({} if rows is None else {"rows": rows}), **given})
    begin = time.perf_counter()
    files = written(kind, settings, output or Path(kind), force=force)
    seconds = time.perf_counter() - begin
    click.echo(shown("\n".join(map(str, files))))
    click.echo(f"{settings.rows:,} interactions in {brief(round(seconds, 1))} s")
    click.echo("Next:\n" + "\n".join(f"  mtkit run {file}" for file in files if file.suffix == ".toml"))
