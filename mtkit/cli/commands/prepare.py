"""`mtkit prepare`."""

from __future__ import annotations

from pathlib import Path

import click

from mtkit.cli.commands._options import chosen_reporter, recipe_arguments, screen_options


@click.command()
@recipe_arguments
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Directory of the prepared data."
)
@click.option(
    "--engine",
    type=click.Choice(["memory", "arrow"]),
    default="memory",
    show_default=True,
    help="How: with all data in memory, or a part of the users after another.",
)
@click.option(
    "--memory", "gigabytes", type=float, default=4.0, show_default=True,
    help="About how many GB --engine arrow takes.",
)  # fmt: skip
@screen_options
def command(
    recipe: Path,
    sets: tuple[str, ...],
    unsets: tuple[str, ...],
    out: Path,
    engine: str,
    gigabytes: float,
    *,
    quiet: bool,
    verbose: bool,
    log: str,
) -> None:
    """Prepare the data of a recipe, for runs that read rows from files as they need them.

    What is in the directory and as it was written stays; what is missing or damaged is made anew.
    """
    from mtkit.recipe.loader import load_recipe
    from mtkit.runs.preparing import prepare
    from mtkit.shown import shown

    report = chosen_reporter(quiet=quiet, verbose=verbose, log=log)
    record = prepare(load_recipe(recipe, sets, unsets), out, report, engine, gigabytes)
    users, items, events = record.sizes
    click.echo(
        shown(f"{out}: {events:,} interactions of {users:,} users with {items:,} items, in {record.seconds:,.1f} s")
    )
