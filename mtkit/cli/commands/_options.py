"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mtkit.cli.traces import keep_traces

if TYPE_CHECKING:
    from mtkit.recipe.loader import Recipe
    from mtkit.runs.console import Reporter


def recipe_arguments(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds RECIPE, --set and --unset; the function takes `recipe: Path`, `sets` and `unsets`: tuples of strings."""
    function = click.option(
        "--unset", "unsets", multiple=True, metavar="KEY", help="Remove a key or table, before --set."
    )(function)
    function = click.option(
        "--set", "sets", multiple=True, metavar="KEY=VALUE", help="Set a key, as in task.click.weight=0.5."
    )(function)
    return click.argument("recipe", type=click.Path(path_type=Path))(function)


def screen_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --quiet, --verbose and --log; the function takes `quiet: bool`, `verbose: bool` and `log: str`."""
    for option in (
        click.option(
            "--log", type=click.Choice(["text", "json"]), default="text", show_default=True,
            help="What is printed: words for people, or JSON, an object a line.",
        ),
        click.option(
            "-v", "--verbose", is_flag=True, callback=keep_traces,
            help="Print all tables at the end, what rows later phases have, and the traceback of a component that fails.",
        ),
        click.option("-q", "--quiet", is_flag=True, help="Print warnings and the last screen alone."),
    ):  # fmt: skip
        function = option(function)
    return function


def chosen_reporter(*, quiet: bool, verbose: bool, log: str) -> Reporter:
    """What shows the course of a run.

    Raises:
        click.UsageError: more and less are asked for, or either of JSON, which has all.
    """
    if quiet + verbose + (log == "json") > 1:
        raise click.UsageError("expected at most one of --quiet, --verbose and --log json")
    if log == "json":
        from mtkit.runs.json_log import JsonReporter

        return JsonReporter()
    from mtkit.runs.console import Reporter

    return Reporter(verbosity=verbose - quiet)


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
