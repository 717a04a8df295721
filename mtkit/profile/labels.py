"""Checks of labels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mtkit.profile.findings import Found, finds, graded
from mtkit.profile.view import Place, View

#: Missing labels are a note from this share on, and a warning from the second.
SOME_MISSING, HALF_MISSING = 0.01, 0.5
#: A label is almost constant with less than this share, or fewer rows, of all values but the most common.
RARE, RARE_ROWS = 0.001, 20
#: Rows from which on shares say something.
_ENOUGH = 100
#: Parts of the time, of as many rows each, among which rates are compared, this many on each side.
_PARTS, _SIDE = 20, 3
#: A jump is this many standard errors, this many times what rates usually change by, and one rate this many times the other.
ERRORS, USUAL, TIMES = 8, 4, 1.5


@finds("P043", quick=True)
def missing_labels(view: View) -> Iterator[Found]:
    """Labels that are null."""
    for place in view.labels:
        column = view.dataset.interactions[place.name]
        if len(column) and column.null_count > SOME_MISSING * len(column):
            half = column.null_count >= HALF_MISSING * len(column)
            yield Found(str(place), column.null_count, len(column), severity=graded(half))


@finds("P044", quick=True)
def almost_constant(view: View) -> Iterator[Found]:
    """Labels of which nearly all rows have one value; in the training rows, where there are parts."""
    trains = view.trains if view.cuts else None
    for place in view.labels:
        code = view.encoded.codes(place.name)
        code = code[(code >= 0) if trains is None else (code >= 0) & trains]
        counts = np.bincount(code)
        rare = int(counts.sum() - counts.max(initial=0))
        if len(code) >= _ENOUGH and (rare < RARE * len(code) or rare < RARE_ROWS):
            detail = "rows of another value than the most common"
            yield Found(str(place), rare, len(code), examples=_most(view, place, int(counts.argmax())), detail=detail)


@finds("P045")
def jumps(view: View) -> Iterator[Found]:
    """Rates that change between one time and the next, far more than they do otherwise."""
    if view.schema.time is None:
        return
    for place in view.labels:
        if place.declared.classes:
            continue
        numbers, time = view.numbers(place), view.encoded.time
        horizon = place.declared.horizon.total_seconds() if place.declared.horizon else 0
        there = np.flatnonzero(~np.isnan(numbers) & (time <= time.max(initial=0) - horizon))
        if len(there) >= _PARTS * _ENOUGH:
            yield from _jump(place, numbers[there], time[there])


def _jump(place: Place, numbers: np.ndarray, time: np.ndarray) -> Iterator[Found]:
    order = np.argsort(time, kind="stable")
    parts = np.array_split(numbers[order], _PARTS)
    rate, error = np.array([part.mean() for part in parts]), np.array([part.std() for part in parts])
    before = np.array([rate[at - _SIDE : at].mean() for at in range(_SIDE, _PARTS - _SIDE + 1)])
    after = np.array([rate[at : at + _SIDE].mean() for at in range(_SIDE, _PARTS - _SIDE + 1)])
    changes = np.abs(after - before)
    at = int(changes.argmax())
    certain = np.sqrt(np.square(error).mean() * 2 / (_SIDE * len(parts[0])))
    low, high = sorted((abs(before[at]), abs(after[at])))
    usual = np.median(np.abs(np.diff(rate)))
    if changes[at] > ERRORS * certain and changes[at] > USUAL * usual and high > TIMES * low:
        row = sum(map(len, parts[: at + _SIDE]))
        moment = np.datetime64(int(time[order][row]), "s")
        example = f"{before[at]:.4g} before, {after[at]:.4g} after {str(moment)[:10]}"
        yield Found(str(place), len(numbers) - row, len(numbers), examples=(example,))


def _most(view: View, place: Place, code: int) -> tuple[str, ...]:
    row = int(np.argmax(view.encoded.codes(place.name) == code))
    return (f"most have {view.dataset.interactions[place.name][row].as_py()!r}",)
