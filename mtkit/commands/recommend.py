"""`mtkit recommend`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--user", required=True, metavar="ID", help="A user's id as it is in the data.")
@click.option("-k", type=click.IntRange(min=1), default=10, show_default=True, help="How many items.")
def command(run: Path, user: str, k: int) -> None:
    """Recommend items to a user, from the exported model of RUN."""
    from mtkit.recommend import Servant

    servant = Servant(run)
    if not servant.knows(user):
        click.echo(f"user {user} is not in the data: what follows is for someone unknown", err=True)
    servant.show(servant.recommend(user, k))
