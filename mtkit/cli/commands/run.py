"""`mtkit run`."""

from __future__ import annotations

import gc
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mtkit.cli.commands._options import (
    alone_option,
    chosen_reporter,
    given_recipe,
    recipe_arguments,
    screen_options,
)

if TYPE_CHECKING:
    from mtkit.recipe.loader import Recipe
    from mtkit.runs.console import Reporter


@click.command()
@recipe_arguments
@alone_option
@click.option("--run-dir", type=click.Path(path_type=Path), help="Where results go. [default: runs/NAME]")
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False),
    help="Directory that mtkit prepare made of the recipe, whose rows are read as they are needed; sets data.prepared.",
)  # fmt: skip
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Number of seeds.")
@click.option("--resume", is_flag=True, help="Continue the run in --run-dir where it was interrupted.")
@click.option("--profile", is_flag=True, help="Trace some training steps, and say what phases and components cost.")
@screen_options
@click.pass_context
def command(
    context: click.Context,
    recipe: Path,
    sets: tuple[str, ...],
    unsets: tuple[str, ...],
    alone: str | None,
    run_dir: Path | None,
    data: Path | None,
    *,
    seeds: int,
    resume: bool,
    profile: bool,
    quiet: bool,
    verbose: bool,
    log: str,
) -> None:
    """Train, evaluate beside baselines, and export."""
    from mtkit.training.interrupt import Interrupted, Signals

    directory = run_dir
    if data is not None:
        sets = (*sets, f"data.prepared={json.dumps(str(data.absolute()))}")
    try:
        with Signals() as signals:
            report = chosen_reporter(quiet=quiet, verbose=verbose, log=log)
            loaded = given_recipe(recipe, sets, unsets, alone)
            directory = run_dir or Path("runs") / loaded.name
            with report.working("starting TensorFlow"):
                collect_seldom()
            from mtkit.runs.run import run_recipe

            run_recipe(loaded, directory, seeds, resume, signals, report, profile=profile)
            write_page(loaded, directory, report)
    except Interrupted as stop:
        again = _again(recipe, sets, unsets, alone, run_dir, seeds)
        line = "\n" if sys.stderr.isatty() else ""  # the terminal has written ^C
        click.echo(f"{line}{stop}: {_what_now(directory, again)}", err=True)
        context.exit(stop.exit_code)


def _what_now(directory: Path | None, again: str) -> str:
    """What became of a run that was stopped, and the command that goes on."""
    from mtkit.runs.directory import RunDirectory

    if directory is not None and RunDirectory(directory).begun():
        return f"stopped; what is done is kept. Continue with: {again} --resume"
    return f"stopped before there was anything to keep. Start again with: {again}"


def _again(
    recipe: Path, sets: tuple[str, ...], unsets: tuple[str, ...], alone: str | None, run_dir: Path | None, seeds: int
) -> str:
    """The command that starts the run."""
    from mtkit.recipe.plugin_files import given

    words = ["mtkit", "run", str(recipe)]
    words += [word for file in given().values() for word in ("--plugin", str(file.path))]
    words += [word for value in sets for word in ("--set", value)]
    words += [word for key in unsets for word in ("--unset", key)]
    words += ["--alone", alone] if alone else []
    words += ["--run-dir", str(run_dir)] if run_dir else []
    words += ["--seeds", str(seeds)] if seeds > 1 else []
    return shlex.join(words)


def write_page(recipe: Recipe, directory: Path, report: Reporter) -> None:
    """Writes the page of a run, or of several and of each of them, and says where it is."""
    from mtkit.report.page import write_report
    from mtkit.runs.directory import RunDirectory
    from mtkit.runs.trainer import own_directory

    own = own_directory(recipe, directory)
    with report.working("writing the report"):
        for part in RunDirectory(own).replicates():
            write_report(part)
        page = write_report(own)
    report.page(page)


def collect_seldom() -> None:
    """Spares the garbage collector what stays, TensorFlow and traced graphs: it took a tenth of a small run."""
    import mtkit.backend  # noqa: F401 - so that it is there

    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
