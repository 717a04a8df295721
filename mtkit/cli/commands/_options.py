"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def recipe_arguments(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds RECIPE, --set and --unset; the function takes `recipe: Path`, `sets` and `unsets`: tuples of strings."""
    function = click.option(
        "--unset", "unsets", multiple=True, metavar="KEY", help="Remove a key or table, before --set."
    )(function)
    function = click.option(
        "--set", "sets", multiple=True, metavar="KEY=VALUE", help="Set a key, as in task.click.weight=0.5."
    )(function)
    return click.argument("recipe", type=click.Path(path_type=Path))(function)
