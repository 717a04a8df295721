"""`mtkit evaluate`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
def command(run: Path) -> None:
    """Evaluate the model of RUN on its test again, and print the metrics as JSON."""
    from mtkit.evaluate import evaluate
    from mtkit.run import trained_pipeline
    from mtkit.rundir import RunDirectory, to_json

    pipeline = trained_pipeline(RunDirectory(run))
    values = evaluate(pipeline)
    click.echo(to_json({"test": values}), nl=False)
