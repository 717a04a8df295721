"""How values are written."""

import numpy as np
import pyarrow as pa
import pytest

from mtkit.profile.spelling import alike, folded, lost_zeros, words
from mtkit.profile.view import Values


def values(*distinct, kind=None):
    return Values(pa.array(distinct, kind), np.arange(1, len(distinct) + 1), 0)


def test_folded():
    assert folded(pa.array([" Ab", "\ufb01n", "e\u0301", "\u00c9", "Stra\u00dfe", "a \u00a0B"])).to_pylist() == [
        "ab", "fin", "\u00e9", "\u00e9", "strasse", "a b",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "count"), [(("a", "b"), 0), (("a", "A", "b"), 2), (("a", "A", " a", "b", "B"), 5), ((), 0)]
)
def test_alike(given, count):
    assert alike(values(*given, kind=pa.string()))[0] == count


def test_numbers_are_not_alike():
    assert alike(values(1, 2)) == (0, ())


def test_words():
    found = words(values("NULL", "x", "n/a ", "null"), ("null", "n/a"))
    assert found.values.to_pylist() == ["null", "n/a ", "NULL"]  # the most frequent first
    assert found.examples() == ("'null' (4)", "'n/a ' (3)", "'NULL' (1)")
    assert not len(words(values(1, 2), ("1",)).values)


@pytest.mark.parametrize(
    ("given", "lost"),
    [
        (("007", "7", "123"), ["7"]),
        (("007", "012", "45"), ["45"]),
        (("007", "012", "450"), []),
        (("7", "12", "450"), []),
        (("007", "abc"), []),
        (("0", "1", "10"), []),
        (("01", "02", "001", "5000"), []),
    ],
)
def test_lost_zeros(given, lost):
    assert sorted(lost_zeros(values(*given)).values.to_pylist()) == lost
