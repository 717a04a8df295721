"""Ids of one entity that come from several tables: one type for all, where it is clear which are the same."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtkit.data.column_values import UnfitError

#: An integer as it is written: no sign, no zero before it.
_PLAIN = r"^(0|-?[1-9]\d{0,17})$"
#: An integer after a join with missing values, written to a text file.
_WHOLE = r"^(0|-?[1-9]\d{0,14})\.0$"
#: Text that may mean an integer, and does not say which.
_PADDED = r"^\s*[+-]?\d+(\.0+)?\s*$"


def matched(columns: Mapping[str, pa.ChunkedArray]) -> dict[str, pa.ChunkedArray]:
    """The columns in one type: integers, where all that is text are plain integers, and else strings.

    Text such as `1.0` in all of a column becomes `1` where another column has no such text.

    Args:
        columns: where they are, in words -> ids as of `identifiers`, int64 or strings.

    Raises:
        UnfitError: text such as `07` stands beside integers of another column.
    """
    columns = _without_fractions(columns)
    texts = {where: column for where, column in columns.items() if pa.types.is_string(column.type)}
    integers = [where for where in columns if where not in texts]
    if not integers or not texts:
        return columns
    if all(column.null_count == len(column) or _all(column, _PLAIN) for column in texts.values()):
        return {where: column.cast(pa.int64()) for where, column in columns.items()}
    for where, column in texts.items():
        padded = pc.and_(pc.match_substring_regex(column, _PADDED), pc.invert(pc.match_substring_regex(column, _PLAIN)))
        if pc.any(padded).as_py():
            value = column.filter(padded)[0].as_py()
            raise UnfitError(
                f"ids of one entity are integers in {integers[0]}, and text such as {value!r} in {where}, so which are "
                "the same is not clear; write both as text, or both as integers"
            )
    return {where: column.cast(pa.string()) for where, column in columns.items()}


def as_integers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Ids that are plain integers written as text as int64, which sort as numbers; others as they are."""
    return column.cast(pa.int64()) if pa.types.is_string(column.type) and _all(column, _PLAIN) else column


def _without_fractions(columns: Mapping[str, pa.ChunkedArray]) -> dict[str, pa.ChunkedArray]:
    """Columns of text such as `1.0` as those of `1`, unless another column has such text and others beside it."""
    if len(columns) < 2:
        return dict(columns)
    whole = {where for where, column in columns.items() if pa.types.is_string(column.type) and _all(column, _WHOLE)}
    others = [column for where, column in columns.items() if where not in whole and pa.types.is_string(column.type)]
    if len(whole) == len(columns) or any(pc.any(pc.match_substring_regex(c, r"\.0$")).as_py() for c in others):
        return dict(columns)
    cut = {where: pc.replace_substring_regex(columns[where], r"\.0$", "") for where in whole}
    return {**columns, **cut}


def _all(column: pa.ChunkedArray, form: str) -> bool:
    """Whether all ids, of which there are some, have a form."""
    return column.null_count < len(column) and bool(np.all(pc.all(pc.match_substring_regex(column, form)).as_py()))
