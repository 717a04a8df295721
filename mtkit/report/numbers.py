"""Numbers as people read them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

#: What stands for no number, and before a negative one.
NONE, MINUS = "\u2013", "\u2212"


def value_of(value: Any) -> float | None:
    """A figure, or the mean of several runs; None where it is undefined."""
    found = value.get("mean") if isinstance(value, Mapping) else value
    return None if found is None or not math.isfinite(found) else float(found)


def figure(value: Any) -> str:
    """A figure to four digits, with the standard deviation of several runs; a dash where it is undefined."""
    found = value_of(value)
    if found is None:
        return NONE
    text = f"{found:.4f}" if abs(found) < 100 else f"{found:,.1f}"
    spread = value.get("std") if isinstance(value, Mapping) else None
    return f"{text} ± {spread:.4f}" if spread is not None and math.isfinite(spread) else text


def signed(value: float | None, digits: int = 4) -> str:
    """A difference."""
    return NONE if value is None else f"{value:+.{digits}f}".replace("-", MINUS)


def percent(share: float | None, digits: int = 1) -> str:
    """A share."""
    return NONE if share is None else f"{share:.{digits}%}".replace("-", MINUS)


def signed_percent(share: float | None) -> str:
    """A relative difference."""
    return NONE if share is None else f"{share:+.1%}".replace("-", MINUS)


def bounds(pair: Sequence[float] | None) -> str:
    """An interval."""
    return NONE if pair is None else f"{figure(pair[0])} to {figure(pair[1])}".replace("-", MINUS)


def chance(p: float) -> str:
    """A p value."""
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}"


def seconds(value: float) -> str:
    """How long something took."""
    if value >= 3600:
        return f"{value / 3600:.1f} h"
    return f"{value / 60:.1f} min" if value >= 100 else f"{value:.1f} s"


def size(count: float) -> str:
    """Bytes."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1024
    raise AssertionError
