"""Recipes that a search tries."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

from mtkit.declared import at
from mtkit.recipe.edit import Edit
from mtkit.recipe.loader import Recipe, resolve
from mtkit.recipe.lock import lock
from mtkit.recipe.search_settings import Value


def without_search(recipe: Recipe) -> Recipe:
    """The recipe without its section `search`."""
    return tried(recipe, {})


def tried(recipe: Recipe, values: Mapping[str, Value]) -> Recipe:
    """The recipe with values of the keys that it searches, and without its section `search`.

    Args:
        recipe: read from a file, with `search`.
        values: key -> value; other keys stay as they are.

    Raises:
        RecipeError: the values make no recipe.
    """
    assert recipe.search is not None, "there is nothing to try"
    edit = Edit(recipe.document)
    edit.set(("search",), None)
    for key, value in values.items():
        for path in recipe.search.paths(key):
            edit.set(path, value)
    return resolve(edit.document())


def stated(recipe: Recipe) -> dict[str, Any]:
    """Key -> the value that the recipe has without a search, defaults included; None where it has none."""
    assert recipe.search is not None, "there is nothing to try"
    found = tomllib.loads(lock(recipe, recipe.document.directory))
    return {key: at(found, recipe.search.paths(key)[0]) for key in recipe.search.keys}
