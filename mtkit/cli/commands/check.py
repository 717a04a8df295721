"""`mtkit check`."""

from __future__ import annotations

from pathlib import Path

import click

from mtkit.cli.commands._options import alone_option, given_recipe, recipe_arguments


@click.command()
@recipe_arguments
@alone_option
@click.option("--fast", is_flag=True, help="Leave out what needs data or TensorFlow.")
def command(recipe: Path, sets: tuple[str, ...], unsets: tuple[str, ...], alone: str | None, *, fast: bool) -> None:
    """Check a recipe and print how its parts are wired."""
    from mtkit.recipe.describe import describe
    from mtkit.shown import shown

    loaded = given_recipe(recipe, sets, unsets, alone)
    click.echo(shown(describe(loaded)))
    if not fast:
        from mtkit.runs.probes import check_full

        click.echo(shown("\n" + "\n".join(check_full(loaded))))
