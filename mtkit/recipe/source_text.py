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
from mtkit.recipe.toml_positions import KeyPath, dotted, locate, nested_beyond, split_key
from mtkit.recipe.toml_writer import toml_value
from mtkit.shown import hide, redacted

_REFERENCE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")
#: The line of what came from the command line.
_SET = 0
_SHOWN = 80
#: Bytes of a recipe, and tables and arrays within one another.
_LARGEST, _DEEPEST = 1 << 19, 32
_TOO_DEEP = f"is nested too deeply: expected at most {_DEEPEST} tables and arrays within one another"


class Mistake(NamedTuple):
    """Something wrong with the value at a path."""

    path: KeyPath
    message: str


@dataclass(frozen=True)
class Document:
    """A recipe's values. Documents compare equal: a recipe is what it says, not where that stands.

    Attributes:
        file: the recipe's path as it was given; None = composed in Python.
        raw: values as written, with `${env:NAME}` in them; for messages and locks.
        values: values after substitution.
        lines: path -> line; 0 = given by `--set`.
    """

    file: Path | None = field(default=None, compare=False)
    raw: Mapping[str, Any] = field(default_factory=dict, compare=False)
    values: Mapping[str, Any] = field(default_factory=dict, compare=False)
    lines: Mapping[KeyPath, int] = field(default_factory=dict, compare=False)

    @property
    def directory(self) -> Path:
        """Where relative paths of the recipe begin."""
        return (self.file or Path("recipe")).absolute().parent

    def line(self, path: KeyPath) -> int:
        """The line of a path, or of the nearest table around it."""
        around = (path[:length] for length in range(len(path), 0, -1))
        return next((self.lines[p] for p in around if p in self.lines), 1)

    def problem(self, mistake: Mistake) -> Problem:
        """A mistake with its place, its message free of values that came from the environment."""
        line = self.line(mistake.path)
        place = "--set" if line == _SET else f"{self.file}:{line}"
        if self.file is None:
            place = "mtkit.compose"
        return Problem(place, dotted(mistake.path), redacted(mistake.message, self.secrets()))

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
    raw, lines = _parse(path)
    for key in unsets:
        _unset(raw, lines, key)
    for assignment in sets:
        _set(raw, lines, assignment)
    _check_depth(path, raw, lines)
    missing = [
        Mistake(where, f"environment variable {name} is not set")
        for where, text in strings(raw)
        for name in _REFERENCE.findall(text)
        if name not in os.environ
    ]
    document = Document(path, raw, _substitute(deepcopy(raw)), lines)
    hide(document.secrets())
    return document, missing


def _parse(path: Path) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    try:
        if (size := path.stat().st_size) > _LARGEST:
            message = f"has {size:,} bytes, expected {_LARGEST:,} at most: data belong into files that a recipe names"
            raise RecipeError([Problem(str(path), "", message)])
        text = path.read_text(encoding="utf-8-sig")
        if line := nested_beyond(text, _DEEPEST):
            raise RecipeError([Problem(f"{path}:{line}", "", _TOO_DEEP)])
        return tomllib.loads(text), locate(text)
    except OSError as error:
        raise RecipeError([Problem(str(path), "", f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        raise RecipeError([Problem(str(path), "", f"is not UTF-8 text: {error}")]) from None
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"at line (\d+)", str(error))
        line = int(at.group(1)) if at else text.count("\n") + 1
        raise RecipeError([Problem(f"{path}:{line}", "", f"is not valid TOML: {error}")]) from None


def _check_depth(path: Path, raw: Mapping[str, Any], lines: Mapping[KeyPath, int]) -> None:
    """Refuses what is nested so deeply that reading it would not end well; a recipe has no use for it."""
    level: list[Any] = [raw]
    for _ in range(_DEEPEST + 1):
        if not level:
            return
        inner = (part.values() if isinstance(part, dict) else part for part in level)
        level = [value for values in inner for value in values if isinstance(value, dict | list)]
    line = lines[max(lines, key=len)]
    raise RecipeError([Problem("--set" if line == _SET else f"{path}:{line}", "", _TOO_DEEP)])


def _unset(raw: dict[str, Any], lines: dict[KeyPath, int], key: str) -> None:
    split = split_key(key)
    if not split or split[1]:
        raise RecipeError([Problem("--unset", key, "expected a dotted key, as in balance.use")])
    *parents, last = path = split[0]
    table = at(raw, tuple(parents))
    if not isinstance(table, dict) or last not in table:
        known = [dotted(p) for p in lines if len(p) == len(path)]
        raise RecipeError([Problem("--unset", key, f"the recipe has no such key; {nearest(key, known)}")])
    del table[last]
    _forget(lines, path)


def _set(raw: dict[str, Any], lines: dict[KeyPath, int], assignment: str) -> None:
    split = split_key(assignment)
    if not split or not split[1].lstrip().startswith("="):
        raise RecipeError([Problem("--set", assignment, "expected KEY=VALUE, as in task.click.weight=0.5")])
    path, value = split[0], split[1].lstrip()[1:].strip()
    if len(path) > _DEEPEST:
        raise RecipeError([Problem("--set", "", _TOO_DEEP)])
    table = raw
    for depth, key in enumerate(path[:-1], 1):
        lines.setdefault(path[:depth], _SET)
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise RecipeError([Problem("--set", dotted(path), f"{dotted(path[:depth])} is a value, not a table")])
    _forget(lines, path)
    lines[path] = _SET
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


def _forget(lines: dict[KeyPath, int], path: KeyPath) -> None:
    for known in [p for p in lines if p[: len(path)] == path]:
        del lines[known]


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
