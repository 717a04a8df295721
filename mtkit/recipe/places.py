"""Places of a recipe's values: file, line and column, and the line itself with a caret below, for messages."""

from __future__ import annotations

import bisect
import re
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from mtkit.recipe.toml_positions import Found, KeyPath, Span, locate

#: Characters of a line that are shown.
_WIDTH = 96


@dataclass(frozen=True, eq=False)
class Source:
    """A text that values come from.

    Attributes:
        name: what messages call it: the path of a file as it was given, or `--set`.
        text: all of it.
        file: whether it is one, with lines.
    """

    name: str
    text: str
    file: bool = True

    @cached_property
    def _newlines(self) -> list[int]:
        return [match.start() for match in re.finditer("\n", self.text)]

    def line(self, position: int) -> int:
        """The line of a character, from 1."""
        return bisect.bisect_left(self._newlines, position) + 1

    def column(self, position: int) -> int:
        """The column of a character, from 1."""
        return position - self.text.rfind("\n", 0, position)

    def places(self) -> dict[KeyPath, Place]:
        """Where each key and element of an array stands; the text is valid TOML."""
        return {path: Place(self, found) for path, found in locate(self.text).items()}


class Place(NamedTuple):
    """Where a key stands, or an element of an array.

    Attributes:
        source: in which text.
        found: where in it.
    """

    source: Source
    found: Found

    def where(self, *, value: bool = False) -> str:
        """`file:line:column` of the key, or of what it is set to; of the command line the option."""
        if not self.source.file:
            return self.source.name
        begin = self.span(value=value)[0]
        return f"{self.source.name}:{self.source.line(begin)}:{self.source.column(begin)}"

    @property
    def line(self) -> str:
        """`file:line`; of the command line the option."""
        return self.where().rpartition(":")[0] if self.source.file else self.source.name

    def span(self, *, value: bool) -> Span:
        """Where the key stands, or its value, if it has one."""
        return (value and self.found.value) or self.found.key

    def excerpt(self, *, value: bool = False) -> str:
        """The line, and below it a caret for each character of the key or of its value; nothing of the command line."""
        return excerpt(self.source, self.span(value=value)) if self.source.file else ""


def excerpt(source: Source, span: Span) -> str:
    """The line of a text in which a part begins, with its number, and carets below the part as far as it is on the line."""
    begin, end = span
    first = source.text.rfind("\n", 0, begin) + 1
    line = source.text[first:].partition("\n")[0]
    start, stop = begin - first, max(min(end - first, len(line)), begin - first + 1)
    cut = max(0, min(start - _WIDTH // 4, len(line) - _WIDTH)) if len(line) > _WIDTH else 0
    text = ("..." if cut else "") + line[cut : cut + _WIDTH] + ("..." if cut + _WIDTH < len(line) else "")
    before = start - cut + 3 * bool(cut)
    number = str(source.line(begin))
    carets = "^" * min(stop - start, max(_WIDTH - (start - cut), 1))
    return f"  {number} | {text.replace(chr(9), ' ').rstrip()}\n  {' ' * len(number)} | {' ' * before}{carets}"
