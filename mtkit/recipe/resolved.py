"""A resolved recipe as plain values, and where each of them came from: a file, the command line, or a default."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from mtkit.declared import at, has
from mtkit.recipe.loader import Recipe
from mtkit.recipe.lock import lock
from mtkit.recipe.source_text import Document
from mtkit.recipe.toml_positions import KeyPath
from mtkit.recipe.toml_writer import toml_key, toml_value

DEFAULT = "default"


def resolved(recipe: Recipe) -> dict[str, Any]:
    """All that a recipe says and all that it leaves to defaults; relative paths begin at its directory."""
    return tomllib.loads(lock(recipe, recipe.document.directory))


def leaves(values: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """The values that hold no others, each with its path; an empty table or list is one, too."""
    inner: list[tuple[str | int, Any]] = []
    if isinstance(values, Mapping):
        inner = list(values.items())
    elif isinstance(values, list):
        inner = list(enumerate(values))
    if not inner:
        yield path, values
    for key, value in inner:
        yield from leaves(value, (*path, key))


def origin(document: Document, path: KeyPath) -> str:
    """`file:line`, `--set` or `default`: where the value at a path of a resolved recipe came from.

    Args:
        document: what the recipe says.
        path: of the value.
    """
    said = path
    while said and not has(at(document.raw, said[:-1]), said[-1]):
        said = said[:-1]
    # What the recipe says in a shorter form (the name of a component) stands for all that follows from it.
    if said != path and (not said or isinstance(at(document.raw, said), Mapping | list)):
        return DEFAULT
    place = document.place(said)
    return place.line if place else DEFAULT


def origins(document: Document, values: Mapping[str, Any]) -> dict[KeyPath, str]:
    """Path -> origin, of all leaves."""
    return {path: origin(document, path) for path, _ in leaves(values)}


def with_origins(document: Document, values: Mapping[str, Any]) -> str:
    """TOML text of a resolved recipe; behind each value stands where it came from."""
    lines = list(_lines(document, values, ()))
    width = min(max((len(text) for text, said in lines if said), default=0), 60)
    return "".join(f"{text:<{width}}  # {said}\n" if said else f"{text}\n" for text, said in lines).lstrip()


def _lines(document: Document, values: Mapping[str, Any], path: KeyPath) -> Iterator[tuple[str, str]]:
    """Lines, each with what is said of it, of the values of a table and of those in it."""
    tables = {key: value for key, value in values.items() if isinstance(value, Mapping)}
    if path and (len(tables) < len(values) or not values):
        yield "", ""
        yield f"[{'.'.join(map(toml_key, map(str, path)))}]", ""
    for key, value in values.items():
        if key not in tables:
            yield f"{toml_key(key)} = {toml_value(value)}", origin(document, (*path, key))
    for key, value in tables.items():
        yield from _lines(document, value, (*path, key))
