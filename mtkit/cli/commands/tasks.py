"""`mtkit tasks`."""

from __future__ import annotations

from pathlib import Path

import click

from mtkit.cli.commands._options import given_recipe, recipe_arguments


@click.command()
@recipe_arguments
@click.option("--tasks", "judged", metavar="TASK,TASK", help="Judge these tasks alone. [default: all]")
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="Number of seeds of each fit.")
@click.option(
    "--run-dir", type=click.Path(path_type=Path), help="Where fits and tasks.json go. [default: runs/NAME-tasks]"
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(
    context: click.Context,
    recipe: Path,
    sets: tuple[str, ...],
    unsets: tuple[str, ...],
    judged: str | None,
    run_dir: Path | None,
    *,
    seeds: int,
    as_json: bool,
) -> None:
    """Report which tasks help one another, and which get in one another's way.

    Fits all tasks together, each alone, and, of three or more, all without each, and compares them on validation. What is
    fitted is kept: the same command goes on where it was stopped.
    """
    from mtkit.training.interrupt import Interrupted, Signals

    names = [name.strip() for name in judged.split(",") if name.strip()] if judged is not None else []
    try:
        with Signals() as signals:
            loaded = given_recipe(recipe, sets, unsets, None)
            from mtkit.runs.directory import to_json
            from mtkit.runs.tasks import report_tasks
            from mtkit.shown import shown

            found = report_tasks(
                loaded, run_dir or Path("runs") / f"{loaded.name}-tasks", names, seeds, signals, quiet=as_json
            )
            if as_json:
                click.echo(shown(to_json(found)), nl=False)
    except Interrupted as stop:
        click.echo(f"\n{stop}: stopped; what is done is kept. The same command goes on from there.", err=True)
        context.exit(stop.exit_code)
