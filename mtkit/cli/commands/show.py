"""`mtkit show`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mtkit.cli.commands._options import alone_option, given_recipe, recipe_arguments

if TYPE_CHECKING:
    from mtkit.recipe.loader import Recipe

_MB = 1 << 20


@click.command()
@recipe_arguments
@alone_option
@click.option("--origin", is_flag=True, help="Say behind each value where it came from: file:line, --set, default.")
@click.option("--mermaid", is_flag=True, help="Print the wiring as a Mermaid flowchart instead.")
@click.option("--parameters", is_flag=True, help="Parameters and memory of each part, which takes the data.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: values, and with the options above what they add.")
def command(
    recipe: Path,
    sets: tuple[str, ...],
    unsets: tuple[str, ...],
    alone: str | None,
    *,
    origin: bool,
    mermaid: bool,
    parameters: bool,
    as_json: bool,
) -> None:
    """Print a recipe as it is resolved, with every default filled in."""
    from mtkit.shown import shown

    loaded = given_recipe(recipe, sets, unsets, alone)
    asked = {"origin": origin, "mermaid": mermaid, "parameters": parameters}
    text = _json(loaded, asked) if as_json else _text(loaded, asked)
    click.echo(shown(text), nl=False)


def _text(recipe: Recipe, asked: dict[str, bool]) -> str:
    from mtkit.recipe.mermaid import mermaid
    from mtkit.recipe.resolved import resolved, with_origins
    from mtkit.recipe.toml_writer import toml_document

    if asked["mermaid"]:
        return mermaid(recipe)
    if asked["parameters"]:
        return _sizes(recipe)
    values = resolved(recipe)
    return with_origins(recipe.document, values) if asked["origin"] else toml_document(values)


def _json(recipe: Recipe, asked: dict[str, bool]) -> str:
    from mtkit.recipe.mermaid import mermaid
    from mtkit.recipe.resolved import origins, resolved
    from mtkit.recipe.toml_positions import dotted

    values = resolved(recipe)
    found: dict[str, Any] = {"recipe": values}
    if asked["origin"]:
        found["origin"] = {dotted(path): said for path, said in origins(recipe.document, values).items()}
    if asked["mermaid"]:
        found["mermaid"] = mermaid(recipe)
    if asked["parameters"]:
        from mtkit.runs.part_sizes import part_sizes

        found["parameters"] = [size._asdict() for size in part_sizes(recipe)]
    return _dumped(found)


def _dumped(values: Any) -> str:
    import json

    return json.dumps(values, indent=2, default=lambda moment: moment.isoformat()) + "\n"


def _sizes(recipe: Recipe) -> str:
    """A table; totals at its end."""
    from mtkit.runs.part_sizes import part_sizes

    sizes = part_sizes(recipe)
    totals = [sum(column) for column in zip(*(size[1:] for size in sizes), strict=True)]
    rows = [("part", "parameters", "MB", "MB in training")]
    rows += [(s.part, f"{s.parameters:,}", f"{s.bytes / _MB:.1f}", f"{s.training / _MB:.1f}") for s in sizes]
    rows += [("all", f"{totals[0]:,}", f"{totals[1] / _MB:.1f}", f"{totals[2] / _MB:.1f}")]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )
    return "\n".join(lines) + "\n"
