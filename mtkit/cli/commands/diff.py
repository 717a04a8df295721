"""`mtkit diff`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.table import Table

    from mtkit.runs.recipe_difference import Differing


@click.command()
@click.argument("first", metavar="A", type=click.Path(path_type=Path))
@click.argument("second", metavar="B", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(context: click.Context, first: Path, second: Path, *, as_json: bool) -> None:
    """Show what differs between two recipes, locks or run directories.

    Both are resolved first, so defaults count, and comments and the order of keys do not. Exits with 1 where something
    differs.
    """
    from mtkit.runs.recipe_difference import differing, given_recipe

    found = differing(given_recipe(first), given_recipe(second))
    _json(found) if as_json else _print(found, (first, second))
    context.exit(1 if found else 0)


def _json(found: Sequence[Differing]) -> None:
    import json

    from mtkit.shown import shown

    plain = {"differing": [each._asdict() for each in found]}
    click.echo(shown(json.dumps(plain, indent=2, default=lambda moment: moment.isoformat())))


def _print(found: Sequence[Differing], names: tuple[Path, Path]) -> None:
    from rich.console import Console

    if not found:
        click.echo("nothing differs")
        return
    Console(highlight=False).print(_table(found, names))


def _table(found: Sequence[Differing], names: tuple[Path, Path]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from mtkit.shown import shown_line

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("key", *map(str, names)):
        table.add_column(Text(shown_line(name)), overflow="fold")
    for each in found:
        table.add_row(*(Text(shown_line(text)) for text in (each.key, _value(each.first), _value(each.second))))
    return table


def _value(value: Any) -> str:
    from mtkit.recipe.toml_writer import toml_value

    return "-" if value is None else toml_value(value)
