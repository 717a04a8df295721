"""`recipe.lock.toml`: a recipe with every default filled in, which loads to an equal recipe."""

from __future__ import annotations

import itertools
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

import mtkit
from mtkit.declared import at, has
from mtkit.recipe import plugin_files
from mtkit.recipe.loader import Recipe
from mtkit.recipe.references import joined, moved
from mtkit.recipe.sections import MEASURES, SECTIONS, Section
from mtkit.recipe.settings import Silence
from mtkit.recipe.source_text import Document, strings
from mtkit.recipe.toml_positions import KeyPath, dotted
from mtkit.recipe.toml_writer import toml_document
from mtkit.recipe.validation import Model, with_paths
from mtkit.spec import Cleaned

_BY_NAME = {section.name: section for section in SECTIONS}
#: Sections of which a model consists, and its rows.
MODEL_TABLES = ("rows", "encoder", "correlation", "task", "balance")


def lock(recipe: Recipe, directory: Path) -> str:
    """The text of a lock.

    Values from the environment are written as the references they came from. Paths that are relative in the recipe are
    relative to the lock, so that a project that is copied as a whole uses its own files.

    Args:
        recipe: the recipe.
        directory: where the lock will be.
    """
    paths = _Paths(recipe.document, directory)
    values = _header(recipe) | {section.name: _section(recipe, section, paths) for section in SECTIONS}
    values = {key: value for key, value in values.items() if value != {}}
    for path in {**recipe.document.references, **recipe.document.placed}:
        _restore(values, path, recipe.document, paths)
    versions = {"mtkit": mtkit.__version__} | dict(recipe.distributions)
    made_with = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"# Resolved with {made_with}.\n{toml_document(values)}"


def model_tables(recipe: Recipe, directory: Path) -> dict[str, Any]:
    """The tables that the model, its rows and their split follow from, as a lock in a directory has them.

    Args:
        recipe: the recipe.
        directory: of a lock with which they are to be compared.
    """
    paths = _Paths(recipe.document, directory)
    split = _component(recipe, "data.split", recipe.data.split, paths)
    values = {"data": {"split": split}} | {name: _section(recipe, _BY_NAME[name], paths) for name in MODEL_TABLES}
    for path in {**recipe.document.references, **recipe.document.placed}:
        if path[0] in MODEL_TABLES or path[:2] == ("data", "split"):
            _restore(values, path, recipe.document, paths)
    return tomllib.loads(toml_document(values))


def plain_section(recipe: Recipe, name: str, directory: Path) -> dict[str, Any]:
    """A section as a lock in a directory has it."""
    values = {name: _section(recipe, _BY_NAME[name], _Paths(recipe.document, directory))}
    for path in {**recipe.document.references, **recipe.document.placed}:
        if path[0] == name:
            _restore(values, path, recipe.document, _Paths(recipe.document, directory))
    written: dict[str, Any] = tomllib.loads(toml_document(values)).get(name, {})
    return written


class _Paths:
    """How the paths of a recipe are written in a lock.

    Args:
        document: where they were given, relative to the recipe or absolute.
        directory: of the lock.
    """

    def __init__(self, document: Document, directory: Path) -> None:
        self._document, self._lock, self._bases = document, directory, dict[Path, Path]()
        given = [(p, text) for p, text in strings(document.values) if "\0" not in text and not Path(text).is_absolute()]
        self._given = {str(joined(document.directory_of(path), text)): self.moved(text, path) for path, text in given}
        self._absolute = {text for _, text in strings(document.values)}
        self._own, self._known = document.directory, document.file is not None

    def _base(self, directory: Path) -> Path:
        """A directory as it begins at the lock."""
        if directory not in self._bases:
            # Real directories, since `..` leads out of what a link points to.
            relative = os.path.relpath(os.path.realpath(directory), os.path.realpath(self._lock))
            self._bases[directory] = Path(relative)
        return self._bases[directory]

    def moved(self, relative: str | Path, path: KeyPath = ()) -> str:
        """A path that begins at the file that says it, at some keys, as it begins at the lock."""
        directory, rest = _climbed(self._document.directory_of(path), Path(relative))
        return str(self._base(directory) / rest)

    def rewritten(self, value: Any, path: KeyPath) -> Any:
        """What the recipe says at a path, with references to its directory as the lock has them."""
        if isinstance(value, str):
            return moved(value, self._base(self._document.directory_of(path)).as_posix())
        if isinstance(value, Mapping):
            return {key: self.rewritten(inner, (*path, key)) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.rewritten(inner, (*path, index)) for index, inner in enumerate(value)]
        return value

    def of(self, model: Model) -> Model:
        """A model whose paths are as the lock has them."""
        return with_paths(model, lambda path, _: Path(self._written(path)), lambda name, _: self._written_name(name))

    def _written(self, path: Path) -> str:
        if not self._known or str(path) in self._absolute:
            return str(path)
        if str(path) in self._given:
            return self._given[str(path)]
        return self.moved(path.relative_to(self._own)) if path.is_relative_to(self._own) else str(path)

    def _written_name(self, name: str) -> str:
        return self._written(Path(name)) if Path(name).is_absolute() else name


def _climbed(directory: Path, relative: Path) -> tuple[Path, Path]:
    """The directory above, as far as a path leads there at first, and the rest: `run/../data` would end where `run` goes."""
    ups = len(list(itertools.takewhile(lambda part: part == "..", relative.parts)))
    real = Path(os.path.realpath(directory)) if ups else directory
    return (real.parents[ups - 1] if 0 < ups <= len(real.parents) else real), Path(*relative.parts[ups:])


def _plain(model: BaseModel, paths: _Paths) -> dict[str, Any]:
    # TOML has no null: what is None is left out, and None is what its default gives.
    return paths.of(model).model_dump(mode="json", by_alias=True, round_trip=True, exclude_none=True)


def _header(recipe: Recipe) -> dict[str, Any]:
    names = ("recipe", "name", "seed", "deterministic")
    files = {name: file.digest for name, file in plugin_files.given().items() if name in recipe.distributions}
    told = {name: text for name in ("description", "intended_use") if (text := getattr(recipe, name))}
    plain = {name: getattr(recipe, name) for name in names} | told | {"requires": dict(recipe.requires)}
    return plain | ({"plugins": files} if files else {})


def _section(recipe: Recipe, section: Section, paths: _Paths) -> dict[str, Any]:
    own = {"data": _data, "evaluate": _evaluate}.get(section.name)
    if own:
        return own(recipe, paths)
    held = getattr(recipe, section.name)
    if held is None:
        return {}
    if section.named and not section.kind:
        return {name: _plain(settings, paths) for name, settings in held.items()}
    if section.named:
        return {
            name: _component(recipe, f"{section.name}.{name}", component, paths) for name, component in held.items()
        }
    return _component(recipe, section.name, held, paths) if section.kind else _plain(held, paths)


def _component(recipe: Recipe, address: str, component: Any, paths: _Paths) -> dict[str, Any]:
    options = _plain(component, paths) if isinstance(component, BaseModel) else {}
    return {"use": recipe.uses[address]} | options


def _data(recipe: Recipe, paths: _Paths) -> dict[str, Any]:
    data = recipe.data
    tables: dict[str, Any] = {"split": _component(recipe, "data.split", data.split, paths)}
    if data.catalog:
        tables["catalog"] = {entity: _plain(catalog, paths) for entity, catalog in data.catalog.items()}
    beside = _plain(Silence(silence=data.silence, prepared=data.prepared), paths)
    beside = {key: value for key, value in beside.items() if value}
    source = data.source.source if isinstance(data.source, Cleaned) else data.source
    return _component(recipe, "data", source, paths) | beside | tables


def _evaluate(recipe: Recipe, paths: _Paths) -> dict[str, Any]:
    evaluate = recipe.evaluate
    lists = {
        key: [
            {"use": recipe.uses.get(dotted(("evaluate", key, name)), name)} | _plain(component, paths)
            for name, component in getattr(evaluate, key).items()
        ]
        for key in MEASURES
    }
    return evaluate.model_dump(mode="json", exclude=set(MEASURES), exclude_none=True) | lists


def _restore(values: Any, path: KeyPath, document: Document, paths: _Paths) -> None:
    """Writes what the recipe says at a path, or around it where the component keeps the value in another shape."""
    for depth, part in enumerate(path[:-1], 1):
        inner = values[part] if has(values, part) else None
        if not (isinstance(inner, dict) or has(inner, path[depth])):
            values[part] = paths.rewritten(at(document.raw, path[:depth]), path[:depth])
            return
        values = inner
    written, given = at(document.raw, path), at(document.values, path)
    relative = has(values, path[-1]) and values[path[-1]] == paths.moved(given, path) != given
    values[path[-1]] = paths.moved(written, path) if relative else paths.rewritten(written, path)
