"""`mtkit similar`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--item", required=True, metavar="ID", help="An item's id as it is in the data.")
@click.option("-k", type=click.IntRange(min=1), default=10, show_default=True, help="How many items.")
@click.option(
    "--by",
    type=click.Choice(["embedding", "users"]),
    default="embedding",
    show_default=True,
    help="Near by the main task's embeddings, or had by the same users.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(run: Path, item: str, k: int, by: Literal["embedding", "users"], as_json: bool) -> None:
    """Show items like an item, from the exported model of RUN."""
    import json

    from mtkit.runs import recommend
    from mtkit.shown import escaped

    similar = recommend.Servant(run).similar(item, k, by)
    if as_json:
        said = {"format": 1, "item": item, "by": by, "similar": [vars(other) for other in similar]}
        click.echo(escaped(json.dumps(said, indent=2, ensure_ascii=False)))
        return
    recommend.show_similar(item, similar)
