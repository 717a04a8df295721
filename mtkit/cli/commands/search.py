"""`mtkit search`."""

from __future__ import annotations

from pathlib import Path

import click

from mtkit.cli.commands._options import given_recipe, recipe_arguments


@click.command()
@recipe_arguments
@click.option(
    "--trials", type=click.IntRange(min=1), help="How many settings are tried in all. [default: search.trials]"
)
@click.option(
    "--run-dir", type=click.Path(path_type=Path), help="Where trials and results go. [default: runs/NAME-search]"
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(
    context: click.Context,
    recipe: Path,
    sets: tuple[str, ...],
    unsets: tuple[str, ...],
    trials: int | None,
    run_dir: Path | None,
    *,
    as_json: bool,
) -> None:
    """Search good values for the keys that [search.keys] of a recipe names.

    Trains the recipe as it is, and then with other values, and judges them by validation; the test is not looked at. What is
    tried is kept: the same command goes on where it was stopped, and more --trials add to those that are there.
    """
    from mtkit.training.interrupt import Interrupted, Signals

    try:
        with Signals() as signals:
            more = () if trials is None else (f"search.trials={trials}",)
            loaded = given_recipe(recipe, (*sets, *more), unsets, None)
            from mtkit.runs.directory import to_json
            from mtkit.runs.search import search_recipe
            from mtkit.shown import shown

            found = search_recipe(loaded, run_dir or Path("runs") / f"{loaded.name}-search", signals, quiet=as_json)
            if as_json:
                click.echo(shown(to_json(found)), nl=False)
    except Interrupted as stop:
        click.echo(f"\n{stop}: stopped; what is done is kept. The same command goes on from there.", err=True)
        context.exit(stop.exit_code)
