"""`mtkit run`."""

from __future__ import annotations

import gc
import shlex
from pathlib import Path

import click

from mtkit.cli.commands._options import alone_option, given_recipe, recipe_arguments


@click.command()
@recipe_arguments
@alone_option
@click.option("--run-dir", type=click.Path(path_type=Path), help="Where results go. [default: runs/NAME]")
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Number of seeds.")
@click.option("--resume", is_flag=True, help="Continue the run in --run-dir where it was interrupted.")
@click.pass_context
def command(
    context: click.Context,
    recipe: Path,
    sets: tuple[str, ...],
    unsets: tuple[str, ...],
    alone: str | None,
    run_dir: Path | None,
    *,
    seeds: int,
    resume: bool,
) -> None:
    """Train, evaluate beside baselines, and export."""
    from mtkit.training.interrupt import Interrupted, Signals

    try:
        with Signals() as signals:
            loaded = given_recipe(recipe, sets, unsets, alone)
            directory = run_dir or Path("runs") / loaded.name
            from mtkit.runs.run import run_recipe

            _collect_seldom()
            run_recipe(loaded, directory, seeds, resume, signals)
    except Interrupted as stop:
        again = _again(recipe, sets, unsets, alone, run_dir, seeds)
        click.echo(f"\n{stop}: stopped; what is done is kept. Continue with:\n  {again}", err=True)
        context.exit(stop.exit_code)


def _again(
    recipe: Path, sets: tuple[str, ...], unsets: tuple[str, ...], alone: str | None, run_dir: Path | None, seeds: int
) -> str:
    """The command that continues."""
    words = ["mtkit", "run", str(recipe)]
    words += [word for value in sets for word in ("--set", value)]
    words += [word for key in unsets for word in ("--unset", key)]
    words += ["--alone", alone] if alone else []
    words += ["--run-dir", str(run_dir)] if run_dir else []
    words += ["--seeds", str(seeds)] if seeds > 1 else []
    return shlex.join([*words, "--resume"])


def _collect_seldom() -> None:
    """Spares the garbage collector what stays, TensorFlow and traced graphs: it took a tenth of a small run."""
    import mtkit.backend  # noqa: F401 - so that it is there

    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
