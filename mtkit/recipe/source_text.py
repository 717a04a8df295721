"""A recipe's text as values that know where they stand, after `--set`, `--unset` and `${env:NAME}`."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from mtkit.declared import at
from mtkit.errors import Problem, RecipeError, nearest
from mtkit.recipe.places import Place, Source
from mtkit.recipe.toml_positions import Found, KeyPath, dotted, nested_beyond, split_key
from mtkit.recipe.toml_writer import toml_value
from mtkit.shown import hide, redacted

_REFERENCE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")
_SHOWN = 80
#: Bytes of a recipe, and tables and arrays within one another.
_LARGEST, _DEEPEST = 1 << 19, 32
_TOO_DEEP = f"is nested too deeply: expected at most {_DEEPEST} tables and arrays within one another"


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
        raw: values as written, with `${env:NAME}` in them; for messages and locks.
        values: values after substitution.
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
        return {path: text for path, text in strings(self.raw) if _REFERENCE.search(text)}

    def secrets(self, within: KeyPath = ()) -> dict[str, str]:
        """Value from the environment -> its reference, those of whole strings too; of what stands within a path."""
        values: dict[str, str] = {}
        for path, written in self.references.items():
            if path[: len(within)] != within:
                continue
            values |= {os.environ.get(name, ""): f"${{env:{name}}}" for name in _REFERENCE.findall(written)}
            values[at(self.values, path)] = written
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
    raw, places = _parse(path)
    for key in unsets:
        _unset(raw, places, key)
    for assignment in sets:
        _set(raw, places, assignment)
    _check_depth(raw, places)
    missing = [
        Mistake(where, f"environment variable {name} is not set")
        for where, text in strings(raw)
        for name in _REFERENCE.findall(text)
        if name not in os.environ
    ]
    document = Document(path, raw, _substitute(deepcopy(raw)), places)
    hide(document.secrets())
    return document, missing


def _parse(path: Path) -> tuple[dict[str, Any], dict[KeyPath, Place]]:
    source = _text(path)
    if line := nested_beyond(source.text, _DEEPEST):
        raise RecipeError([Problem(f"{path}:{line}", "", _TOO_DEEP)])
    try:
        return tomllib.loads(source.text), source.places()
    except tomllib.TOMLDecodeError as error:
        raise RecipeError([_not_toml(source, str(error))]) from None


def _text(path: Path) -> Source:
    try:
        if (size := path.stat().st_size) > _LARGEST:
            message = f"has {size:,} bytes, expected {_LARGEST:,} at most: data belong into files that a recipe names"
            raise RecipeError([Problem(str(path), "", message)])
        return Source(str(path), path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise RecipeError([Problem(str(path), "", f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        raise RecipeError([Problem(str(path), "", f"is not UTF-8 text: {error}")]) from None


def _not_toml(source: Source, message: str) -> Problem:
    """What tomllib says of a text, at the place where it gave up; that is the end where it does not say where."""
    said = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", message, re.DOTALL)
    begin = len(source.text.rstrip())
    if said and said[2]:
        lines = source.text.split("\n")
        begin = sum(len(line) + 1 for line in lines[: int(said[2]) - 1]) + int(said[3]) - 1
    place = Place(source, Found((begin, begin + 1), None))
    what = said[1] if said else message
    return Problem(place.where(), "", f"is not valid TOML: {what[:1].lower()}{what[1:]}", place.excerpt())


def _check_depth(raw: Mapping[str, Any], places: Mapping[KeyPath, Place]) -> None:
    """Refuses what is nested so deeply that reading it would not end well; a recipe has no use for it."""
    level: list[Any] = [raw]
    for _ in range(_DEEPEST + 1):
        if not level:
            return
        inner = (part.values() if isinstance(part, dict) else part for part in level)
        level = [value for values in inner for value in values if isinstance(value, dict | list)]
    raise RecipeError([Problem(places[max(places, key=len)].where(), "", _TOO_DEEP)])


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
    _forget(places, path)


def _set(raw: dict[str, Any], places: dict[KeyPath, Place], assignment: str) -> None:
    split = split_key(assignment)
    if not split or not split[1].lstrip().startswith("="):
        raise RecipeError([Problem("--set", assignment, "expected KEY=VALUE, as in task.click.weight=0.5")])
    path, value = split[0], split[1].lstrip()[1:].strip()
    if len(path) > _DEEPEST:
        raise RecipeError([Problem("--set", "", _TOO_DEEP)])
    place = Place(Source("--set", assignment, file=False), Found((0, len(assignment)), None))
    table = raw
    for depth, key in enumerate(path[:-1], 1):
        places.setdefault(path[:depth], place)
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise RecipeError([Problem("--set", dotted(path), f"{dotted(path[:depth])} is a value, not a table")])
    _forget(places, path)
    places[path] = place
    given = _parse_value(value)
    merges = isinstance(given, dict) and isinstance(table.get(path[-1]), dict)
    table[path[-1]] = _merged(table[path[-1]], given) if merges else given


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    both = {k: _merged(old[k], v) for k, v in new.items() if isinstance(v, dict) and isinstance(old.get(k), dict)}
    return old | new | both


def _parse_value(text: str) -> Any:
    if nested_beyond(text, _DEEPEST):
        if text[0] not in "[{":
            return text  # many dots, as no other value of TOML has
        raise RecipeError([Problem("--set", "", _TOO_DEEP)])
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _forget(places: dict[KeyPath, Place], path: KeyPath) -> None:
    for known in [p for p in places if p[: len(path)] == path]:
        del places[known]


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


def _substitute(value: Any) -> Any:
    if isinstance(value, str):
        return _REFERENCE.sub(lambda match: os.environ.get(match.group(1), match.group()), value)
    if isinstance(value, dict):
        return {key: _substitute(inner) for key, inner in value.items()}
    return [_substitute(inner) for inner in value] if isinstance(value, list) else value
