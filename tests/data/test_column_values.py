import datetime as dt
import decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mtkit.data.column_values import (
    UnfitError,
    categories,
    converted,
    decoded,
    escaped_quotes,
    identifiers,
    numbers,
    oddities,
    texts,
    weights,
    within_float32,
)
from mtkit.schema import Column

DATE = dt.date(2024, 1, 31)
LOOKS = ["000007", "0108775015", "1.20", "10:30", "True", "2024-01-31", "NA", "1e5", None]


def column(*values, kind=None):
    return pa.chunked_array([pa.array(values, kind)])


@pytest.mark.parametrize("read", [identifiers, categories, texts])
def test_text_stays_as_it_is_and_blanks_are_nulls(read):
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        assert read(column(*LOOKS, "", " \t", kind=kind)).to_pylist() == [*LOOKS, None, None]
    assert read(column(*LOOKS).dictionary_encode()).to_pylist() == LOOKS
    assert read(column(None, kind=pa.null())).type == pa.string()


@pytest.mark.parametrize(
    ("read", "values", "expected"),
    [
        (identifiers, (1.0, None, 3.0), [1, None, 3]),
        (identifiers, (decimal.Decimal("7.00"),), [7]),
        (identifiers, (decimal.Decimal(2**127),), [str(2**127)]),
        (identifiers, (b"ab",), ["ab"]),
        (categories, (1.0, None), [1, None]),
        (categories, (True, None), [True, None]),
        (categories, (decimal.Decimal("1.20"),), ["1.20"]),
        (categories, (DATE,), ["2024-01-31"]),
        (categories, (dt.datetime(2024, 1, 31),), ["2024-01-31"]),  # noqa: DTZ001 - a naive time is what is tested
        (texts, (12, None), ["12", None]),
        (texts, (1.0, None), ["1", None]),
        (numbers, ("1", " 2 ", "1e5", "true", "False", "NA", "", "nan"), [1, 2, 1e5, 1, 0, None, None, None]),
        (numbers, (True, None), [1, None]),
        (numbers, (decimal.Decimal("1.25"), None), [1.25, None]),
    ],
)
def test_other_types(read, values, expected):
    assert read(column(*values)).to_pylist() == expected


def test_types_of_integers():
    for kind in (pa.int8(), pa.uint16(), pa.int32(), pa.uint64()):
        assert identifiers(column(5, None, kind=kind)).type == pa.int64()
    large = column(2**63, 1, kind=pa.uint64())
    assert identifiers(large).to_pylist() == categories(large).to_pylist() == [str(2**63), "1"]
    assert decoded(column(np.float16(1.5), None, kind=pa.float16())).to_pylist() == [1.5, None]


@pytest.mark.parametrize(
    ("read", "values", "message", "row"),
    [
        (identifiers, (1.0, 1.5), "expected ids, got the fraction 1.5; write them as text", 1),
        (identifiers, (decimal.Decimal("7.50"),), "the fraction 7.50", 0),
        (identifiers, (2.0**53,), "beyond 2\\^53 are not told apart", None),
        (identifiers, (True,), "expected ids, strings or integers, got values of type bool", None),
        (identifiers, (b"\xff",), "are no text; write them as text", None),
        (categories, (1.5,), "the fraction 1.5; write them as text, or declare the column numeric", 0),
        (categories, (["a"],), "got values of type list<item: string>; declare the column list", None),
        (numbers, ("1", "$5"), "'\\$5' is no number; write numbers without currency", 1),
        (numbers, ("1,5",), "with a decimal point", 0),
        (numbers, ("12 kg",), "with a decimal point|write a number", 0),
        (numbers, ("1", "Yes"), "'Yes' is no number; write 1 and 0", 1),
        (numbers, ("tall",), "'tall' is no number; write a number, leave it blank", 0),
        (numbers, (DATE,), "expected numbers, got values of type date32", None),
        (
            weights,
            ("1", "-2", "-3"),
            r"the weight is -2 \(2 such rows in all\); write a finite number, 0 for rows that do",
            1,
        ),
        (weights, (1.0, float("inf")), "the weight is inf; write a finite number", 1),
        (weights, (0, None), "the weight is missing; write a finite number", 1),
        (weights, ("",), "the weight is missing", 0),
        (weights, ("many",), "'many' is no number", 0),
    ],
)
def test_refused(read, values, message, row):
    with pytest.raises(UnfitError, match=message) as caught:
        read(column(*values))
    assert caught.value.row == row


def test_weights():
    assert weights(column("0", "2.5", "true")).to_pylist() == [0, 2.5, 1]
    assert weights(column(0, 3)).type == pa.float64()


def test_beyond_float32():
    values, lost = within_float32(numbers(column("1e39", "-inf", "nan", "2", None)))
    assert values.to_pylist() == [None, None, None, 2.0, None]
    assert lost == 2
    assert within_float32(column(2**40))[1] == 0


def test_declarations_decide():
    zip_code = column("00501", "")
    assert converted(zip_code, Column(kind="categorical")).to_pylist() == ["00501", None]
    assert converted(zip_code, Column(kind="label", classes=True)).to_pylist() == ["00501", None]
    assert converted(zip_code, Column(kind="numeric")).to_pylist() == [501, None]
    assert converted(zip_code, Column(kind="label")).to_pylist() == [501, None]


def test_durations_are_no_categories():
    with pytest.raises(UnfitError, match="got values of type duration"):
        categories(pa.chunked_array([pa.array([1], pa.duration("s"))]))


def test_fractions_are_no_texts():
    with pytest.raises(UnfitError, match=r"expected texts, got the fraction 1\.5"):
        texts(pa.chunked_array([[1.5]]))


def test_oddities_of_ids_and_categories():
    assert oddities(pa.chunked_array([["a", "b", None, "None such"]])) == oddities(pa.chunked_array([[1, 2]])) == []
    words, alike = oddities(pa.chunked_array([["NULL", "NULL", "\\N", "a ", "a", "\u00e9", "e\u0301", "1.0", "1"]]))
    assert (
        words
        == r"NULL (2 times), \N (1 times): taken for values as any other; leave them blank if they say that there is none"
    )
    assert alike.startswith(
        "'a ' and 'a' are taken for different values, though they differ in white space at their ends,"
    )
    assert "(3 such cases)" in alike


def test_quotes_behind_backslashes():
    assert escaped_quotes(pa.chunked_array([['a "b"', None, "c\\"]])) == escaped_quotes(pa.chunked_array([[1]])) == ""
    assert escaped_quotes(pa.chunked_array([['a \\"b']])).startswith(
        '1 values hold \\"; if quotes within quotes are written so'
    )


def test_categories_of_intervals_are_refused():
    column = pa.chunked_array([pa.array(pd.cut(pd.Series([1, 5]), 2))])
    with pytest.raises(UnfitError, match="expected plain values, got values of type extension"):
        decoded(column)
