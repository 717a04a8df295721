"""`mtkit evaluate`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
def command(run: Path) -> None:
    """Evaluate the model of RUN on its test again, and print the metrics as JSON."""
    from mtkit.model.model_evaluation import evaluate
    from mtkit.runs.directory import RunDirectory, to_json
    from mtkit.runs.trainer import trained_pipeline
    from mtkit.serving.list_evaluation import evaluate_lists
    from mtkit.shown import shown

    pipeline = trained_pipeline(RunDirectory(run))
    with pipeline.recipe.blaming():
        values = evaluate(pipeline) | evaluate_lists(pipeline, pipeline.protocol())
    click.echo(shown(to_json({"test": values})), nl=False)
