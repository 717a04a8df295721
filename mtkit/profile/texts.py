"""Checks of texts and lists."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtkit.data.column_values import UnfitError
from mtkit.data.list_values import lists
from mtkit.profile.findings import Found, Needs, finds, graded
from mtkit.profile.view import Place, Values, View
from mtkit.schema import INTERACTIONS

#: Missing texts are a note from this share on, and a warning from the second.
SOME_MISSING, HALF_MISSING = 0.05, 0.5
#: A text is a standard one from this share and this number of rows on.
STANDARD, STANDARD_ROWS = 0.05, 20
#: Characters, of which no encoder reads the end.
LONG = 5000
#: The share of rows with too many values from which on that is a warning.
MANY_LONG = 0.05
#: UTF-8 that was decoded as Latin-1 or Windows-1252, and what replaces bytes that are none.
_WRONG = "[\u00c2\u00c3\u00c5\u00d0\u00d1][\u0080-\u00bf]|\u00e2\u20ac|\u00ef\u00bb\u00bf|\ufffd"
_ESCAPES = r'\\"|&(amp|lt|gt|quot|nbsp|apos|#\d+);|</?(p|br|div|span|li|ul|b|i|em|strong|code|pre|a)( [^>]*)?/?>'


@finds("P027", Needs.RAW)
def missing_texts(view: View) -> Iterator[Found]:
    """Texts that are null or blank."""
    for place in view.columns("text"):
        values = view.values(place)
        blank = int(values.counts[_matching(values, r"^\s*$")].sum()) if values.strings() else 0
        missing, rows = values.nulls + blank, view.rows(place.table)
        if rows and missing > SOME_MISSING * rows:
            yield Found(str(place), missing, rows, severity=graded(missing >= HALF_MISSING * rows))


@finds("P028", Needs.RAW)
def standard_texts(view: View) -> Iterator[Found]:
    """Texts that many rows have."""
    for place in view.columns("text"):
        values = view.values(place)
        often = values.where((values.counts >= STANDARD_ROWS) & (values.counts > STANDARD * values.rows))
        if len(often.values):
            yield Found(str(place), often.rows, values.rows, examples=often.examples())


@finds("P029", Needs.RAW)
def long_texts(view: View) -> Iterator[Found]:
    """Texts of more characters than any encoder reads."""
    for place in view.columns("text"):
        values = view.values(place)
        if values.strings() and len(values.values):
            length = np.asarray(pc.utf8_length(values.values))
            long = values.where(length > LONG)
            if len(long.values):
                detail = f"the longest has {int(length.max()):,} characters"
                yield Found(str(place), long.rows, values.rows, examples=_begin(long.values), detail=detail)


@finds("P030", Needs.RAW)
def wrong_encoding(view: View) -> Iterator[Found]:
    """UTF-8 that was read as another encoding."""
    for place in view.columns("text", "categorical", "id"):
        values = view.values(place)
        if values.strings() and not pc.all(pc.string_is_ascii(values.values)).as_py():
            wrong = values.where(_matching(values, _WRONG))
            if len(wrong.values):
                yield Found(str(place), wrong.rows, values.rows, examples=_begin(wrong.values))


@finds("P031", Needs.RAW)
def left_escapes(view: View) -> Iterator[Found]:
    """Escaped quotes and marks of HTML in texts and categories."""
    for place in view.columns("text", "categorical"):
        values = view.values(place)
        if values.strings() and len(values.values):
            left = values.where(_matching(values, _ESCAPES))
            if len(left.values):
                yield Found(str(place), left.rows, values.rows, examples=_begin(left.values))


@finds("P032", Needs.RAW)
def long_lists(view: View) -> Iterator[Found]:
    """Lists of which the end is not read."""
    for place in view.columns("list", "label"):
        if not place.declared.listed:
            continue
        rows, longer = view.rows(place.table), _longer(view, place)
        if longer:
            detail = f"more than {place.declared.length} values"
            severity = graded(longer >= MANY_LONG * rows)
            yield Found(str(place), longer, rows, detail=detail, severity=severity)


def _longer(view: View, place: Place) -> int:
    table = view.raw.interactions if place.table == INTERACTIONS else view.raw.entities[place.table]
    try:
        return lists(table[place.name], place.declared)[1]
    except UnfitError:
        return 0  # which is said where the table is cleaned


def _matching(values: Values, pattern: str) -> np.ndarray:
    return np.asarray(pc.match_substring_regex(values.values, pattern), bool)


def _begin(texts: pa.Array) -> tuple[str, ...]:
    return tuple(map(repr, texts[:3].to_pylist()))
