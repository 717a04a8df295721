"""`mtkit recommend`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--user", required=True, metavar="ID", help="A user's id as it is in the data.")
@click.option("-k", type=click.IntRange(min=1), default=10, show_default=True, help="How many items.")
@click.option("--exclude-seen/--no-exclude-seen", default=False, help="Leave out what is in the user's own past.")
@click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="COLUMN=VALUE",
    help="Only items of which a column that the recipe filters by has this value, or one of several that are given.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(run: Path, user: str, k: int, exclude_seen: bool, filters: tuple[str, ...], as_json: bool) -> None:
    """Recommend items to a user, from the exported model of RUN."""
    import json

    from mtkit.runs import recommend
    from mtkit.shown import escaped, shown_line

    wanted: dict[str, list[str]] = {}
    for text in filters:
        column, equals, value = text.partition("=")
        if not equals:
            raise click.BadParameter(f"expected COLUMN=VALUE, got {text!r}", param_hint="--filter")
        wanted.setdefault(column, []).append(value)
    servant = recommend.Servant(run)
    best = servant.recommend(user, k, exclude_seen, wanted)
    known, past = servant.knows(user), servant.past(user)
    if as_json:
        click.echo(escaped(json.dumps(recommend.as_json(user, known, best, past), indent=2, ensure_ascii=False)))
        return
    if not known:
        click.echo(f"{shown_line(user)} is not in the data; what follows is what an unknown person gets", err=True)
    recommend.show(user, best, past)
