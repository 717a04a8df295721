"""The values of a column as it is declared, whatever they look like: one type for each kind, blanks as nulls."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtkit.schema import Column

#: The largest number that float32 holds.
LARGEST = float(np.finfo(np.float32).max)

#: What stands for no number, and for no time, in exports of databases, data frames and spreadsheets; in lower case.
_NO_NUMBER = ("na", "n/a", "#n/a", "nan", "-nan", "null", "none", "<na>", "nat", "\\n")
_MONEY = re.compile(r"[$€£¥%]|\d,\d|\d\.\d{3}\.|^\s*[\d.,]+\s+\D|\d[ \u00a0\u202f]\d{3}|[A-Z]{3}$")
#: Of these, what is hardly a name of anything, as it is written.
_HARDLY_A_NAME = ("NULL", "null", "\\N", "nan", "NaN", "<NA>", "#N/A", "NaT", "None", "N/A")
#: What to do about values of another type.
OTHERWISE = "write such values, or do not declare the column"
_YES_NO = frozenset(("yes", "no", "y", "n", "t", "f", "on", "off", "ja", "nein", "oui", "non", "si", "sí"))


class UnfitError(Exception):
    """Values that are not what their column is declared to be.

    Args:
        message: what is wrong, and what to do.
        row: the first row of which that is true, from 0 on; None = it is about the column.
    """

    def __init__(self, message: str, row: int | None = None) -> None:
        super().__init__(message)
        self.row = row


def decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column without dictionary encoding, all strings as `string`, float16 as float32.

    Raises:
        UnfitError: binary values that are no text, or values with parts.
    """
    types, kind = pa.types, column.type
    if types.is_dictionary(kind):
        if types.is_nested(kind.value_type) or isinstance(kind.value_type, pa.BaseExtensionType):
            raise UnfitError(f"expected plain values, got values of type {kind.value_type}; {OTHERWISE}")
        return decoded(column.cast(kind.value_type))
    if types.is_large_string(kind) or types.is_string_view(kind):
        return column.cast(pa.string())
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        try:
            return column.cast(pa.binary()).cast(pa.string())
        except pa.ArrowInvalid:
            raise UnfitError(
                f"values of type {kind} are no text; write them as text, such as hexadecimal digits"
            ) from None
    if types.is_float16(kind):
        return pa.chunked_array([pa.array(column.to_numpy().astype(np.float32), mask=~_valid(column))])
    return column


def identifiers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Ids as int64 or strings: integers stay integers where int64 holds them, whole floats become such, text stays text.

    Raises:
        UnfitError: values that name nothing, such as fractions, booleans and times.
    """
    column = decoded(column)
    if pa.types.is_string(column.type) or pa.types.is_null(column.type):
        return blank_to_null(column.cast(pa.string()))
    if pa.types.is_floating(column.type) or pa.types.is_decimal(column.type):
        column = _whole(column, "ids")
    if pa.types.is_integer(column.type) or pa.types.is_string(column.type):
        return _int64_or_text(column)
    raise UnfitError(f"expected ids, strings or integers, got values of type {column.type}; {OTHERWISE}")


def categories(column: pa.ChunkedArray, what: str = "categories") -> pa.ChunkedArray:
    """Categories as strings, integers or booleans; dates and decimals as they are written.

    Args:
        column: the values.
        what: what they are, in words.

    Raises:
        UnfitError: fractions, or values with parts.
    """
    column = decoded(column)
    if pa.types.is_string(column.type) or pa.types.is_null(column.type):
        return blank_to_null(column.cast(pa.string()))
    if pa.types.is_floating(column.type):
        column = _whole(column, what)
    if pa.types.is_integer(column.type):
        return _int64_or_text(column)
    return column if pa.types.is_boolean(column.type) else _written(column)


def texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts as strings, also where all are digits.

    Raises:
        UnfitError: values with parts, or fractions.
    """
    values = categories(column, "texts")
    return values if pa.types.is_string(values.type) else values.cast(pa.string())


def numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Numbers as integers or float64; booleans are 0 and 1.

    Raises:
        UnfitError: text that is no number, or values of another type.
    """
    column = decoded(column)
    if pa.types.is_string(column.type):
        column = _parsed(column)
    if pa.types.is_boolean(column.type):
        return column.cast(pa.int64())
    if pa.types.is_integer(column.type):
        return column
    if pa.types.is_floating(column.type) or pa.types.is_decimal(column.type) or pa.types.is_null(column.type):
        return column.cast(pa.float64())
    raise UnfitError(f"expected numbers, got values of type {column.type}; {OTHERWISE}")


def weights(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """What rows count, float64: 0 or more.

    Raises:
        UnfitError: a weight is missing, negative or infinite, or the values are no numbers.
    """
    values = floats(numbers(column))
    wrong = np.flatnonzero(~((values >= 0) & (values <= LARGEST)))
    if len(wrong):
        shown = "is missing" if np.isnan(values[wrong[0]]) else f"is {values[wrong[0]]:g}"
        others = f" ({len(wrong):,} such rows in all)" if len(wrong) > 1 else ""
        raise UnfitError(
            f"the weight {shown}{others}; write a finite number, 0 for rows that do not count and 1 for those that count once",
            int(wrong[0]),
        )
    return _chunked(pa.array(values))


def within_float32(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, int]:
    """Numbers without those that are infinite or larger than float32 can hold, which are null; and how many these are.

    nan is null, too, and is not counted.
    """
    if not pa.types.is_floating(column.type):
        return column, 0
    values = floats(column)
    fits = np.abs(values) <= LARGEST
    return _chunked(pa.array(values, mask=~fits)), int(np.count_nonzero(~fits & ~np.isnan(values)))


def converted(column: pa.ChunkedArray, declared: Column) -> pa.ChunkedArray:
    """The values of a column of any kind but time and lists, in the types of its kind.

    Raises:
        UnfitError: they are not what the column is declared to be.
    """
    kind = "categorical" if declared.kind == "label" and declared.classes else declared.kind
    of_kind = {"id": identifiers, "categorical": categories, "text": texts, "numeric": numbers, "label": numbers}
    return weights(column) if kind == "weight" else of_kind[kind](column)


def blank_to_null(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Strings, null where there is nothing but white space."""
    blank = pc.equal(pc.utf8_trim_whitespace(column), "")
    return pc.if_else(pc.fill_null(blank, fill_value=False), pa.scalar(None, pa.string()), column)


def no_value_to_null(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Strings without white space at their ends, null where they are blank or a word for no number."""
    trimmed = pc.utf8_trim_whitespace(column)
    missing = pc.is_in(pc.utf8_lower(trimmed), value_set=pa.array(["", *_NO_NUMBER]))
    return pc.if_else(missing, pa.scalar(None, pa.string()), trimmed)


def escaped_quotes(column: pa.ChunkedArray) -> str:
    """What to say of texts that hold quotes behind backslashes: the file was read as if quotes were doubled; else empty."""
    if not pa.types.is_string(column.type) or not (count := pc.sum(pc.match_substring(column, '\\"')).as_py()):
        return ""
    return f'{count:,} values hold \\"; if quotes within quotes are written so, set escape = "\\\\" in [data]'


def oddities(column: pa.ChunkedArray) -> list[str]:
    """What is odd about texts that stand for something, ids and categories, and are taken as they stand.

    Words for no value, and values that differ in white space at their ends, in the form of accents, or in a `.0`, alone.
    """
    if not pa.types.is_string(column.type):
        return []
    found = []
    values, counts = pc.value_counts(column.drop_null()).flatten()
    words = pc.is_in(values, value_set=pa.array(_HARDLY_A_NAME))
    if pc.any(words).as_py():
        named = zip(values.filter(words).to_pylist(), counts.filter(words).to_pylist(), strict=True)
        shown = ", ".join(f"{value} ({count:,} times)" for value, count in named)
        found.append(f"{shown}: taken for values as any other; leave them blank if they say that there is none")
    plain = pc.utf8_trim_whitespace(values)
    if not pc.all(pc.string_is_ascii(plain)).as_py():
        plain = pc.utf8_normalize(plain, form="NFC")
    plain = pc.replace_substring_regex(plain, r"^(-?\d+)\.0+$", r"\1")
    alike, times = pc.value_counts(plain).flatten()
    if len(several := alike.filter(pc.greater(times, 1))):
        first = values.filter(pc.equal(plain, several[0])).to_pylist()
        found.append(
            f"{' and '.join(map(ascii, first[:2]))} are taken for different values, though they differ in white space at their "
            f"ends, the form of accents or a .0 alone ({len(several):,} such cases); write them alike if they are the same"
        )
    return found


def floats(column: pa.ChunkedArray) -> np.ndarray:
    """Numbers as float64 `[rows]`, nan where null."""
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy())


def first_where(column: pa.ChunkedArray, selected: np.ndarray) -> Any:
    """The first selected value."""
    return column[int(np.flatnonzero(selected)[0])].as_py()


def _parsed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """float64 of text, null where it is blank or a word for no number."""
    column = no_value_to_null(column)
    lower = pc.utf8_lower(column)
    digits = pc.if_else(pc.equal(lower, "true"), "1", pc.if_else(pc.equal(lower, "false"), "0", column))
    try:
        return digits.cast(pa.float64())
    except pa.ArrowInvalid:
        raise _no_number(digits) from None


def _no_number(digits: pa.ChunkedArray) -> UnfitError:
    row, value = next((r, v) for r, v in enumerate(digits.to_pylist()) if v is not None and not _is_number(v))
    if value.lower() in _YES_NO:
        cure = "write 1 and 0, or declare the column categorical, a label with classes = true"
    elif _MONEY.search(value):
        cure = "write numbers without currency, percent or thousands signs and with a decimal point, as in 1234.5"
    else:
        cure = "write a number, leave it blank if there is none, or declare the column categorical or text"
    return UnfitError(f"{value!r} is no number; {cure}", row)


def _is_number(value: str) -> bool:
    try:
        pa.array([value]).cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def _whole(column: pa.ChunkedArray, what: str) -> pa.ChunkedArray:
    """Integers of numbers that are all whole; the digits of decimals, where they are no small integers."""
    if pa.types.is_decimal(column.type):
        digits = pc.replace_substring_regex(column.cast(pa.string()), r"\.0+$", "")
        _refuse_fractions(
            column, np.asarray(pc.match_substring(digits, ".").fill_null(pa.scalar(value=False)).to_numpy()), what
        )
        return digits if column.type.precision - column.type.scale > 18 else digits.cast(pa.int64())
    values = floats(column)
    known = ~np.isnan(values)
    _refuse_fractions(column, known & (values != np.floor(values)) | np.isinf(values), what)
    if known.any() and np.abs(values[known]).max() >= 2**53:
        raise UnfitError(f"{what} of type {column.type} beyond 2^53 are not told apart; write them as integers or text")
    return _chunked(pa.array(np.where(known, values, 0).astype(np.int64), mask=~known))


def _refuse_fractions(column: pa.ChunkedArray, fraction: np.ndarray, what: str) -> None:
    if fraction.any():
        cure = "write them as text" + ("" if what == "ids" else ", or declare the column numeric")
        row = int(np.flatnonzero(fraction)[0])
        raise UnfitError(f"expected {what}, got the fraction {column[row].as_py()}; {cure}", row)


def _int64_or_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """int64 where it holds all integers, else their digits."""
    if pa.types.is_string(column.type):
        return column
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        return column.cast(pa.string())


def _written(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Dates, times of day and decimals as they are written."""
    types, kind = pa.types, column.type
    if types.is_timestamp(kind):
        column = column.cast(pa.timestamp("s", kind.tz), safe=False)
        if pc.all(pc.equal(pc.floor_temporal(column, unit="day"), column)).as_py():
            column = pc.strftime(column, format="%Y-%m-%d")
    dated = types.is_temporal(column.type) and not types.is_duration(column.type)
    if dated or types.is_decimal(column.type) or types.is_string(column.type):
        return column.cast(pa.string())
    cure = "declare the column list" if types.is_list(kind) or types.is_large_list(kind) else OTHERWISE
    raise UnfitError(f"expected strings, integers or booleans, got values of type {kind}; {cure}")


def _chunked(array: pa.Array) -> pa.ChunkedArray:
    return pa.chunked_array([array])


def _valid(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(column.is_valid().to_numpy(), bool)
