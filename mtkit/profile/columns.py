"""Checks of single columns, and of columns that say the same."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtkit.data.columns import codes
from mtkit.data.encoded import first_rows, present, value_of
from mtkit.profile.findings import Found, Needs, finds, graded
from mtkit.profile.spelling import DOUBTFUL, NOTHING, alike, words
from mtkit.profile.view import Place, View
from mtkit.schema import INTERACTIONS

#: Rows of a table from which on shares say something.
ENOUGH = 100
#: A column is nearly empty from this share of missing values on.
EMPTY = 0.95
#: Categories are nearly unique from this share of distinct ones among the rows on; from the second on, that is a warning.
UNIQUE, SURELY_UNIQUE = 0.5, 0.98
#: Numbers are far from others if they are this many interquartile ranges beyond the quartiles.
FAR = 10
#: No number is what all nines, or -1, say that is this many times farther out than the next one.
APART = 2
#: The share of numbers from which on words among them are odd, and how many rows of words there are at least.
MOSTLY_NUMBERS = 0.9
_NUMBER = r"^\s*[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?\s*$"
_NINES = (99, 999, 9999, 99999, 999999, 9999999, 99999999, 999999999)


@finds("P016", Needs.RAW)
def one_value(view: View) -> Iterator[Found]:
    """Features with the same value in all rows."""
    for place in view.columns("categorical", "numeric", "text"):
        column = view.raw_column(place)
        if len(column) > 1 and not column.null_count and _constant(column[:ENOUGH]) and _constant(column):
            yield Found(str(place), len(column), len(column), examples=(repr(column[0].as_py()),))


@finds("P017", Needs.RAW)
def nearly_empty(view: View) -> Iterator[Found]:
    """Features that are missing nearly everywhere."""
    for place in view.columns("categorical", "numeric", "text", "list"):
        column = view.raw_column(place) if place.declared.kind != "list" else _raw_lists(view, place)
        missing = column.null_count
        if pa.types.is_string(column.type):
            missing += pc.sum(pc.equal(pc.utf8_trim_whitespace(column), "")).as_py() or 0
        if len(column) and missing >= EMPTY * len(column):
            yield Found(str(place), missing, len(column), severity=graded(missing == len(column)))


@finds("P018", Needs.RAW)
def nearly_unique(view: View) -> Iterator[Found]:
    """Categories of which most rows have their own."""
    for place in view.columns("categorical"):
        values = view.values(place)
        distinct = len(values.values)
        if values.rows >= ENOUGH and distinct > UNIQUE * values.rows:
            severity = graded(distinct > SURELY_UNIQUE * values.rows)
            yield Found(str(place), distinct, values.rows, "categories", values.examples(), severity=severity)


@finds("P019")
def far_numbers(view: View) -> Iterator[Found]:
    """Numbers many interquartile ranges beyond the quartiles."""
    for place in view.columns("numeric"):
        numbers = view.sorted(place)
        if len(numbers) < ENOUGH:
            continue
        low, high = numbers[len(numbers) // 4], numbers[3 * len(numbers) // 4]
        reach = FAR * (high - low)
        beyond = (numbers < low - reach) | (numbers > high + reach)
        if reach > 0 and beyond.any():
            ends = [numbers[beyond][0], numbers[beyond][-1]] if beyond.sum() > 1 else [numbers[beyond][0]]
            detail = f"quartiles {low:g} and {high:g}"
            examples = tuple(f"{end:g}" for end in ends)
            yield Found(str(place), int(beyond.sum()), len(numbers), examples=examples, detail=detail)


@finds("P020")
def no_numbers(view: View) -> Iterator[Found]:
    """-1 alone among numbers that are not negative, and all nines far beyond the others, in several rows."""
    for place in view.columns("numeric"):
        numbers = view.sorted(place)
        for value in _sentinels(numbers):
            count = int(np.searchsorted(numbers, value, "right") - np.searchsorted(numbers, value))
            yield Found(str(place), count, len(numbers), examples=(f"{value:g}",))


@finds("P021", Needs.RAW)
def single_rows(view: View) -> Iterator[Found]:
    """Categories that one row has."""
    for place in view.columns("categorical"):
        values = view.values(place)
        once = values.where(values.counts == 1)
        if len(once.values) and values.rows >= ENOUGH and len(values.values) <= UNIQUE * values.rows:
            yield Found(str(place), len(once.values), len(values.values), "categories", once.examples())


@finds("P022", Needs.RAW)
def words_among_numbers(view: View) -> Iterator[Found]:
    """Categories without any digit among such that are numbers nearly everywhere."""
    for place in view.columns("categorical"):
        values = view.values(place)
        if not values.strings() or not len(values.values):
            continue
        number = np.asarray(pc.match_substring_regex(values.values, _NUMBER), bool)
        plain = values.where(~np.asarray(pc.match_substring_regex(values.values, r"\d|^\s*$"), bool))
        many = np.count_nonzero(number) > 2 and values.counts[number].sum() >= MOSTLY_NUMBERS * values.rows
        if many and len(plain.values):
            yield Found(str(place), plain.rows, values.rows, examples=plain.examples())


@finds("P023", Needs.RAW)
def placeholder_values(view: View) -> Iterator[Found]:
    """Words for nothing among categories and texts."""
    for place in view.columns("categorical", "text"):
        values = view.values(place)
        for known in (NOTHING, DOUBTFUL):
            found = words(values, known)
            if len(found.values):
                yield Found(
                    str(place), found.rows, values.rows, examples=found.examples(), severity=graded(known is NOTHING)
                )


@finds("P024", Needs.RAW)
def categories_alike(view: View) -> Iterator[Found]:
    """Categories that are the same but for case, white space or Unicode form."""
    for place in view.columns("categorical"):
        values = view.values(place)
        count, examples = alike(values)
        if count:
            yield Found(str(place), count, len(values.values), "categories", examples)


@finds("P025")
def same_columns(view: View) -> Iterator[Found]:
    """Features of a table with the same values, or values that go with one another one by one."""
    by_table: dict[str, list[Place]] = {}
    for place in view.columns("categorical", "numeric"):
        by_table.setdefault(place.table, []).append(place)
    for places in by_table.values():
        for one, other in combinations(places, 2):
            kind = _same(view, one, other)
            if kind is not None:
                rows = view.rows(one.table)
                detail = f"as {other}" if kind else f"one by one as {other}"
                yield Found(str(one), rows, rows, detail=detail, severity=graded(kind))


@finds("P026", Needs.RAW)
def row_numbers(view: View) -> Iterator[Found]:
    """Numeric columns that rise by one from row to row."""
    for place in view.columns("numeric"):
        column = view.raw_column(place)
        few = column[:ENOUGH]
        if len(column) < ENOUGH or column.null_count or not _counts_on(few) or not _counts_on(column):
            continue
        yield Found(str(place), len(column), len(column), examples=tuple(map(str, column[:3].to_pylist())))


def _constant(column: pa.ChunkedArray) -> bool:
    return bool(pc.all(pc.equal(column, column[0])).as_py())


def _raw_lists(view: View, place: Place) -> pa.ChunkedArray:
    table = view.raw.interactions if place.table == INTERACTIONS else view.raw.entities[place.table]
    return table[place.name]


def _sentinels(numbers: np.ndarray) -> Iterator[float]:
    """Values that stand for none, of numbers in ascending order."""
    if len(numbers) < ENOUGH:
        return
    distinct = np.unique(numbers)
    if len(distinct) > 2 and distinct[0] == -1 and distinct[1] >= 0:
        yield -1.0
    for nines in _NINES:
        place = int(np.searchsorted(distinct, nines))
        if len(distinct) > 2 and place == len(distinct) - 1 and distinct[place] == nines:
            often = len(numbers) - int(np.searchsorted(numbers, nines)) > 1
            if often and distinct[-2] > 0 and nines > APART * distinct[-2]:
                yield float(nines)


def _same(view: View, one: Place, other: Place) -> bool | None:
    """Whether columns are equal (True) or recoded one by one (False); None if neither, or if there is little to tell."""
    table = view.dataset.interactions if one.table == INTERACTIONS else view.dataset.entities[one.table]
    first, second = table[one.name], table[other.name]
    if len(first) < ENOUGH:
        return None
    for rows in first_rows(len(first)):
        few, many = _codes(view, one, first, rows), _codes(view, other, second, rows)
        distinct = int(np.count_nonzero(present(few)))
        if distinct < 3 or distinct != np.count_nonzero(present(many)):
            return None
        if value_of(few + 1, many) is None or value_of(many + 1, few) is None:
            return None
    return bool(first.type == second.type and first.equals(second))


def _codes(view: View, place: Place, column: pa.ChunkedArray, rows: int) -> np.ndarray:
    whole = place.table == INTERACTIONS and rows == len(column)
    return view.encoded.codes(place.name) if whole else codes(column.slice(0, rows))


def _counts_on(column: pa.ChunkedArray) -> bool:
    """Whether whole numbers rise by one."""
    if pa.types.is_string(column.type):
        if not pc.all(pc.match_substring_regex(column, r"^\d{1,18}$")).as_py():
            return False
        column = column.cast(pa.int64())
    return bool(pa.types.is_integer(column.type) and (np.diff(column.to_numpy()) == 1).all())
