"""Columns that follow from others of their row, by name of the function: what the cleaner `derive` does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtkit.data.column_values import LARGEST
from mtkit.types import DAY


def derived(
    function: str, of: Sequence[pa.ChunkedArray], *, zone: str = "UTC", period: str = "day", pattern: str = ""
) -> pa.ChunkedArray | pa.Array:
    """The values of a function, null where one of the columns is, or where there is none.

    Args:
        function: one of those of `mtkit.standard.derived_columns`.
        of: its columns, `[rows]` each.
        zone: in which times are looked at.
        period: of `sin` and `cos`.
        pattern: of `extract`, with one named group.
    """
    if function in _PARTS:
        return _PARTS[function](_local(of[0], zone)).cast(pa.int64())
    if function in ("sin", "cos"):
        return _cyclic(function, of[0], zone, period)
    if function == "extract":
        return _nonblank(pc.struct_field(pc.extract_regex(_text(of[0]), pattern), [0]))
    if function == "text_length":
        return pc.utf8_length(_text(of[0])).cast(pa.int64())
    return _equal(*of) if function == "equal" else _number(function, of)


def refused_pattern(pattern: str) -> str:
    """Why a regular expression cannot be used by `extract`; empty if it can."""
    try:
        found = pc.extract_regex(pa.array([""]), pattern).type
    except pa.ArrowInvalid as error:
        reason = str(error).splitlines()[0]
        if "unnamed groups" in reason:
            return "has groups without a name; write (?P<value>...) around what is taken, and (?:...) elsewhere"
        return f"is no regular expression of RE2: {reason}"
    return "" if found.num_fields == 1 else "expected one group, (?P<value>...) around what is taken"


#: Parts of dates.
_PARTS: Mapping[str, Callable[[pa.ChunkedArray], pa.ChunkedArray]] = {
    "year": pc.year,
    "month": pc.month,
    "day": pc.day,
    "weekday": pc.day_of_week,
    "hour": pc.hour,
}


def _local(seconds: pa.ChunkedArray, zone: str) -> pa.ChunkedArray:
    # Arrow does not repeat the last rule of a zone: from 2038 on there is no summer time.
    return seconds.cast(pa.timestamp("s", zone))


def _day(local: pa.ChunkedArray) -> np.ndarray:
    """How much of the day lies before local moments."""
    parts = (pc.hour(local), pc.minute(local), pc.second(local))
    hours, minutes, seconds = (part.to_numpy() for part in parts)
    return np.asarray((hours * 3600 + minutes * 60 + seconds) / DAY)


def _place(local: pa.ChunkedArray, period: str) -> np.ndarray:
    """How much of the period lies before local moments; a year counts 365.25 days."""
    day = _day(local)
    if period == "day":
        return day
    if period == "week":
        return np.asarray((pc.day_of_week(local).to_numpy() + day) / 7)
    return np.asarray((pc.day_of_year(local).to_numpy() - 1 + day) / 365.25)


def _cyclic(function: str, seconds: pa.ChunkedArray, zone: str, period: str) -> pa.Array:
    missing = ~np.asarray(seconds.is_valid().to_numpy(), bool)
    angle = 2 * np.pi * _place(_local(seconds.fill_null(0), zone), period)
    return pa.array(np.sin(angle) if function == "sin" else np.cos(angle), mask=missing)


def _number(function: str, of: Sequence[pa.ChunkedArray]) -> pa.Array:
    """Numbers, null where they are none or beyond float32."""
    first, *others = (column.cast(pa.float64()).to_numpy() for column in of)
    with np.errstate(all="ignore"):
        if function == "log1p":
            values = np.log1p(first)
        elif function == "ratio":
            values = first / others[0]
        elif function == "difference":
            values = first - others[0]
        else:
            values = (others[0] - first) / DAY
    return pa.array(values, mask=~(np.abs(values) <= LARGEST))


def _equal(one: pa.ChunkedArray, other: pa.ChunkedArray) -> pa.ChunkedArray:
    if one.type != other.type:
        one, other = _text(one), _text(other)
    return pc.equal(one, other)


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.string())


def _nonblank(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
