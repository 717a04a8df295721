"""`mtkit update`."""

from __future__ import annotations

from pathlib import Path

import click

from mtkit.cli.commands._options import chosen_reporter, screen_options


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Newer rows, in files that are called as those that RUN reads. Where a source has other options, use --set "
    "data.KEY=VALUE; without either, it is read as it is now.",
)
@click.option("--run-dir", required=True, type=click.Path(path_type=Path), help="Where results go.")
@click.option(
    "--replay",
    type=click.FloatRange(0, 1),
    default=0.1,
    show_default=True,
    help="Share of the rows that RUN has learned from to train on again, against forgetting.",
)
@click.option(
    "--new-ids",
    type=click.Choice(["content", "initial"]),
    default="content",
    show_default=True,
    help="What new users and items begin with: the mean of those whose columns are most alike, or what any begins with.",
)
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Set a key, as in train.epochs=2.")
@click.option("--unset", "unsets", multiple=True, metavar="KEY", help="Remove a key or table, before --set.")
@click.option("--resume", is_flag=True, help="Continue the update in --run-dir where it was interrupted.")
@screen_options
@click.pass_context
def command(
    context: click.Context,
    run: Path,
    data: Path | None,
    run_dir: Path,
    replay: float,
    new_ids: str,
    sets: tuple[str, ...],
    unsets: tuple[str, ...],
    *,
    resume: bool,
    quiet: bool,
    verbose: bool,
    log: str,
) -> None:
    """Go on with RUN on newer data: new users and items get rows, the others keep theirs, and training sees what is new."""
    from mtkit.cli.commands.run import collect_seldom, write_page
    from mtkit.runs.directory import RunDirectory
    from mtkit.training.interrupt import Interrupted, Signals

    RunDirectory(run).check_begun()

    try:
        with Signals() as signals:
            report = chosen_reporter(quiet=quiet, verbose=verbose, log=log)
            with report.working("starting TensorFlow"):
                collect_seldom()
            from mtkit.runs.run import run_recipe
            from mtkit.runs.update import Update

            with report.working("reading the data"):
                recipe, dataset = Update(run, data, replay, new_ids, sets, unsets).prepared()
            run_recipe(recipe, run_dir, 1, resume, signals, report, dataset)
            write_page(recipe, run_dir, report)
    except Interrupted as stop:
        click.echo(f"{stop}: stopped; what is done is kept. Continue with the same command and --resume", err=True)
        context.exit(stop.exit_code)
