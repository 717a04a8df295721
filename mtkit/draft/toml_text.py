"""A recipe as text: tables with short comments, in lines that fit a screen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mtkit.recipe.toml_writer import toml_key, toml_value

_WIDTH = 120
#: Where comments behind values begin.
_BEHIND = 34


@dataclass(frozen=True)
class Part:
    """A table of a recipe.

    Attributes:
        header: its address (`data.split`); empty for the keys before the first table.
        values: key -> value.
        about: comment above it.
        notes: key -> comment behind its value; keys without a value are comments of their own, in the end.
    """

    header: str
    values: Mapping[str, Any]
    about: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"# {line}" for line in self.about.splitlines()]
        lines += [f"[{self.header}]"] if self.header else []
        for key, value in self.values.items():
            lines.append(_commented(_entry(key, value), self.notes.get(key, "")))
        lines += [f"# {key}: {note}" for key, note in self.notes.items() if key not in self.values]
        return "\n".join(lines)


def text_of(parts: list[Part]) -> str:
    """The whole recipe."""
    return "\n\n".join(map(str, parts)) + "\n"


def _entry(key: str, value: Any) -> str:
    line = f"{toml_key(key)} = {toml_value(value)}"
    if len(line) <= _WIDTH or not isinstance(value, list):
        return line
    lines, row = [f"{toml_key(key)} = ["], "   "
    for item in map(toml_value, value):
        if len(row) + len(item) + 2 > _WIDTH:
            lines.append(row)
            row = "   "
        row += f" {item},"
    return "\n".join([*lines, row, "]"])


def _commented(entry: str, note: str) -> str:
    if not note:
        return entry
    *above, last = entry.split("\n")
    line = f"{last.ljust(_BEHIND)} # {note}"
    return "\n".join([*above, line]) if len(line) <= _WIDTH else f"# {note}\n{entry}"
