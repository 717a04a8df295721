"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from mtkit.recipe.loader import Recipe


def recipe_arguments(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds RECIPE, --set and --unset; the function takes `recipe: Path`, `sets` and `unsets`: tuples of strings."""
    function = click.option(
        "--unset", "unsets", multiple=True, metavar="KEY", help="Remove a key or table, before --set."
    )(function)
    function = click.option(
        "--set", "sets", multiple=True, metavar="KEY=VALUE", help="Set a key, as in task.click.weight=0.5."
    )(function)
    return click.argument("recipe", type=click.Path(path_type=Path))(function)


def alone_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --alone; the function takes `alone: str | None`."""
    return click.option(
        "--alone",
        metavar="TASK",
        help="The recipe of this task, the tasks whose predictions it reads, and what they need.",
    )(function)


def given_recipe(path: Path, sets: tuple[str, ...], unsets: tuple[str, ...], alone: str | None) -> Recipe:
    """The recipe that a command is asked for.

    Raises:
        RecipeError: with every mistake that was found.
    """
    from mtkit.recipe.loader import load_recipe

    recipe = load_recipe(path, sets, unsets)
    if alone is None:
        return recipe
    from mtkit.recipe.alone import alone as for_one

    return for_one(recipe, alone)
