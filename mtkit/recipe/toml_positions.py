"""Where keys stand in a TOML text: tomllib gives values without positions.

The scanner reads valid TOML 1.0 only; texts go through `tomllib.loads` first.
"""

from __future__ import annotations

import re
import tomllib
from typing import NamedTuple

from mtkit.recipe.toml_writer import toml_key

#: Keys from the root of a document; array elements by index.
KeyPath = tuple[str | int, ...]

#: Where a part of a text begins, and where it has ended: characters from its start.
Span = tuple[int, int]


class Found(NamedTuple):
    """Where a key, or an element of an array, stands in a text.

    Attributes:
        key: the key, of a dotted one the part; of an element, the element.
        value: what it is set to; None for tables that have a header, or are only implied.
    """

    key: Span
    value: Span | None


_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BASIC = r'"(?:\\.|[^"\\\n])*"'
_LITERAL = r"'[^'\n]*'"
_PART = re.compile(rf"{_BARE_KEY.pattern}|{_BASIC}|{_LITERAL}")
_KEY = re.compile(rf"(?:{_PART.pattern})(?:[ \t]*\.[ \t]*(?:{_PART.pattern}))*")
# A multi-line string may end with two quotes of its own before the three that close it.
_STRING = re.compile(rf'"""(?:\\[\s\S]|[^\\])*?""""{{0,2}}|\'\'\'[\s\S]*?\'\'\'\'{{0,2}}|{_BASIC}|{_LITERAL}')
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
# What tells how deep a key stands; strings that nothing closes end as well, so that no text is read twice.
_STRUCTURE = re.compile(
    r'"""(?:\\[\s\S]|[^\\])*?(?:""""{0,2}|\Z)|\'\'\'[\s\S]*?(?:\'\'\'\'{0,2}|\Z)|"(?:\\.|[^"\\\n])*"?|\'[^\'\n]*\'?'
    r"|#[^\n]*|[\[{]|[\]}]|[.,\n]"
)
# Not split at spaces: one may stand between a date and a time.
_SCALAR = re.compile(r"[^,\]}#\r\n]+")


def locate(text: str) -> dict[KeyPath, Found]:
    """Where every key and array element of a TOML text stands.

    A table that is only implied (`a` in `[a.b]`) stands where it is first named.

    Args:
        text: valid TOML, with lines that end in a line feed, or in it and a carriage return before it.
    """
    scanner = _Scanner(text)
    scanner.document()
    return scanner.found


def nested_beyond(text: str, levels: int) -> int:
    """The first line with a key or value nested deeper than a limit; 0 where there is none. In linear time.

    Args:
        text: what may be TOML; `tomllib` takes minutes, and gigabytes, for a key of a hundred thousand parts.
        levels: parts of keys, tables and arrays within one another.
    """
    around, level = [0], 0
    for found in _STRUCTURE.finditer(text):
        mark = found.group()
        if mark in "[{":
            level += 1
            around.append(level)
        elif mark in "]}":
            level = around.pop() - 1 if len(around) > 1 else 0
        elif mark == ".":
            level += 1
        elif mark in ",\n":
            level = around[-1]
        if level > levels:
            return text.count("\n", 0, found.start()) + 1
    return 0


def dotted(path: KeyPath) -> str:
    """A path as a person writes it: `evaluate.baselines[1].half_life`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{toml_key(part)}" if text else toml_key(part)
    return text


def split_key(text: str) -> tuple[tuple[str, ...], str] | None:
    """The dotted key at the beginning of a text, and what follows it; None where no key stands there."""
    match = _KEY.match(text)
    return (_parts(match.group()), text[match.end() :]) if match else None


def _parts(key: str) -> tuple[str, ...]:
    return tuple(tomllib.loads(f"part = {part}")["part"] if part[0] in "\"'" else part for part in _PART.findall(key))


class _Scanner:
    def __init__(self, text: str) -> None:
        self.found: dict[KeyPath, Found] = {}
        self._text = text
        self._position = 0
        self._lengths: dict[KeyPath, int] = {}

    def document(self) -> None:
        table: KeyPath = ()
        while self._skip_blank():
            if self._peek("["):
                table = self._header()
            else:
                self._pair(table)

    def _skip_blank(self) -> bool:
        self._skip(_BLANK)
        return self._position < len(self._text)

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._position)
        assert match, "not a valid TOML text"
        self._position = match.end()
        return match.group()

    def _peek(self, token: str) -> bool:
        return self._text.startswith(token, self._position)

    def _key(self) -> list[tuple[str, Span]]:
        """The parts of a dotted key, each with where it stands."""
        begin = self._position
        key = self._skip(_KEY)
        spans = [(begin + part.start(), begin + part.end()) for part in _PART.finditer(key)]
        return list(zip(_parts(key), spans, strict=True))

    def _header(self) -> KeyPath:
        array = self._peek("[[")
        self._position += 1 + array
        self._skip_blank()
        *parents, (last, span) = self._key()
        self._skip_blank()
        self._position += 1 + array
        path: KeyPath = ()
        for key, around in parents:
            path = self._enter((*path, key), around)
        path = (*path, last)
        if not array:
            self.found[path] = Found(span, None)
            return path
        self._lengths[path] = self._lengths.get(path, 0) + 1
        return self._enter(path, span)

    def _enter(self, path: KeyPath, span: Span) -> KeyPath:
        """The table at `path`, or the last one if `path` is an array of tables."""
        self.found.setdefault(path, Found(span, None))
        if path in self._lengths:
            path = (*path, self._lengths[path] - 1)
            self.found.setdefault(path, Found(span, None))
        return path

    def _pair(self, table: KeyPath) -> None:
        *parents, (last, span) = self._key()
        for key, around in parents:
            table = (*table, key)
            self.found.setdefault(table, Found(around, None))
        path = (*table, last)
        self.found[path] = Found(span, None)  # so that it stands before what is in it
        self._skip_blank()
        self._position += 1
        self._skip_blank()
        self.found[path] = Found(span, self._value(path))

    def _value(self, path: KeyPath) -> Span:
        begin = self._position
        if self._peek("["):
            self._array(path)
        elif self._peek("{"):
            self._inline_table(path)
        elif self._peek('"') or self._peek("'"):
            self._skip(_STRING)
        else:
            end = begin + len(self._skip(_SCALAR).rstrip())
            return begin, end
        return begin, self._position

    def _array(self, path: KeyPath) -> None:
        self._position += 1
        index = 0
        while self._skip_blank() and not self._peek("]"):
            element = (*path, index)
            self.found[element] = Found((self._position, self._position), None)
            span = self._value(element)
            self.found[element] = Found(span, span)
            self._end_of_item()
            index += 1
        self._position += 1

    def _inline_table(self, path: KeyPath) -> None:
        self._position += 1
        while self._skip_blank() and not self._peek("}"):
            self._pair(path)
            self._end_of_item()
        self._position += 1

    def _end_of_item(self) -> None:
        self._skip_blank()
        self._position += self._peek(",")
