"""Wording of "did you mean" in messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known one, or all of them.

    Args:
        name: what was given.
        known: the valid names.

    Returns:
        `did you mean 'x'? (known: x, y)`, `known: x, y`, or `there are none`.
    """
    names = sorted(set(known))
    if not names:
        return "there are none"
    everything = f"known: {', '.join(names)}"
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}? ({everything})" if close else everything
