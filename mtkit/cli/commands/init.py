"""`mtkit init`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mtkit.draft.roles import Guess


@click.command()
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), default=Path("recipe.toml"), show_default=True,
    help="Where the recipe goes.",
)  # fmt: skip
@click.option("--yes", is_flag=True, help="Ask nothing; guesses stand.")
@click.option("--force", is_flag=True, help="Overwrite a recipe that is there.")
@click.option("--interactions", metavar="FILE", help="Which of the files holds the interactions.")
@click.option("--users", metavar="FILE", help="Which of the files has a row for each user.")
@click.option("--items", metavar="FILE", help="Which of the files has a row for each item.")
@click.option(
    "--role", "roles", multiple=True, metavar="COLUMN=ROLE",
    help="What a column is for: user, item, time, basket, event, rating, label, weight, part, categorical, numeric, text, "
    "list, ignore; of other tables as in item.title=text.",
)  # fmt: skip
@click.option("--names", multiple=True, metavar="FILE=A,B,C", help="Columns of a file without a header.")
@click.option("--separator", default="", help="What is between the fields of text files. [default: told from each]")
@click.option("--encoding", default="utf-8", show_default=True, help="Of text files.")
def command(
    data: tuple[Path, ...],
    output: Path,
    interactions: str | None,
    users: str | None,
    items: str | None,
    roles: tuple[str, ...],
    names: tuple[str, ...],
    separator: str,
    encoding: str,
    *,
    yes: bool,
    force: bool,
) -> None:
    """Write a first recipe for the files, or folders of files, DATA."""
    from mtkit.draft.draft import draft_of, reasons
    from mtkit.draft.recipe_text import name_of, recipe_text
    from mtkit.draft.roles import described
    from mtkit.draft.tables import find_tables
    from mtkit.errors import RunError
    from mtkit.files import write_text
    from mtkit.shown import shown

    if output.exists() and not force:
        raise RunError(f"{output}: is there already; choose another place with -o, or overwrite it with --force")
    columns = {file: one.split(",") for file, one in _pairs("--names", names).items()}
    found = find_tables(data, encoding, separator, columns)
    stated = {"interactions": interactions, "user": users, "item": items}
    asks = not yes and sys.stdin.isatty()
    named = {what: Path(file).name for what, file in stated.items() if file}
    draft = draft_of(found, named, _pairs("--role", roles), _ask if asks else None)
    lines = [*described(draft.tables), *(f"  {line}" for line in reasons(draft)), *draft.tables.notes]
    lines += [f"{name}: passed over: {reason}" for name, reason in found.passed_over.items()]
    click.echo(shown("\n".join(lines)))
    write_text(output, recipe_text(draft, name_of(data[0]), output.parent))
    click.echo(f"\n{output} is written. Next:\n  mtkit check {output}\n  mtkit run {output}")


def _ask(table: str, column: str, guess: Guess) -> str:
    """Asks on the terminal what a column is for, with the guess as the default."""
    from mtkit.draft.roles import ROLES
    from mtkit.shown import shown_line

    answer: str = click.prompt(
        shown_line(f"{table}.{column} ({guess.why})"), default=guess.role, type=click.Choice(ROLES), show_choices=False
    )
    return answer


def _pairs(option: str, given: Sequence[str]) -> dict[str, str]:
    """KEY=VALUE options by key."""
    for text in given:
        if not all(text.partition("=")[::2]):
            raise click.UsageError(f"{option} {text}: expected two parts with = between them")
    return {text.partition("=")[0]: text.partition("=")[2] for text in given}
