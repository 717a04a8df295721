"""`mtkit baselines`."""

from __future__ import annotations

from pathlib import Path

import click

from mtkit.cli.commands._options import recipe_arguments


@click.command()
@recipe_arguments
@click.option("--run-dir", type=click.Path(path_type=Path), help="Where results go. [default: runs/NAME-baselines]")
def command(recipe: Path, sets: tuple[str, ...], unsets: tuple[str, ...], run_dir: Path | None) -> None:
    """Tune and measure the baselines of a recipe, without a model."""
    from mtkit.recipe.loader import load_recipe
    from mtkit.runs.run import run_baselines

    loaded = load_recipe(recipe, sets, unsets)
    run_baselines(loaded, run_dir or Path("runs") / f"{loaded.name}-baselines")
