"""`mtkit schema`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("-o", "--out", type=click.Path(path_type=Path), help="A file in the place of the screen.")
def command(out: Path | None) -> None:
    """Write the format of recipes as a JSON schema, with all components that are installed.

    Editors complete and check a recipe that begins with the line `#:schema FILE`.
    """
    from pydantic import TypeAdapter

    from mtkit.recipe.json_schema import recipe_schema

    text = TypeAdapter(dict).dump_json(recipe_schema(), indent=1).decode() + "\n"
    if out is None:
        click.echo(text, nl=False)
        return
    from mtkit.files import write_text

    write_text(out, text)
    click.echo(f"{out}: write `#:schema {out.name}` into the first line of recipes beside it")
