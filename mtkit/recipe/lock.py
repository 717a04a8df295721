"""`recipe.lock.toml`: a recipe with every default filled in, which loads to an equal recipe."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

import mtkit
from mtkit.recipe.loader import Recipe
from mtkit.recipe.sections import MEASURES, SECTIONS, Section
from mtkit.recipe.source_text import Document, has, value_at
from mtkit.recipe.toml_positions import KeyPath
from mtkit.recipe.toml_writer import toml_document


def lock(recipe: Recipe) -> str:
    """The text of a lock. Values from the environment are written as the references they came from."""
    values = _header(recipe) | {section.name: _section(recipe, section) for section in SECTIONS}
    values = {key: value for key, value in values.items() if value != {}}
    for path in recipe.document.references:
        _restore(values, path, recipe.document)
    versions = {"mtkit": mtkit.__version__} | dict(recipe.distributions)
    made_with = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"# Resolved with {made_with}.\n{toml_document(values)}"


def _plain(model: BaseModel) -> dict[str, Any]:
    # TOML has no null: what is None is left out, and None is what its default gives.
    return model.model_dump(mode="json", by_alias=True, round_trip=True, exclude_none=True)


def _header(recipe: Recipe) -> dict[str, Any]:
    names = ("recipe", "name", "seed", "deterministic")
    return {name: getattr(recipe, name) for name in names} | {"requires": dict(recipe.requires)}


def _section(recipe: Recipe, section: Section) -> dict[str, Any]:
    own = {"data": _data, "evaluate": _evaluate}.get(section.name)
    if own:
        return own(recipe)
    held = getattr(recipe, section.name)
    if section.named:
        return {name: _component(recipe, f"{section.name}.{name}", component) for name, component in held.items()}
    return _component(recipe, section.name, held) if section.kind else _plain(held)


def _component(recipe: Recipe, address: str, component: Any) -> dict[str, Any]:
    options = _plain(component) if isinstance(component, BaseModel) else {}
    return {"use": recipe.uses[address]} | options


def _data(recipe: Recipe) -> dict[str, Any]:
    data = recipe.data
    tables: dict[str, Any] = {"split": _component(recipe, "data.split", data.split)}
    if data.catalog:
        tables["catalog"] = {entity: _plain(catalog) for entity, catalog in data.catalog.items()}
    return _component(recipe, "data", data.source) | tables


def _evaluate(recipe: Recipe) -> dict[str, Any]:
    evaluate = recipe.evaluate
    lists = {key: [{"use": n} | _plain(c) for n, c in getattr(evaluate, key).items()] for key in MEASURES}
    return evaluate.model_dump(mode="json", exclude=set(MEASURES), exclude_none=True) | lists


def _restore(values: Any, path: KeyPath, document: Document) -> None:
    """Writes what the recipe says at a path, or around it where the component keeps the value in another shape."""
    for depth, part in enumerate(path[:-1], 1):
        inner = values[part] if has(values, part) else None
        if not (isinstance(inner, dict) or has(inner, path[depth])):
            values[part] = value_at(document.raw, path[:depth])
            return
        values = inner
    written, given = value_at(document.raw, path), value_at(document.values, path)
    resolved = document.directory / given
    moved = has(values, path[-1]) and values[path[-1]] == str(resolved) != given
    values[path[-1]] = f"{document.directory}/{written}" if moved else written
