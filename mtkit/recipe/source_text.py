"""What a recipe says as values that know where they stand, after `extends`, `--set`, `--unset` and references."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from mtkit.declared import at
from mtkit.errors import Problem, RecipeError, nearest
from mtkit.recipe.inheritance import DEEPEST, EXTENDS, TOO_DEEP, forget, read
from mtkit.recipe.places import Place, Source
from mtkit.recipe.references import filled, names, of_directory, of_environment, wrong
from mtkit.recipe.toml_positions import Found, KeyPath, dotted, nested_beyond, split_key
from mtkit.recipe.toml_writer import toml_value
from mtkit.shown import hide, redacted

_SHOWN = 80


class Mistake(NamedTuple):
    """Something wrong with the value at a path, or with its key."""

    path: KeyPath
    message: str
    of_key: bool = False


@dataclass(frozen=True)
class Document:
    """A recipe's values. Documents compare equal: a recipe is what it says, not where that stands.

    Attributes:
        file: the recipe's path as it was given; None = composed in Python.
        raw: values as written, with references (`${env:NAME}`) in them; for messages and locks.
        values: with what references stand for.
        places: path -> where it stands.
    """

    file: Path | None = field(default=None, compare=False)
    raw: Mapping[str, Any] = field(default_factory=dict, compare=False)
    values: Mapping[str, Any] = field(default_factory=dict, compare=False)
    places: Mapping[KeyPath, Place] = field(default_factory=dict, compare=False, repr=False)

    @property
    def directory(self) -> Path:
        """Where relative paths of the recipe begin."""
        return (self.file or Path("recipe")).absolute().parent

    def directory_of(self, path: KeyPath) -> Path:
        """Where relative paths at a path begin: at the file in which it stands."""
        place = self.place(path)
        return Path(place.source.name).absolute().parent if place and place.source.file else self.directory

    def place(self, path: KeyPath) -> Place | None:
        """Where a path stands, or the nearest table around it; None where nothing of it does."""
        around = (path[:length] for length in range(len(path), 0, -1))
        return next((self.places[p] for p in around if p in self.places), None)

    def order(self, path: KeyPath) -> tuple[str, int]:
        """By which mistakes are sorted: those of the recipe from its begin to its end, before those of others."""
        place = self.place(path)
        if place is None or not place.source.file:
            return "", -1
        own = place.source.name == str(self.file)
        return "" if own else place.source.name, place.found.key[0]

    def problem(self, mistake: Mistake) -> Problem:
        """A mistake with its place, its message free of values that came from the environment."""
        key, message = dotted(mistake.path), redacted(mistake.message, self.secrets())
        if self.file is None:
            return Problem("mtkit.compose", key, message)
        if (place := self.place(mistake.path)) is None:
            return Problem(f"{self.file}:1", key, message)
        value = mistake.path in self.places and not mistake.of_key
        return Problem(place.where(value=value), key, message, place.excerpt(value=value))

    def shown(self, path: KeyPath) -> str:
        """The value at a path as TOML text, shortened; empty where there is none."""
        value = at(self.raw, path)
        text = "" if value is None else toml_value(value)
        return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."

    @cached_property
    def references(self) -> Mapping[KeyPath, str]:
        """Strings that refer to the environment, as written."""
        return {path: text for path, text in strings(self.raw) if names(text)}

    @cached_property
    def placed(self) -> Mapping[KeyPath, str]:
        """Strings that refer to the recipe's directory, as written."""
        return {path: text for path, text in strings(self.raw) if of_directory(text)}

    def secrets(self, within: KeyPath = ()) -> dict[str, str]:
        """Value from the environment -> its reference, those of whole strings too; of what stands within a path."""
        values: dict[str, str] = {}
        for path, written in self.references.items():
            if path[: len(within)] != within:
                continue
            if own := of_environment(written):
                values |= {**own, at(self.values, path): written}
        return values

    def secret_names(self) -> dict[str, str]:
        """As `secrets`, of what data may be called by: without values that are keys of the recipe, which anyone may read."""
        written = set(_keys(self.raw))
        return {value: ref for value, ref in self.secrets(("data",)).items() if value not in written}


def read_document(path: Path, sets: Sequence[str], unsets: Sequence[str]) -> tuple[Document, list[Mistake]]:
    """Reads a recipe's text; unset keys go before set ones are added.

    Raises:
        RecipeError: the file cannot be read, is not TOML, too large or nested too deeply, or `sets` and `unsets` are not keys.
    """
    raw, places = read(path)
    for key in unsets:
        _unset(raw, places, key)
    for assignment in sets:
        _set(raw, places, assignment)
    if EXTENDS in raw:
        message = "is read from a recipe's file alone; name another recipe, or set its keys"
        raise RecipeError([Problem("--set", EXTENDS, message)])
    _check_depth(raw, places)
    written = Document(path, raw, {}, places)
    document = replace(written, values=_filled(raw, written, ()))
    hide(document.secrets())
    return document, [Mistake(where, message) for where, text in strings(raw) for message in wrong(text)]


def _check_depth(raw: Mapping[str, Any], places: Mapping[KeyPath, Place]) -> None:
    """Refuses what is nested so deeply that reading it would not end well; a recipe has no use for it."""
    level: list[Any] = [raw]
    for _ in range(DEEPEST + 1):
        if not level:
            return
        inner = (part.values() if isinstance(part, dict) else part for part in level)
        level = [value for values in inner for value in values if isinstance(value, dict | list)]
    raise RecipeError([Problem(places[max(places, key=len)].where(), "", TOO_DEEP)])


def _unset(raw: dict[str, Any], places: dict[KeyPath, Place], key: str) -> None:
    split = split_key(key)
    if not split or split[1]:
        raise RecipeError([Problem("--unset", key, "expected a dotted key, as in balance.use")])
    *parents, last = path = split[0]
    table = at(raw, tuple(parents))
    if not isinstance(table, dict) or last not in table:
        known = [dotted(p) for p in places if len(p) == len(path)]
        raise RecipeError([Problem("--unset", key, f"the recipe has no such key; {nearest(key, known)}")])
    del table[last]
    forget(places, path)


def _set(raw: dict[str, Any], places: dict[KeyPath, Place], assignment: str) -> None:
    split = split_key(assignment)
    if not split or not split[1].lstrip().startswith("="):
        raise RecipeError([Problem("--set", assignment, "expected KEY=VALUE, as in task.click.weight=0.5")])
    path, value = split[0], split[1].lstrip()[1:].strip()
    if len(path) > DEEPEST:
        raise RecipeError([Problem("--set", "", TOO_DEEP)])
    place = Place(Source("--set", assignment, file=False), Found((0, len(assignment)), None))
    table = raw
    for depth, key in enumerate(path[:-1], 1):
        places.setdefault(path[:depth], place)
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise RecipeError([Problem("--set", dotted(path), f"{dotted(path[:depth])} is a value, not a table")])
    forget(places, path)
    places[path] = place
    given = _parse_value(value)
    merges = isinstance(given, dict) and isinstance(table.get(path[-1]), dict)
    table[path[-1]] = _merged(table[path[-1]], given) if merges else given


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    both = {k: _merged(old[k], v) for k, v in new.items() if isinstance(v, dict) and isinstance(old.get(k), dict)}
    return old | new | both


def _parse_value(text: str) -> Any:
    if nested_beyond(text, DEEPEST):
        if text[0] not in "[{":
            return text  # many dots, as no other value of TOML has
        raise RecipeError([Problem("--set", "", TOO_DEEP)])
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if len(parsed) == 1 else text


def strings(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    """All strings in a value, each with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from strings(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from strings(inner, (*path, index))


def _keys(value: Any) -> Iterator[str]:
    """All keys of tables in a value."""
    if isinstance(value, Mapping):
        yield from value
    for inner in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _keys(inner)


def _filled(value: Any, document: Document, path: KeyPath) -> Any:
    """A copy of a value with what references stand for, in the file that it comes from."""
    if isinstance(value, str):
        return filled(value, document.directory_of(path)) if "${" in value else value
    if isinstance(value, dict):
        return {key: _filled(inner, document, (*path, key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, document, (*path, index)) for index, inner in enumerate(value)]
    return deepcopy(value)
