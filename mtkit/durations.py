"""Durations as recipes write them: `"28d"`, `"12h"`, `"1d 12h"`, `"30min"`, or as ISO 8601 has them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, TypeAdapter

#: From the largest to the smallest.
_UNITS = {
    "w": timedelta(weeks=1),
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "min": timedelta(minutes=1),
    "s": timedelta(seconds=1),
}
_NAMES = {"d": "day", "h": "hour", "min": "minute", "s": "second"}
_PART = r"(\d+(?:\.\d+)?)\s*(w|d|h|min|s)"
_TEXT = re.compile(rf"\s*(?:{_PART}\s*)+")
_ISO = TypeAdapter(timedelta)


def _read(value: Any) -> Any:
    """A duration from a text; what is none is left to pydantic.

    Raises:
        ValueError: the text is no duration, or is too long a one.
    """
    if not isinstance(value, str):
        return value
    try:
        if not _TEXT.fullmatch(value):
            return _ISO.validate_python(value)
        return sum((float(number) * _UNITS[unit] for number, unit in re.findall(_PART, value)), timedelta())
    except (ValueError, OverflowError):
        raise ValueError("expected a duration in w, d, h, min or s, such as '28d', '12h' or '1d 12h'") from None


#: A `timedelta` of a second or more; recipes write it as text.
Duration = Annotated[timedelta, Field(ge=timedelta(seconds=1)), BeforeValidator(_read)]


def in_words(duration: timedelta) -> str:
    """A duration for people, in the largest unit of which it has one: `30 days`, `1.5 days`, `12 hours`."""
    unit = next((unit for unit in _NAMES if duration >= _UNITS[unit]), "s")
    number = duration / _UNITS[unit]
    return f"{number:g} {_NAMES[unit]}{'' if number == 1 else 's'}"
