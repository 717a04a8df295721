"""`${env:NAME}`, `${env:NAME:-default}` and `${recipe.dir}` in the strings of a recipe."""

from __future__ import annotations

import os
import re
from pathlib import Path

_ENV = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\}")
_DIR = "${recipe.dir}"
#: What begins like a reference, whether it is one or not.
_BEGUN = re.compile(r"\$\{(?:env:|recipe\.)[^}]*\}?")


def names(text: str) -> list[str]:
    """The variables of the environment that a text refers to."""
    return [name for name, _ in _ENV.findall(text)]


def of_environment(text: str) -> dict[str, str]:
    """Value -> reference, for the references of a text whose value is the environment's, and no default."""
    return {os.environ[found[1]]: found[0] for found in _ENV.finditer(text) if os.environ.get(found[1])}


def of_directory(text: str) -> bool:
    """Whether a text refers to the recipe's directory."""
    return _DIR in text


def moved(text: str, relative: str) -> str:
    """A text whose references to the directory are to be read in another one.

    Args:
        text: as written.
        relative: the directory, as it begins at the other one.
    """
    return text if relative == "." else text.replace(_DIR, f"{_DIR}/{relative}")


def filled(text: str, directory: Path) -> str:
    """A text with values in the place of references; those that have none stay."""
    text = _ENV.sub(lambda found: os.environ.get(found[1]) or _default(found), text)
    rest = text.removeprefix(f"{_DIR}/").replace(_DIR, str(directory))
    return str(joined(directory, rest)) if text.startswith(f"{_DIR}/") else rest


def joined(directory: Path, path: str | Path) -> Path:
    """A path that begins at a directory, without `..` where that leads to the same place."""
    whole = directory / path
    if Path(path).is_absolute() or ".." not in Path(path).parts:
        return whole
    plain = Path(os.path.normpath(whole))
    return plain if os.path.realpath(plain) == os.path.realpath(whole) else whole


def _default(found: re.Match[str]) -> str:
    if found[2] is not None:
        return found[2]
    return os.environ.get(found[1], found[0])


def wrong(text: str) -> list[str]:
    """What is wrong with the references of a text: variables that are not set, and what is none."""
    unset = [
        f"environment variable {name} is not set; set it, or write ${{env:{name}:-DEFAULT}}"
        for name, default in dict.fromkeys((found[1], found[2]) for found in _ENV.finditer(text))
        if default is None and name not in os.environ
    ]
    begun = (found for found in _BEGUN.findall(text) if found != _DIR and not _ENV.fullmatch(found))
    none = [f"{found} is no reference; expected ${{env:NAME}}, ${{env:NAME:-DEFAULT}} or {_DIR}" for found in begun]
    return unset + none
