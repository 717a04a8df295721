"""What two recipes say that is not the same, once they are resolved."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mtkit.recipe.loader import Recipe, load_recipe
from mtkit.recipe.lock import lock
from mtkit.recipe.toml_positions import KeyPath, dotted
from mtkit.runs.directory import RunDirectory


class Differing(NamedTuple):
    """A key whose value is not the same.

    Attributes:
        key: dotted; of lists of components by their names (`evaluate.metrics.ndcg`).
        first: the value in the first recipe; None where it has none.
        second: the value in the second.
    """

    key: str
    first: Any
    second: Any


def given_recipe(path: Path) -> Recipe:
    """The recipe of a file, or of a run directory.

    Raises:
        MtkitError: there is none, or it is not right.
    """
    if not path.is_dir():
        return load_recipe(path)
    directory = RunDirectory(path)
    directory.check_run()
    return directory.read_recipe()


def differing(first: Recipe, second: Recipe, without: tuple[str, ...] = ()) -> list[Differing]:
    """The keys whose values are not the same, defaults included, in the order of the first recipe.

    Paths are compared as the places that they lead to.

    Args:
        first: a recipe.
        second: another one.
        without: sections that are left out.
    """
    one, other = (dict(_flat(_values(recipe, without))) for recipe in (first, second))
    return [
        Differing(dotted(path), one.get(path), other.get(path))
        for path in dict.fromkeys((*one, *other))
        if not _alike(one.get(path), other.get(path))
    ]


def _alike(first: Any, second: Any) -> bool:
    """Whether two values are the same, or paths that lead to the same place."""
    if isinstance(first, str) and isinstance(second, str) and "/" in first and "/" in second:
        return os.path.normpath(first) == os.path.normpath(second)
    return bool(first == second)


def _values(recipe: Recipe, without: tuple[str, ...]) -> dict[str, Any]:
    """The resolved recipe, with paths as they begin at the current directory."""
    values = tomllib.loads(lock(recipe, Path.cwd()))
    return {key: value for key, value in values.items() if key not in without}


def _flat(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    if isinstance(value, list) and value and all(isinstance(each, Mapping) and "use" in each for each in value):
        value = {each["use"]: each for each in value}
    if not isinstance(value, Mapping) or not value:
        yield path, value
        return
    for key, inner in value.items():
        yield from _flat(inner, (*path, key))
