"""The text of a recipe, with those of the recipes that it extends below it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mtkit.errors import Problem, RecipeError
from mtkit.recipe.places import Place, Source
from mtkit.recipe.references import filled, joined
from mtkit.recipe.toml_positions import Found, KeyPath, nested_beyond

#: The key that names the recipe below.
EXTENDS = "extends"
#: Bytes of a recipe, and tables and arrays within one another.
LARGEST, DEEPEST = 1 << 19, 32
TOO_DEEP = f"is nested too deeply: expected at most {DEEPEST} tables and arrays within one another"
#: Tables of a component that are no options of it, and stay where it is another.
_BESIDE: Mapping[KeyPath, tuple[str, ...]] = {("data",): ("split", "catalog", "silence", "prepared")}

Values = dict[str, Any]
Places = dict[KeyPath, Place]


def read(path: Path, above: Sequence[Path] = ()) -> tuple[Values, Places]:
    """What a file says, over what the file says that it extends.

    Tables are merged; lists, and all else, take the place of what is below. A component of another `use` takes the place of the
    one below, with its options.

    Args:
        path: of the file.
        above: the files that extend it, the first of them first.

    Raises:
        RecipeError: a file cannot be read, is not TOML, is too large or nested too deeply, or extends itself.
    """
    own, places = _parse(path)
    if EXTENDS not in own:
        return own, places
    given, place = own.pop(EXTENDS), places.pop((EXTENDS,))
    files = [*above, path]
    if message := _refused(given, files):
        raise RecipeError([Problem(place.where(value=True), EXTENDS, message, place.excerpt(value=True))])
    below, below_places = read(_file(given, path), files)
    _lay(own, below, below_places, ())
    return below, {**below_places, **places}


def _file(given: str, path: Path) -> Path:
    return joined(path.parent, filled(given, path.absolute().parent))


def _refused(given: Any, files: Sequence[Path]) -> str:
    """Why a file cannot extend what it names; empty if it can."""
    if not isinstance(given, str):
        return f"expected the path of a recipe, got {given!r}"
    below = _file(given, files[-1])
    if below.resolve() in [file.resolve() for file in files]:
        return f"a recipe cannot extend itself: {' -> '.join(map(str, [*files, below]))}"
    return "" if below.is_file() else f"there is no such file: {below}"


def _lay(own: Mapping[str, Any], below: Values, places: Places, path: KeyPath) -> None:
    """Lays values over others, and forgets the places of those that are covered."""
    for key, value in own.items():
        here = (*path, key)
        if isinstance(value, dict) and isinstance(old := below.get(key), dict):
            if {"use"} <= value.keys() & old.keys() and value["use"] != old["use"]:
                kept = _BESIDE.get(here, ())
                for option in [option for option in old if option not in kept]:
                    del old[option]
                    forget(places, (*here, option))
            _lay(value, old, places, here)
        else:
            below[key] = value
            forget(places, here)


def forget(places: Places, path: KeyPath) -> None:
    """Removes the places of a path and of what is in it."""
    for known in [p for p in places if p[: len(path)] == path]:
        del places[known]


def _parse(path: Path) -> tuple[Values, Places]:
    source = _text(path)
    if line := nested_beyond(source.text, DEEPEST):
        raise RecipeError([Problem(f"{path}:{line}", "", TOO_DEEP)])
    try:
        return tomllib.loads(source.text), source.places()
    except tomllib.TOMLDecodeError as error:
        raise RecipeError([_not_toml(source, str(error))]) from None


def _text(path: Path) -> Source:
    try:
        if (size := path.stat().st_size) > LARGEST:
            message = f"has {size:,} bytes, expected {LARGEST:,} at most: data belong into files that a recipe names"
            raise RecipeError([Problem(str(path), "", message)])
        return Source(str(path), path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise RecipeError([Problem(str(path), "", f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        raise RecipeError([Problem(str(path), "", f"is not UTF-8 text: {error}")]) from None


def _not_toml(source: Source, message: str) -> Problem:
    """What tomllib says of a text, at the place where it gave up; that is the end where it does not say where."""
    said = re.fullmatch(r"(.*) \((?:at line (\d+), column (\d+)|at end of document)\)", message, re.DOTALL)
    begin = len(source.text.rstrip())
    if said and said[2]:
        lines = source.text.split("\n")
        begin = sum(len(line) + 1 for line in lines[: int(said[2]) - 1]) + int(said[3]) - 1
    place = Place(source, Found((begin, begin + 1), None))
    what = said[1] if said else message
    return Problem(place.where(), "", f"is not valid TOML: {what[:1].lower()}{what[1:]}", place.excerpt())
