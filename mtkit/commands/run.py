"""`mtkit run`."""

from __future__ import annotations

from pathlib import Path

import click

from mtkit.commands._options import recipe_arguments


@click.command()
@recipe_arguments
@click.option("--run-dir", type=click.Path(path_type=Path), help="Where results go. [default: runs/NAME]")
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Train with so many seeds.")
@click.option("--resume", is_flag=True, help="Continue an interrupted run in --run-dir from its last full epoch.")
def command(
    recipe: Path, sets: tuple[str, ...], unsets: tuple[str, ...], run_dir: Path | None, seeds: int, *, resume: bool
) -> None:
    """Train, evaluate beside baselines, and export."""
    from mtkit.recipe import load_recipe

    loaded = load_recipe(recipe, sets, unsets)
    from mtkit.run import run_recipe

    run_recipe(loaded, run_dir or Path("runs") / loaded.name, seeds, resume)
