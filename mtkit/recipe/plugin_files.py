"""Plugins that are one file, without packaging: given on the command line, for the process at work.

A recipe cannot name a file, and nothing is executed because one does: who runs the command gives it, each time. What its
components did is kept with the file's hash, so that a run is gone on with, and evaluated, by the same code.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from mtkit.errors import PluginError
from mtkit.spec import BASES, Spec

#: What pluggy calls the mark of `@hookimpl`.
_MARK = "mtkit_impl"


@dataclass(frozen=True)
class PluginFile:
    """A file that was given.

    Attributes:
        path: as it was given.
        digest: `sha256:` and the hash of its content.
        module: what it defines.
    """

    path: Path
    digest: str
    module: ModuleType

    @property
    def name(self) -> str:
        """What stands in the place of a distribution: the file's name."""
        return self.path.name

    def components(self) -> Iterator[tuple[str, str, str]]:
        """Kind, name and class of its components: specs and hooks that it defines, in the order of their names."""
        for name, found in sorted(vars(self.module).items()):
            own = isinstance(found, type) and found.__module__ == self.module.__name__ and not name.startswith("_")
            if own and (kind := _kind(found)):
                yield kind, _snake(name), name


# By name, in the order in which they were given: there is one command line.
_given: dict[str, PluginFile] = {}


def given() -> Mapping[str, PluginFile]:
    """The files that were given, by name."""
    return _given


def forget() -> None:
    """Takes back that files were given."""
    for file in _given.values():
        sys.modules.pop(file.module.__name__, None)
    _given.clear()


def use(path: Path) -> PluginFile:
    """Executes a file; recipes can name its components from now on.

    Raises:
        PluginError: there is no such file, it fails, it offers nothing, or another of the same name was given.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PluginError(f"--plugin {path}: cannot be read: {error.strerror or error}") from error
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if other := _given.get(path.name):
        if other.digest == digest:
            return other
        raise PluginError(f"--plugin {path}: {other.path} has the same name; give one of them another")
    file = PluginFile(path, digest, _executed(path, content))
    if not list(file.components()):
        kinds = ", ".join(base.__name__ for base in BASES.values())
        raise PluginError(
            f"--plugin {path}: offers nothing; expected classes on a base class of mtkit.spec ({kinds}), or with methods "
            "marked @hookimpl, whose names do not begin with an underscore"
        )
    _given[file.name] = file
    return file


def _executed(path: Path, content: bytes) -> ModuleType:
    name = f"mtkit_file_{re.sub(r'[^A-Za-z0-9_]', '_', path.stem)}"
    spec = importlib.util.spec_from_loader(name, loader=None, origin=str(path))
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(path)
    sys.modules[name] = module  # pydantic looks for the names of annotations there
    try:
        exec(compile(content, str(path), "exec"), module.__dict__)  # noqa: S102 - who runs the command gave the file
    except Exception as error:
        del sys.modules[name]
        raise PluginError(f"--plugin {path}: failed: {type(error).__name__}: {error}") from error
    return module


def _kind(cls: type) -> str:
    if issubclass(cls, Spec) and getattr(cls, "kind", "") in BASES:
        return cls.kind
    return "hooks" if any(hasattr(method, _MARK) for _, method in inspect.getmembers(cls, inspect.isfunction)) else ""


def _snake(name: str) -> str:
    """`HashedWords` as recipes call it: `hashed_words`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def missing(wanted: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Files that a recipe was made with, name -> hash, and that are not given, or are others: name, and what to do."""
    for name, digest in wanted.items():
        file: Any = _given.get(name)
        if file is None:
            yield (
                name,
                f"its components are of this file ({_short(digest)}), which is given on the command line: --plugin PATH/{name}",
            )
        elif file.digest != digest:
            yield (
                name,
                (
                    f"{file.path} is not the file that this was made with: expected {_short(digest)}, got {_short(file.digest)}; "
                    "give that one, or begin a new run"
                ),
            )


def _short(digest: str) -> str:
    return digest[:19]
