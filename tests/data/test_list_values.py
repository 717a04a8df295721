import numpy as np
import pyarrow as pa
import pytest

from mtkit.data.column_values import UnfitError
from mtkit.data.columns import codes, raw
from mtkit.data.list_values import bag, lists
from mtkit.schema import Column

PIPE, PLAIN = Column(kind="list", separator="|"), Column(kind="list")
WEIGHTED = Column(kind="list", separator="|", weighted=True)
PARTS = pa.struct([("value", pa.string()), ("weight", pa.float64())])


def column(*values, kind=None):
    return pa.chunked_array([pa.array(values, kind)])


def read(declared, *values, kind=None):
    """The lists of a column, weighted ones as pairs."""
    found, _ = lists(column(*values, kind=kind), declared)
    return [row and [tuple(v.values()) if isinstance(v, dict) else v for v in row] for row in found.to_pylist()]


@pytest.mark.parametrize(
    ("declared", "values", "kind", "expected"),
    [
        (PIPE, ("Drama|Comedy", "Comedy|Drama", " Drama | Comedy||Drama"), None, [["Comedy", "Drama"]] * 3),
        (PIPE, ("", " | ", None), pa.string(), [None] * 3),
        (Column(kind="list", separator=" "), ("a  b", "7"), None, [["a", "b"], ["7"]]),
        (PIPE, (7, None, 10), pa.int64(), [["7"], None, ["10"]]),
        (PLAIN, (["b", "a", "b"], [], None, [None, " "], [" c "]), None, [["a", "b"], None, None, None, ["c"]]),
        (PLAIN, ([10, 9], [9]), pa.list_(pa.int32()), [["10", "9"], ["9"]]),
        (PLAIN, ([1.0, None], None), None, [["1"], None]),
        (PLAIN, ([True], [False, True]), None, [["true"], ["false", "true"]]),
        (PLAIN, (["b", "a"], None), pa.large_list(pa.large_string()), [["a", "b"], None]),
        (PLAIN, (["b", "a"], None), pa.list_(pa.string(), 2), [["a", "b"], None]),
        (PLAIN, (["b", "a"],), pa.list_(pa.dictionary(pa.int32(), pa.string())), [["a", "b"]]),
        (PLAIN, (["b|c"],), None, [["b|c"]]),
        (PIPE, (["b|c"],), None, [["b|c"]]),
        (PLAIN, (None, None), pa.null(), [None, None]),
        (WEIGHTED, ("b:0.5|a:2", "a|b:0", "b:1|b: 0.25 "), None, [[("a", 2), ("b", 0.5)], [("a", 1)], [("b", 1.25)]]),
        (WEIGHTED, (None, "x:y:3"), None, [None, [("x:y", 3)]]),
        (WEIGHTED, ([("b", 2), ("a", 0.5)], []), pa.list_(PARTS), [[("a", 0.5), ("b", 2)], None]),
        (WEIGHTED, ([("b", 2), ("a", 0.5)], None), pa.map_(pa.string(), pa.float32()), [[("a", 0.5), ("b", 2)], None]),
        (WEIGHTED, (["b:2", "a"],), None, [[("a", 1), ("b", 2)]]),
    ],
)  # fmt: skip
def test_all_forms_of_lists_become_one(declared, values, kind, expected):
    assert read(declared, *values, kind=kind) == expected


@pytest.mark.parametrize(
    ("declared", "values", "message"),
    [
        (
            PLAIN,
            ("a|b",),
            r"expected lists, got values of type string; say what separates them, as in separator = \"\|\"",
        ),
        (PLAIN, (3,), "expected lists, got values of type int64; give each row a list"),
        (PLAIN, ([1], [2, 0.5]), "got the fraction 0.5"),
        (PLAIN, ([["a"]],), "its values have parts, of type list"),
        (PLAIN, ([{"value": "a", "weight": 1.0}],), "weighted = true"),
        (WEIGHTED, ([{"name": "a", "weight": 1.0}],), "the fields value and weight, and have no value"),
        (WEIGHTED, ("a:1", "b:x"), "'x' is no number"),
        (WEIGHTED, ("a:1", "b:"), "'b' has no weight"),
        (WEIGHTED, ("a:1", "c:1|b:-1"), "'b' has the weight -1; expected a finite number, 0 or more"),
        (WEIGHTED, ("a:1", "b:inf"), "'b' has the weight inf"),
    ],
)
def test_what_is_no_list_is_said(declared, values, message):
    with pytest.raises(UnfitError, match=message) as caught:
        lists(column(*values), declared)
    assert caught.value.row == (1 if len(values) > 1 else None)


def test_order_says_nothing_to_the_bit():
    rng = np.random.default_rng(0)
    parts = [f"{value}:{weight}" for value, weight in zip("abcaba", (0.1, 0.2, 0.3, 0.7, 1e-3, 1e-8), strict=True)]
    rows = ["|".join(rng.permutation(parts)) for _ in range(20)]
    matrix = raw(lists(column(*rows), WEIGHTED)[0], WEIGHTED)
    assert (matrix == matrix[:1]).all()


def test_longer_rows_are_cut_and_counted():
    two = {"kind": "list", "separator": "|", "length": 2}
    found, longer = lists(column("c|b|a", "a|b|c", "c|b", "a", None), Column(**two))
    assert longer == 2
    assert found.to_pylist() == [["a", "b"], ["a", "b"], ["b", "c"], ["a"], None]
    found, longer = lists(column("a:1|b:3|c:2", "c:1|b:1|a:1"), Column(**two, weighted=True))
    assert longer == 2
    assert [[v["value"] for v in row] for row in found.to_pylist()] == [["b", "c"], ["a", "b"]], "the heaviest"


def test_labels_tell_no_class_from_no_label():
    declared = Column(kind="label", multi_label=True)
    assert read(declared, ["a"], [], None, ["b", "a"]) == [["a"], [], None, ["a", "b"]]


def test_matrices_are_as_wide_as_the_longest_row():
    values = raw(lists(column("b|a", None, "c"), PIPE)[0], PIPE)
    assert values.tolist() == [["a", "b"], [None, None], ["c", None]]
    assert raw(lists(column(None, "", kind=pa.string()), PIPE)[0], PIPE).tolist() == [[None], [None]]
    weighted = raw(lists(column("b:2|a", None), WEIGHTED)[0], WEIGHTED)
    assert weighted["value"].tolist() == [["a", "b"], [None, None]]
    assert weighted["weight"].tolist() == [[1, 2], [0, 0]]
    row, held, weights = bag(weighted)
    assert (row.tolist(), held.tolist(), weights.tolist()) == ([0, 0], ["a", "b"], [1, 2])


def test_equal_lists_have_equal_codes():
    assert codes(lists(column("b|a", None, "a|b", "a", ""), PIPE)[0]).tolist() == [0, -1, 0, 1, -1]
    assert codes(lists(column("b:2|a", "a:2|b", "a|b:2"), WEIGHTED)[0]).tolist() == [0, 1, 0]


def test_some_rows_of_a_column_are_as_they_are():
    whole = lists(column("b|a", None, "c|d|e", "a"), PIPE)[0]
    assert raw(whole.slice(2, 2), PIPE).tolist() == [["c", "d", "e"], ["a", None, None]]
    assert raw(whole.take(pa.array([3, 0, None])), PIPE).tolist() == [["a", None], ["a", "b"], [None, None]]
    assert codes(whole.slice(1)).tolist() == [-1, 0, 1]


@pytest.mark.parametrize("kind", [pa.list_(pa.int64()), pa.large_list(pa.int64()), pa.list_(pa.int64(), 2)], ids=str)
def test_lists_of_all_kinds(kind):
    values, longer = lists(pa.chunked_array([pa.array([[1, 2]], kind)]), Column(kind="list"))
    assert (values.to_pylist(), longer) == ([["1", "2"]], 0)
