"""Checks of the times of interactions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtkit.data.column_values import floats
from mtkit.profile.findings import Found, Needs, finds, graded
from mtkit.profile.view import View, moment
from mtkit.schema import INTERACTIONS
from mtkit.types import DAY

#: Rows come late in a file of which so much is in order.
IN_ORDER = 0.95
#: Seconds that stand for no time where nothing else is near: the first of 1970, of 1900, of spreadsheets, and of year 1.
NO_TIMES = (0, -2_208_988_800, -2_209_161_600, -62_135_596_800)
_NEAR, YEAR_2200 = 365 * DAY, 7_258_118_400
#: A gap is a note from this share of the whole time on, and a warning from the second; this many rows would be expected in it.
GAP, LONG_GAP, EXPECTED = 0.02, 0.05, 100
#: The share of rows in one second, and on one day that has this multiple of the rows of the median day.
IN_ONE_SECOND, ON_ONE_DAY, TIMES_MEDIAN = 0.05, 0.02, 10
#: Times at midnight are dates from this share on, up to the second, from which on all are.
DATES, ALL_DATES = 0.005, 0.95
_ENOUGH, _DAYS = 50, 14
#: Epochs of seconds that are all smaller are of another unit.
TEN_YEARS, EARLY = 10 * 365 * DAY, "all lie before 1980"
#: Up to which size a number is an epoch of seconds, milliseconds, microseconds; what is smaller than the first is none.
_UNITS = (1e8, 1e11, 1e14, 1e17)


@finds("P033", Needs.RAW)
def late_rows(view: View) -> Iterator[Found]:
    """Rows that lie before an earlier one of a file that is in order elsewhere."""
    if view.times is None:
        return
    rows = np.flatnonzero(view.times.known)
    time = view.times.seconds[rows]
    late = time[1:] < time[:-1]
    if late.any() and late.mean() < 1 - IN_ORDER:
        where = np.flatnonzero(time < np.maximum.accumulate(time))
        if len(where) < (1 - IN_ORDER) * len(time):
            yield Found(_where(view), len(where), len(time), examples=_moments(time, where, rows))


@finds("P034", Needs.RAW)
def several_units(view: View) -> Iterator[Found]:
    """Epochs of which some are a thousand times others."""
    numbers = _epochs(view)
    if len(numbers) and np.abs(numbers).max() < TEN_YEARS:
        yield Found(
            _where(view), len(numbers), len(numbers), examples=tuple(f"{n:.15g}" for n in numbers[:3]), detail=EARLY
        )
        return
    unit = np.searchsorted(_UNITS, np.abs(numbers[np.abs(numbers) >= _UNITS[0]]))
    counts = np.bincount(unit, minlength=1)
    if np.count_nonzero(counts) > 1:
        large = numbers[np.abs(numbers) >= _UNITS[0]]
        others = large[unit != counts.argmax()]
        yield Found(_where(view), len(others), len(numbers), examples=tuple(f"{value:.15g}" for value in others[:3]))


@finds("P035", Needs.RAW)
def no_times(view: View) -> Iterator[Found]:
    """Times that exports write where there is none."""
    if view.times is None:
        return
    time = view.times.seconds
    wrong = view.times.known & (time >= YEAR_2200)
    for placeholder in NO_TIMES:
        here = view.times.known & (np.abs(time - placeholder) <= DAY)
        near = view.times.known & (np.abs(time - placeholder) <= _NEAR)
        if here.sum() == near.sum() < len(time):
            wrong |= here
    if wrong.any():
        yield Found(_where(view), int(wrong.sum()), len(time), examples=_moments(time, np.flatnonzero(wrong)))


@finds("P036", quick=True)
def future_times(view: View) -> Iterator[Found]:
    """Times later than now, by more than a day."""
    time = view.encoded.time if view.schema.time else np.zeros(0, np.int64)
    later = np.flatnonzero((time > view.now + DAY) & (time < YEAR_2200))
    if len(later):
        yield Found(
            _where(view), len(later), len(time), examples=view.examples(later, *filter(None, (view.schema.time,)))
        )


@finds("P037", quick=True)
def gaps(view: View) -> Iterator[Found]:
    """Long stretches without interactions, in which many would be expected."""
    time = view.ordered_times
    span = int(np.ptp(time)) if len(time) else 0
    if not span:
        return
    gap = np.diff(time)
    long = np.flatnonzero((gap > GAP * span) & (gap > 2 * DAY) & (gap * (len(time) / span) >= EXPECTED))
    if len(long):
        severity = graded(gap[long].max() > LONG_GAP * span)
        examples = tuple(f"{_day(time[at])} to {_day(time[at + 1])}" for at in long[np.argsort(-gap[long])][:3])
        yield Found(
            _where(view), int(gap[long].sum() // DAY), span // DAY, "days", examples=examples, severity=severity
        )


@finds("P038")
def bursts(view: View) -> Iterator[Found]:
    """Seconds with a large share of all rows, and days with far more than others."""
    time = view.ordered_times
    if len(time) < _ENOUGH:
        return
    second, rows = np.unique(time, return_counts=True)
    at, most = int(rows.argmax()), int(rows.max())
    if (time % DAY).any() and most >= max(IN_ONE_SECOND * len(time), _ENOUGH):
        yield Found(_where(view), most, len(time), examples=(moment(second[at]),), detail="in one second")
    day, rows = np.unique(time // DAY, return_counts=True)
    high = np.flatnonzero((rows > TIMES_MEDIAN * np.median(rows)) & (rows > ON_ONE_DAY * len(time)))
    if len(day) >= _DAYS and len(high):
        examples = tuple(f"{_day(day[at] * DAY)} ({rows[at]:,})" for at in high[:3])
        yield Found(
            _where(view),
            int(rows[high].sum()),
            len(time),
            examples=examples,
            detail="on single days",
            severity=graded(False),
        )


@finds("P039")
def dates_among_times(view: View) -> Iterator[Found]:
    """Times at midnight, far more than by chance, among times of day."""
    time = view.ordered_times
    clock = time % DAY
    midnight = int(np.count_nonzero(clock == 0))
    if not _ENOUGH <= midnight < ALL_DATES * len(time) or midnight < DATES * len(time):
        return
    step = next(step for step in (3600, 60, 1) if not (clock % step).any() or step == 1)
    if midnight > 10 * len(time) * step / DAY:
        rows = np.flatnonzero(clock == 0)
        yield Found(_where(view), midnight, len(time), examples=tuple(_day(time[row]) for row in rows[:3]))


def _where(view: View) -> str:
    return f"{INTERACTIONS}.{view.schema.time}"


def _epochs(view: View) -> np.ndarray:
    """Times that came as numbers, or as text of numbers, float64; none where they came otherwise."""
    name = view.schema.time
    if name is None or name not in view.raw.interactions.column_names:
        return np.zeros(0)
    column = view.raw.interactions[name]
    if pa.types.is_string(column.type):
        if not pc.all(pc.match_substring_regex(column, r"^\s*\d+([.]\d*)?\s*$")).as_py():
            return np.zeros(0)
        column = pc.utf8_trim_whitespace(column).cast(pa.float64())
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return np.zeros(0)
    numbers = floats(column)
    finite: np.ndarray = numbers[np.isfinite(numbers)]
    return finite


def _moments(time: np.ndarray, where: np.ndarray, rows: np.ndarray | None = None) -> tuple[str, ...]:
    numbers = where if rows is None else rows[where]
    return tuple(
        f"{moment(time[at])} (row {row + 1:,})" for at, row in zip(where[:3], numbers[:3].tolist(), strict=True)
    )


def _day(second: int) -> str:
    return moment(second)[:10]
