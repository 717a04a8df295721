"""`mtkit baselines`."""

from __future__ import annotations

from pathlib import Path

import click

from mtkit.cli.commands._options import chosen_reporter, recipe_arguments, screen_options


@click.command()
@recipe_arguments
@click.option("--run-dir", type=click.Path(path_type=Path), help="Where results go. [default: runs/NAME-baselines]")
@screen_options
def command(
    recipe: Path,
    sets: tuple[str, ...],
    unsets: tuple[str, ...],
    run_dir: Path | None,
    *,
    quiet: bool,
    verbose: bool,
    log: str,
) -> None:
    """Tune and measure the baselines of a recipe, without a model."""
    from mtkit.recipe.loader import load_recipe
    from mtkit.runs.run import run_baselines

    report = chosen_reporter(quiet=quiet, verbose=verbose, log=log)
    loaded = load_recipe(recipe, sets, unsets)
    run_baselines(loaded, run_dir or Path("runs") / f"{loaded.name}-baselines", report)
