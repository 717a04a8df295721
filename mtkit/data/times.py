"""Times as they come, to seconds since 1970-01-01 UTC: timestamps, dates, epochs of any unit, and dates as text."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mtkit.data.column_values import OTHERWISE, UnfitError, decoded, first_where, floats, no_value_to_null
from mtkit.types import DAY

#: A time beyond so long a stretch in which nothing happened cannot be: 1970 beside 2024, the year 9999.
LONGEST_GAP = 10 * 365 * DAY

#: From what gap on a stretch of times is remarkable.
_LONG_GAP = 365 * DAY

_NANO = 1_000_000_000
#: Units of an epoch with ticks per second, and the size from which on a number is no epoch of it: the year 5138 in each.
_EPOCHS = (("seconds", 1, 1e11), ("milliseconds", 10**3, 1e14), ("microseconds", 10**6, 1e17))
_NANOSECONDS = ("nanoseconds", _NANO)
_TEN_YEARS = 10 * 365 * DAY
#: What small numbers may count instead, from 1980 or so to 2100.
_COUNTS = (
    ("years", 1970, 2101),
    ("days since 1970", 3653, 25569),
    ("days of a spreadsheet (45413 is 2024-05-01)", 25569, 73051),
    ("months as in 202401", 197001, 210013),
)
_INT64 = np.iinfo(np.int64).max
_TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": _NANO}

_ISO = r"^\d{4}-\d\d(-\d\d([T ]\d\d(:\d\d(:\d\d([.,]\d+)?)?)?)?)?"
_ZONE = r" ?(Z|[+-]\d\d(:?\d\d)?)$"
#: How databases write that a time is of UTC.
_UTC = r" ?([+]00:?00 )?(UTC|GMT)$"
_CURE = "write times as 2024-01-31 23:59:59, or with their zone as 2024-01-31 23:59:59+02:00"
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")
_MONTH_FIRST = ("%m/%d/%Y", "%m-%d-%Y", "%m.%d.%Y")
_DAY_FIRST = ("%d/%m/%Y", "%d-%m-%Y", "%d.%m.%Y")
_OTHERS = ("%Y/%m/%d", "%Y.%m.%d", "%d %b %Y", "%d-%b-%Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y")
_WHOLE = ("%a, %d %b %Y %H:%M:%S %z", "%a, %d %b %Y %H:%M:%S GMT", "%d/%b/%Y:%H:%M:%S %z", "%a %b %d %H:%M:%S %Y")
#: How some databases write that there is none.
_ZERO_DATE = r"^0000-00-00"
_ENOUGH = 1000


@dataclass(frozen=True)
class Times:
    """Times of rows.

    Attributes:
        seconds: int64 `[rows]`, since 1970-01-01 UTC, rounded down; 0 where there is none.
        nanoseconds: int32 `[rows]`, what is left of the second.
        known: bool `[rows]`, where there is a time.
        read_as: how they were read, where the type did not say it.
    """

    seconds: np.ndarray
    nanoseconds: np.ndarray
    known: np.ndarray
    read_as: str = ""

    def impossible(self) -> np.ndarray:
        """Where a time cannot be: beyond more than `LONGEST_GAP` without any, seen from the median. bool `[rows]`."""
        return self._beyond(LONGEST_GAP)

    def apart(self) -> np.ndarray:
        """Where a time can be, but lies beyond a year without any, seen from the median. bool `[rows]`."""
        apart: np.ndarray = self._beyond(_LONG_GAP) & ~self.impossible()
        return apart

    @functools.cached_property
    def _sorted(self) -> np.ndarray:
        return np.sort(self.seconds[self.known])

    def _beyond(self, longest: int) -> np.ndarray:
        times = self._sorted
        if not len(times):
            return np.zeros(len(self.known), bool)
        gap, middle = np.flatnonzero(np.diff(times) > longest), len(times) // 2
        before, after = gap[gap < middle], gap[gap >= middle]
        low = times[before[-1] + 1] if len(before) else times[0]
        high = times[after[0]] if len(after) else times[-1]
        outside: np.ndarray = self.known & ((self.seconds < low) | (self.seconds > high))
        return outside

    def order(self) -> np.ndarray | None:
        """Row numbers by time to the nanosecond, ties as they come; None where seconds say everything."""
        return np.lexsort((self.nanoseconds, self.seconds)) if self.nanoseconds.any() else None


def read_times(column: pa.ChunkedArray) -> Times:
    """The times of a column.

    Timestamps and dates are what they say, naive ones are of UTC. Numbers are epochs, whose unit follows from the size of
    their median, or dates as in 20240131 where all are such. Text is ISO 8601, or the common form that all of it has.

    Raises:
        UnfitError: values are no times, or could be read in two ways.
    """
    column = decoded(column)
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("s" if pa.types.is_date32(column.type) else "ms"))
    if pa.types.is_timestamp(column.type):
        return _of_ticks(column.cast(pa.int64()), _TICKS[column.type.unit])
    if pa.types.is_string(column.type):
        column = no_value_to_null(column)
        column = pc.if_else(pc.match_substring_regex(column, _ZERO_DATE), None, column)
        if column.null_count == len(column):
            return _of_ticks(column.cast(pa.int64()), 1)
        numbers = pc.all(pc.match_substring_regex(column, r"^\s*[+-]?\d+([.]\d*)?([eE][+]?\d+)?\s*$")).as_py()
        return _of_numbers(_parsed(column)) if numbers else _of_texts(column)
    if pa.types.is_null(column.type):
        return _of_ticks(column.cast(pa.int64()), 1)
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_decimal(column.type):
        return _of_numbers(column)
    raise UnfitError(
        f"expected times (timestamps, dates, epochs, or dates as text), got values of type {column.type}; {OTHERWISE}"
    )


def _of_ticks(column: pa.ChunkedArray, per_second: int, read_as: str = "") -> Times:
    """Times of whole numbers of ticks since 1970."""
    ticks = np.asarray(column.fill_null(0).to_numpy(), np.int64)
    seconds = ticks // per_second
    nanoseconds = ((ticks - seconds * per_second) * (_NANO // per_second)).astype(np.int32)
    return Times(seconds, nanoseconds, _known(column), read_as)


def _of_numbers(column: pa.ChunkedArray) -> Times:
    if (dates := _compact_dates(column)) is not None:
        return dates
    values = floats(column)
    sizes = np.abs(values[np.isfinite(values)])
    _refuse_other_counts(sizes)
    size = float(np.median(sizes)) if len(sizes) else 0.0
    unit, per_second = next(((name, ticks) for name, ticks, limit in _EPOCHS if size < limit), _NANOSECONDS)
    read_as = f"{unit} since 1970-01-01 UTC"
    if len(sizes) and sizes.max() < _TEN_YEARS:
        read_as += ", which all lie before 1980; if they count something else, write dates as 2024-01-31"
    if pa.types.is_integer(column.type) and sizes.max(initial=0) < _INT64:
        return _of_ticks(column.cast(pa.int64()), per_second, read_as)
    values = values / per_second
    known = np.isfinite(values) & (np.abs(values) < _INT64 / 2)
    values = np.where(known, values, 0.0)
    seconds = np.floor(values)
    # A float64 of today's seconds tells microseconds apart, and no more.
    micro = np.minimum(np.rint((values - seconds) * 1e6), 999_999).astype(np.int32)
    return Times(seconds.astype(np.int64), micro * 1000, known, read_as)


def _refuse_other_counts(numbers: np.ndarray) -> None:
    """Refuses numbers that would be seconds of one day of 1970, and all are dates if they count something else."""
    for what, low, high in _COUNTS:
        if len(numbers) and ((numbers >= low) & (numbers < high)).all():
            raise UnfitError(
                f"numbers such as {numbers[0]:.15g} could be {what}, or seconds since 1970; write dates as 2024-01-31, or, "
                "if they count nothing but say an order, add 1000000000 to them"
            )


def _compact_dates(column: pa.ChunkedArray) -> Times | None:
    """Times of numbers such as 20240131 or 20240131235959, where all are such."""
    numbers = floats(column)
    numbers = numbers[np.isfinite(numbers)]
    for form, low, high in (("%Y%m%d", 19000101, 21001231), ("%Y%m%d%H%M%S", 19000101000000, 21001231235959)):
        if len(numbers) and ((numbers >= low) & (numbers <= high) & (numbers == np.floor(numbers))).all():
            text = column.cast(pa.int64()).cast(pa.string())
            if (found := _in_form(text, form)) is not None:
                return _of_datetimes(found, column, f"dates as in {text.drop_null()[0].as_py()}")
    return None


def _of_texts(column: pa.ChunkedArray) -> Times:
    iso = pc.match_substring_regex(column, _ISO)
    if pc.all(iso).as_py():
        column = pc.replace_substring_regex(column, _UTC, "Z")
        zoned = pc.match_substring_regex(column, _ZONE)
        for zone, mask in ((None, pc.invert(zoned)), ("UTC", zoned)):
            if pc.all(mask).as_py():
                try:
                    return _of_ticks(column.cast(pa.timestamp("us", zone)).cast(pa.int64()), 10**6)
                except pa.ArrowInvalid:
                    break  # pandas takes more forms, and says which value is none
        return _of_iso(column)
    return _of_common_form(column)


def _of_iso(column: pa.ChunkedArray) -> Times:
    found = pd.to_datetime(column.to_pandas(), format="ISO8601", utc=True, errors="coerce")
    wrong = found.isna().to_numpy() & _known(column)
    if wrong.any():
        raise UnfitError(f"{first_where(column, wrong)!r} is no date; {_CURE}", int(np.flatnonzero(wrong)[0]))
    return _of_datetimes(found, column, "")


def _of_common_form(column: pa.ChunkedArray) -> Times:
    """Times of dates in one form; day first or month first follows from days after the 12th."""
    found = {form: times for form in _forms(column) if (times := _in_form(column, form)) is not None}
    if not found:
        return _refused(column)
    (form, times), *others = found.items()
    for other, differing in others:
        if not differing.equals(times):
            row = int(np.flatnonzero((differing != times).to_numpy() & _known(column))[0])
            raise UnfitError(
                f"{column[row].as_py()!r} could be {form} or {other} (%d is the day, %m the month), and no value tells which; "
                "write dates as 2024-01-31",
                row,
            )
    return _of_datetimes(times, column, f"dates in the form {form}")


def _forms(column: pa.ChunkedArray) -> Iterator[str]:
    """The common forms that the first values have."""
    few = column.drop_null()[:_ENOUGH]
    for date in (*_DAY_FIRST, *_MONTH_FIRST, *_OTHERS):
        for clock in _CLOCKS:
            if _in_form(few, date + clock) is not None:
                yield date + clock
    yield from (form for form in _WHOLE if _in_form(few, form) is not None)


def _in_form(column: pa.ChunkedArray, form: str) -> pd.Series | None:
    """Times in a form of `strptime`; None where a value does not have it."""
    try:
        return pd.Series(pd.to_datetime(column.to_pandas(), format=form, utc=True))
    except ValueError:
        return None


def _refused(column: pa.ChunkedArray) -> Times:
    """Says which value is no time; that most have a form points at the one that has not."""
    text, known = column.to_pandas(), _known(column)
    parsed = [
        pd.to_datetime(text, format=form, utc=True, errors="coerce") for form in ("ISO8601", *_DAY_FIRST, *_OTHERS)
    ]
    wrong = [lost for one in parsed if (lost := one.isna().to_numpy() & known).any()]
    row = int(np.flatnonzero(min(wrong, key=np.count_nonzero))[0])
    raise UnfitError(f"{text[row]!r} is no time in a form that all have; {_CURE}", row)


def _of_datetimes(found: pd.Series, column: pa.ChunkedArray, read_as: str) -> Times:
    known = _known(column)
    ticks = found.dt.as_unit("us").astype("int64").to_numpy()
    times = _of_ticks(pa.chunked_array([pa.array(np.where(known, ticks, 0))]), 10**6, read_as)
    return Times(times.seconds, times.nanoseconds, known, read_as)


def _parsed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Numbers of text that holds nothing else: whole ones where all are."""
    trimmed = pc.utf8_trim_whitespace(column)
    try:
        return trimmed.cast(pa.int64())
    except pa.ArrowInvalid:
        return trimmed.cast(pa.float64())


def _known(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(column.is_valid().to_numpy(), bool)
