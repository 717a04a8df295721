"""`mtkit recommend`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--user", metavar="ID", help="A user's id as it is in the data.")
@click.option("--all", "everyone", is_flag=True, help="Lists for all users, as Parquet files in --out.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where the lists of --all go; what is there already, of an earlier call that was stopped, is not made again.",
)
@click.option(
    "--shard", type=click.IntRange(min=1), default=65_536, show_default=True, help="Users of a file of --all."
)
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
def command(
    run: Path,
    user: str | None,
    everyone: bool,
    out: Path | None,
    shard: int,
    k: int,
    exclude_seen: bool,
    filters: tuple[str, ...],
    as_json: bool,
) -> None:
    """Recommend items to a user, or to all, from the exported model of RUN."""
    if (user is None) != everyone or everyone != (out is not None):
        raise click.UsageError("expected --user ID, or --all and --out FOLDER")
    if everyone and (filters or as_json):
        raise click.UsageError("--filter and --json are of one user; --all writes Parquet files")
    if out is not None:
        _to_all(run, out, k, shard, exclude_seen=exclude_seen)
    elif user is not None:
        _to_one(run, user, k, filters, exclude_seen=exclude_seen, as_json=as_json)


def _to_one(run: Path, user: str, k: int, filters: tuple[str, ...], *, exclude_seen: bool, as_json: bool) -> None:
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


def _to_all(run: Path, out: Path, k: int, shard: int, *, exclude_seen: bool) -> None:
    from rich.console import Console

    from mtkit.runs.batch_recommend import Batch
    from mtkit.runs.work import at_work
    from mtkit.shown import shown_line

    batch, console = Batch(run, k, exclude_seen=exclude_seen, shard=shard), Console(highlight=False)
    with at_work(console, "recommending", batch.asked.users) as advance:
        done = batch.write(out, advance)
    for line in done.damaged:
        click.echo(shown_line(f"made anew: {line}"), err=True)
    speed = f", {done.users / max(done.seconds, 1e-9):,.0f} a second" if done.users else ""
    kept = f"; {done.kept:,} were there" if done.kept else ""
    click.echo(shown_line(f"{out}: lists for {done.users:,} users in {done.seconds:,.1f} s{speed}{kept}"))
