import pyarrow as pa
import pytest

from mtkit.data.column_values import UnfitError
from mtkit.data.id_types import as_integers, matched


def column(values, kind=None):
    return pa.chunked_array([pa.array(values, kind)])


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([1, 2], ["1", None], ([1, 2], [1, None])),
        ([1, 2], ["1.0", "2.0"], ([1, 2], [1, 2])),
        (["1", "2"], ["1.0", None], (["1", "2"], ["1", None])),
        ([1, 2], ["A", "2"], (["1", "2"], ["A", "2"])),
        (["7"], ["07"], (["7"], ["07"])),
        (["1.0"], ["1.0"], (["1.0"], ["1.0"])),
        (["1.0", "x"], ["1.0"], (["1.0", "x"], ["1.0"])),
        ([1], [2], ([1], [2])),
    ],
)
def test_types_that_can_be_matched(one, other, expected):
    found = matched({"one": column(one), "other": column(other)})
    assert [found["one"].to_pylist(), found["other"].to_pylist()] == list(expected)


def test_columns_of_nothing_do_not_decide():
    assert matched({"one": column([1]), "other": column([None], pa.string())})["one"].to_pylist() == [1]


def test_what_is_not_clear_is_refused():
    with pytest.raises(UnfitError, match=r"integers in items\.id, and text such as '01' in log\.item, .*; write both"):
        matched({"items.id": column([1]), "log.item": column(["01", "A"])})


def test_integers_as_text_sort_as_numbers():
    assert as_integers(column(["10", "9", None])).to_pylist() == [10, 9, None]
    assert as_integers(column(["10", "09"])).to_pylist() == ["10", "09"]
