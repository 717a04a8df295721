"""`mtkit explain`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--user", required=True, metavar="ID", help="A user's id as it is in the data.")
@click.option("--item", metavar="ID", help="An item's id. [default: the item with the highest score]")
@click.option(
    "-n", "most", type=click.IntRange(min=0), default=10, show_default=True, help="Items of the past to show."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with all items of the past.")
def command(run: Path, user: str, item: str | None, most: int, *, as_json: bool) -> None:
    """Explain the score of an item for a user, by the model of RUN: its parts, and the past items that move it most."""
    from mtkit.runs.directory import RunDirectory, to_json
    from mtkit.runs.explaining import explain
    from mtkit.runs.explanation_table import show_explanation
    from mtkit.runs.recommend import texts_of_items
    from mtkit.runs.trainer import trained_pipeline
    from mtkit.runs.work import Screen
    from mtkit.shown import escaped

    directory, console = RunDirectory(run), Screen()
    found = explain(trained_pipeline(directory), user, item)
    if as_json:
        click.echo(escaped(to_json(found.plain())), nl=False)
    else:
        show_explanation(found, console, most, texts_of_items(directory))
