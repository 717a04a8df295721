"""Changes of what a recipe says."""

from __future__ import annotations

from collections.abc import Container
from copy import deepcopy
from dataclasses import replace
from typing import Any

from mtkit.declared import at
from mtkit.recipe.source_text import Document
from mtkit.recipe.toml_positions import KeyPath


class Edit:
    """Changes of what a recipe says, as written and as it is meant.

    Args:
        document: of the recipe, which stays as it is.
    """

    def __init__(self, document: Document) -> None:
        self._document = document
        self._both = [deepcopy(dict(document.raw)), deepcopy(dict(document.values))]

    def document(self) -> Document:
        """The changed one."""
        raw, values = self._both
        return replace(self._document, raw=raw, values=values)

    def keep(self, section: str, names: Container[str]) -> None:
        """Leaves the other components of a section."""
        for values in self._both:
            if section in values:
                values[section] = {name: given for name, given in values[section].items() if name in names}

    def set(self, path: KeyPath, value: Any) -> None:
        """Sets a value, or removes it: None."""
        *tables, key = map(str, path)
        for table in self._both:
            for name in tables:
                table = table.setdefault(name, {})  # noqa: PLW2901 - the way down
            table.pop(key, None)
            if value is not None:
                table[key] = value

    def filter(self, path: KeyPath, keeps: Any) -> None:
        """Leaves elements of a list, if there is one, by `keeps(element, position)`."""
        *tables, key = path
        for values in self._both:
            table = at(values, tuple(tables))
            if isinstance(table, dict) and isinstance(given := table.get(key), list):
                table[key] = [element for place, element in enumerate(given) if keeps(element, place)]
