"""`mtkit export`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="export.KEY=VALUE",
    help="Set a key of the export, as in export.unseen=false.",
)
@click.option("--unset", "unsets", multiple=True, metavar="export.KEY", help="Remove a key, or `export`, before --set.")
def command(run: Path, sets: tuple[str, ...], unsets: tuple[str, ...]) -> None:
    """Export the model of RUN once more, as the next version.

    The lock stays as it is, so another export is asked for by its options each time.
    """
    from mtkit.runs.directory import RunDirectory
    from mtkit.runs.model_card import write_card
    from mtkit.runs.trainer import trained_pipeline
    from mtkit.shown import shown

    directory = RunDirectory(run)
    pipeline = trained_pipeline(directory, sets, unsets)
    with pipeline.recipe.blaming():
        version = pipeline.recipe.export.export(pipeline, directory.export)
    click.echo(shown(version))
    write_card(directory, directory.read_metrics(), pipeline.recipe)
