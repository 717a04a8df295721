"""`mtkit data`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mtkit.spec import PublishedData


@click.group()
def command() -> None:
    """Get published data, or make some up."""


@command.command("list")
def list_() -> None:
    """List published data sets, whether they are there, and the kinds of data that can be made."""
    from mtkit.files import data_directory
    from mtkit.shown import shown
    from mtkit.synthetic.domains import DOMAINS

    directory = data_directory()
    click.echo(shown(f"published, in {directory}:"))
    for name, published in _published().items():
        there = (
            "there" if (directory / published.folder).exists() else "mtkit data get" if published.fetched else "by hand"
        )
        click.echo(shown(f"  {name:16} {there:16} {published.license}; {published.page}"))
    click.echo("that can be made (mtkit data make KIND):")
    for name, domain in DOMAINS.items():
        click.echo(f"  {name:16} {domain.about}")


@command.command()
@click.argument("name")
def info(name: str) -> None:
    """Print where a published data set comes from, or what can be planted in data that are made."""
    from mtkit.shown import shown
    from mtkit.synthetic.domains import DOMAINS
    from mtkit.synthetic.settings import Settings

    if name in DOMAINS:
        click.echo(f"{name}: {DOMAINS[name].about}\n")
        for key, field in Settings.model_fields.items():
            click.echo(f"  {key} = {field.default}: {field.description}")
        return
    published = _one(name)
    click.echo(shown("\n".join(_described(published))))


@command.command()
@click.argument("name")
@click.option("--accept", is_flag=True, help="Accept the license; else it is asked for.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False),
    help="Directory of all data. [default: MTKIT_DATA, or data in the cache directory]",
)  # fmt: skip
@click.option(
    "--file", "files", multiple=True, type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A file of the publisher that is here already; may be repeated.",
)  # fmt: skip
def get(name: str, output: Path | None, files: tuple[Path, ...], *, accept: bool) -> None:
    """Fetch a published data set into the directory of all data.

    That is MTKIT_DATA, or data in the cache directory. What was fetched is checked against the published checksum, or that of
    the first download; a download that broke off goes on where it did.
    """
    from mtkit.data.fetching import fetch
    from mtkit.errors import DataError
    from mtkit.files import data_directory
    from mtkit.shown import shown

    published, directory = _one(name), output or data_directory()
    click.echo(shown("\n".join(_described(published))))
    if not published.fetched:
        raise DataError(
            f"{name}: has no address from which a command may fetch it; get it from {published.page} by hand, into "
            f"{directory / published.folder}, or make up data of this kind: mtkit data make {published.like}"
        )
    if not accept and not (sys.stdin.isatty() and click.confirm(f"Do you accept the license ({published.license})?")):
        raise DataError(f"{name}: nothing was fetched; accept the license, {published.license}, with --accept")
    click.echo(shown(f"{name} is in {fetch(published, directory, files)}"))


def _described(published: PublishedData) -> Iterator[str]:
    """What there is to know of a set before it is fetched."""
    yield f"{published.name}: {published.page}"
    yield f"  license: {published.license}"
    for file in published.files:
        size = f", {file.size:,} bytes" if file.size else ""
        yield f"  {file.address}{size}; {file.checksum or 'no checksum is published: that of the first download counts'}"


def _published() -> dict[str, PublishedData]:
    """Data sets that installed sources say are published, by name."""
    from mtkit.recipe.registry import Registry

    registry = Registry.installed()
    sources = [registry.get("data_source", name) for name in registry.names("data_source")]
    return {source.published.name: source.published for source in sources if source.published}


def _one(name: str) -> PublishedData:
    from mtkit.errors import DataError, nearest
    from mtkit.synthetic.domains import DOMAINS

    known = _published()
    if name not in known:
        raise DataError(f"no data are called {name!r}; {nearest(name, (*known, *DOMAINS))}")
    return known[name]


@command.command()
@click.argument("kind")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="Where files go. [default: KIND]"
)
@click.option("--rows", type=click.IntRange(min=1), help="Interactions. [default: 50000]")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of all that is drawn.")
@click.option(
    "--set", "sets", multiple=True, metavar="KNOB=VALUE",
    help="Set a knob, as in correlation=0.2; mtkit data info KIND lists them.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite files that are there.")
def make(kind: str, output: Path | None, rows: int | None, seed: int, sets: tuple[str, ...], *, force: bool) -> None:
    """Make up the data of a domain, with a structure that is known.

    KIND is one that mtkit data list shows. Writes Parquet files, a recipe that reads them, and truth.json: what the
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
