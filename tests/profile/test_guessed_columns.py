"""What columns look like."""

import datetime as dt

import pyarrow as pa
import pytest

from mtkit.profile.guessed_columns import guessed

LONG = [f"a remark that is longer than a name, number {n}" for n in range(9)]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1.5", "2", "", "NA"], "numeric"),
        (["1", "2", "2"], "numeric"),
        (["1", "2", "3"], None),
        ([1, 2, 2], "numeric"),
        ([1, 2, 3], None),
        ([1.5, 2.5, 3.5], "numeric"),
        ([True, False], "numeric"),
        (["a", "b"], "categorical"),
        (["a", "1"], "categorical"),
        (LONG, "text"),
        ([LONG[0]] * 9, "categorical"),
        ([["a"], ["b", "c"]], "list"),
        (["2024-01-31", "2024-02-01 10:00"], None),
        ([dt.date(2024, 1, 31)], None),
        (["", None], "categorical"),
        ([b"a"], None),
    ],
)
def test_kinds(values, kind):
    found = guessed(pa.table({"x": values}))
    assert {name: column.kind for name, column in found.items()} == ({} if kind is None else {"x": kind})


def test_dictionaries_are_what_they_hold():
    column = pa.array(["a", "b"]).dictionary_encode()
    assert guessed(pa.table({"x": column}))["x"].kind == "categorical"
