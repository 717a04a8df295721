"""What people see of texts: values from the environment as the references they came from, control characters escaped."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: Control characters, marks that turn the direction of writing, line separators, and surrogates, which have no encoding.
_CONTROL = "[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
#: Values from here on are hidden inside of longer words, too.
_LONG = 8
#: Shorter values say nothing, and are everywhere; those that a recipe's own message quotes are hidden there.
_SHORT = 4

# Of recipes that were read in this process: value -> reference.
_hidden: dict[str, str] = {}


def hide(values: Mapping[str, str]) -> None:
    """From now on `shown` writes references (`${env:NAME}`) instead of these values, value -> reference."""
    _hidden.update(values)


def forget() -> None:
    """Takes all `hide` back."""
    _hidden.clear()


def shown(text: object) -> str:
    """A message or a table's text as a person, a terminal and a log may have it; line breaks and tabs stay."""
    return escaped(redacted(str(text), {value: ref for value, ref in _hidden.items() if _tells(value)}))


def shown_line(text: object) -> str:
    """As `shown`, in one line, for ids, names and texts that come from data."""
    return re.sub("[\t\n]", _escape, shown(text))


def shown_values(value: Any) -> Any:
    """Values of tables and lists as JSON has them, their texts as `shown`; keys are names, and stay as they are."""
    if isinstance(value, Mapping):
        return {key: shown_values(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [shown_values(inner) for inner in value]
    return shown(value) if isinstance(value, str) else value


def counted(number: int, one: str, several: str = "") -> str:
    """A number with what it counts: `1 row`, `2,000 rows`.

    Args:
        number: how many.
        one: what follows a 1.
        several: what follows any other number; default: `one` with an s.
    """
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def escaped(text: str) -> str:
    r"""`text` with control characters but line breaks and tabs as in JSON, such as `\u001b`: JSON text stays JSON."""
    return re.sub(f"(?![\t\n]){_CONTROL}", _escape, text)


def redacted(text: str, secrets: Mapping[str, str]) -> str:
    """`text` with the references of `secrets` (value -> reference) in the place of values, the longest first."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        for form in _forms(secret):
            text = re.sub(_pattern(form), lambda _, to=secrets[secret]: to, text)  # type: ignore[misc]
    return text


def _tells(value: str) -> bool:
    return len(value) >= (_LONG if re.fullmatch(r"[\d.]+", value) else _SHORT)


def _forms(secret: str) -> set[str]:
    """How a value may be written: in Python, in JSON and TOML, as a path."""
    quoted = (repr(secret), json.dumps(secret), json.dumps(secret, ensure_ascii=False))
    return {secret, str(Path(secret)), *(form[1:-1] for form in quoted)} - {"."}


def _pattern(text: str) -> str:
    """A short value must not begin or end inside a word, for it would match everywhere."""
    if len(text) >= _LONG:
        return re.escape(text)
    before = r"(?<!\w)" if re.match(r"\w", text) else ""
    after = r"(?!\w)" if re.search(r"\w$", text) else ""
    return before + re.escape(text) + after


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found.group()):04x}"
