from dataclasses import replace

import pyarrow as pa
import pytest

from mtkit.data.catalogs import make_cuts, make_fold
from mtkit.data.cleaning import cleaned
from mtkit.data.fingerprint import fingerprint
from mtkit.errors import DataError
from mtkit.schema import Column, Schema
from mtkit.standard.splits import LeaveOneOut
from mtkit.types import Dataset, Origin

SECOND = 1_704_067_200
SCHEMA = Schema(
    interactions={
        "user": Column(kind="id", entity="user"),
        "item": Column(kind="id", entity="item"),
        "time": Column(kind="time"),
        "price": Column(kind="numeric"),
    },
    entities={"user": {}, "item": {"brand": Column(kind="categorical")}},
)


def dataset(rows=None, items=None, **columns):
    rows = {
        "user": ["1", "1", "2", "2"],
        "item": ["a", "b", "a", "b"],
        "time": [SECOND, SECOND + 1, SECOND + 2, SECOND + 3],
        "price": ["1.5", "", "2", "3"],
        "ignored": [1, 2, 3, 4],
        **(rows or {}),
        **columns,
    }
    items = {"id": ["a", "b"], "brand": ["", "x"], **(items or {})}
    return Dataset(pa.table(rows), {"item": pa.table(items)}, SCHEMA)


def test_declared_columns_in_the_types_of_their_kinds():
    clean = cleaned(dataset())
    assert clean.interactions.to_pydict() == {
        "user": ["1", "1", "2", "2"],
        "item": ["a", "b", "a", "b"],
        "time": [SECOND, SECOND + 1, SECOND + 2, SECOND + 3],
        "price": [1.5, None, 2, 3],
    }
    assert clean.entities["item"].to_pydict() == {"brand": [None, "x"], "id": ["a", "b"]}
    assert clean.entities["user"].to_pydict() == {"id": ["1", "2"]}, "an entity without a table is its ids"
    assert clean.notes == ("interactions.time: read as seconds since 1970-01-01 UTC",)
    assert not clean.left_out


def test_cleaning_twice_changes_nothing():
    once = cleaned(dataset(time=["2024-01-01", "", "2024-01-03", "2024-01-04"]))
    twice = cleaned(once)
    assert twice.interactions.equals(once.interactions)
    assert twice.left_out == once.left_out


@pytest.mark.parametrize(
    ("column", "values", "reason"),
    [
        ("user", ["1", " ", "2", "2"], "without a value in 'user'"),
        ("item", ["a", None, "a", "b"], "without a value in 'item'"),
        ("time", ["2024-01-01", "", "2024-01-03", "2024-01-04"], "without a time in 'time'"),
        ("time", ["2024-01-01", "1970-01-01", "2024-01-03", "2024-01-04"], "years from all others \\(1970\\)"),
        ("time", ["2024-01-01", "9999-12-31", "2024-01-03", "2024-01-04"], "years from all others \\(9999\\)"),
    ],
)
def test_rows_that_cannot_be_used_are_left_out_and_counted(column, values, reason):
    clean = cleaned(dataset(**{column: values}))
    assert clean.interactions["price"].to_pylist() == [1.5, 2, 3]
    ((found, count),) = clean.left_out.items()
    assert pytest.approx(count) == 1
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(found)


def test_what_was_left_out_is_told_by_folds():
    shop = cleaned(dataset(user=["1", "1", None, "1"]))
    valid, _ = make_cuts(shop, LeaveOneOut())
    assert make_fold(shop, valid, {"item": 0}).dropped["without a value in 'user'"] == 1


def test_nothing_left():
    with pytest.raises(DataError, match="interactions: no row can be used: 4 without a value in 'user'"):
        cleaned(dataset(user=[None] * 4))


def test_entities_without_an_id_are_noted():
    clean = cleaned(dataset(items={"id": ["a", "b", ""], "brand": ["x", "y", "z"]}))
    assert clean.entities["item"]["id"].to_pylist() == ["a", "b"]
    assert "item.id: left out: 1 row without an id" in clean.notes


def test_the_last_by_the_full_time_is_left_out():
    """Of two events in one second the later one is tested, though it comes first."""
    users = [user for user in "abcd" for _ in range(4)]
    items = [item for user in range(4) for item in [*"wxyz"[user:], *"wxyz"[:user]]]
    rows = {"user": users, "item": items, "time": [SECOND + f for f in [0.9, 0.2, 0.5, 0.1] * 4], "price": [1] * 16}
    shop = cleaned(Dataset(pa.table(rows), {"item": pa.table({"id": list("wxyz"), "brand": list("wxyz")})}, SCHEMA))
    _, test = make_cuts(shop, LeaveOneOut())
    tested = shop.interactions["item"].filter(pa.array(test.clock >= test.cut)).to_pylist()
    assert sorted(tested) == list("wxyz"), "the first of each user's rows"
    fold = make_fold(shop, test, {})
    names = fold.entities["item"].ids[fold.events.ids["item"]].tolist()
    assert names[:4] == ["z", "x", "y", "w"], "pasts are in the order of full times, too"


def test_all_mistakes_at_once():
    broken = dataset(price=["1", "2 €", "3", "4"], time=["soon"] * 4, items={"brand": [[1], [2]]})
    broken = Dataset(
        broken.interactions,
        broken.entities,
        SCHEMA,
        {"interactions": Origin("log.csv"), "item": Origin("items.csv", "sku")},
    )
    with pytest.raises(DataError) as caught:
        cleaned(broken)
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("log.csv, column 'time', row 1: 'soon' is no time")
    assert lines[1].startswith("log.csv, column 'price', row 2: '2 €' is no number; write numbers without currency")
    assert lines[2].startswith(
        "items.csv, column 'brand': expected strings, integers or booleans, got values of type list"
    )


def test_columns_that_are_not_there():
    short = dataset()
    short = Dataset(short.interactions.drop_columns(["price"]), {}, SCHEMA)
    with pytest.raises(DataError) as caught:
        cleaned(short)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("interactions.price: declared, but the table has only user, item")
    assert lines[1] == "item: the data have no such table, and brand of it are declared"


def test_numbers_that_float32_cannot_hold_are_noted():
    clean = cleaned(dataset(price=["1e39", "inf", "1", "2"]))
    assert clean.interactions["price"].to_pylist() == [None, None, 1, 2]
    assert "interactions.price: 2 values count as missing, infinite or beyond float32 (3.4e38)" in clean.notes


def test_ids_of_two_tables():
    clean = cleaned(dataset(item=[7, 8, 7, 8], items={"id": ["7", "8"]}))
    assert clean.entities["item"]["id"].to_pylist() == [7, 8]
    with pytest.raises(DataError, match=r"item: .*integers in interactions\.item, and text such as '07' in item\.id"):
        cleaned(dataset(item=[7, 8, 7, 8], items={"id": ["07", "8"]}))


def test_what_texts_may_mean_is_noted():
    clean = cleaned(dataset(user=["NULL", " 1", "1", "1"], items={"brand": ["NULL", "x "]}))
    assert clean.interactions["user"].to_pylist() == ["NULL", " 1", "1", "1"]
    assert clean.entities["item"]["brand"].to_pylist() == ["NULL", "x "]
    notes = "\n".join(clean.notes)
    assert "ids of user: NULL (1 times): taken for values as any other" in notes
    assert "ids of user: ' 1' and '1' are taken for different values" in notes
    assert "item.brand: NULL (1 times): taken" in notes


def test_times_apart_are_noted():
    clean = cleaned(dataset(time=["2024-01-01", "2024-01-02", "2024-01-03", "2030-01-04"]))
    assert len(clean.interactions) == 4
    assert "interactions.time: 1 times lie beyond a year without any, seen from the others (2030)" in clean.notes


def test_an_id_is_in_one_row():
    broken = dataset(items={"id": ["a", "b", "a"], "brand": ["x", "y", "x"]})
    broken = Dataset(broken.interactions, broken.entities, SCHEMA, {"item": Origin("items.csv", "sku")})
    with pytest.raises(
        DataError, match=r"items\.csv, column 'sku', row 3: 'a' is in row 1 already, and 1 ids .*; keep one"
    ):
        cleaned(broken)


def test_lists_and_what_was_cut_of_them():
    schema = Schema(
        interactions=SCHEMA.interactions,
        entities={"user": {}, "item": {"tags": Column(kind="list", separator="|", length=2)}},
    )
    raw = replace(dataset(items={"tags": ["c|b|a", "b|b"]}), schema=schema)
    clean = cleaned(raw)
    assert clean.entities["item"]["tags"].to_pylist() == [["a", "b"], ["b"]]
    assert clean.notes[1:] == ("item.tags: 1 rows have more than 2 values; the first in sorted order are read",)
    assert cleaned(clean).entities["item"].equals(clean.entities["item"])
    turned = replace(raw, entities={"item": pa.table({"id": ["a", "b"], "tags": ["a|c|b", "b"]})})
    assert fingerprint(cleaned(turned)) == fingerprint(clean)
    with pytest.raises(DataError, match=r"item\.tags: expected lists.* \(it is declared list\)"):
        cleaned(
            replace(
                raw,
                entities={"item": pa.table({"id": ["a", "b"], "tags": [1.5, 2.5]})},
                schema=Schema(
                    interactions=SCHEMA.interactions,
                    entities={"user": {}, "item": {"tags": Column(kind="list")}},
                ),
            )
        )
