"""`mtkit export`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
def command(run: Path) -> None:
    """Export the model of RUN once more, as the next version."""
    from mtkit.runs.directory import RunDirectory
    from mtkit.runs.trainer import trained_pipeline
    from mtkit.shown import shown

    directory = RunDirectory(run)
    pipeline = trained_pipeline(directory)
    with pipeline.recipe.blaming():
        version = pipeline.recipe.export.export(pipeline, directory.export)
    click.echo(shown(version))
