from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from mtkit.data.catalogs import make_fold
from mtkit.errors import DataError
from mtkit.spec import Cut
from mtkit.types import Dataset, Origin

CUT = Cut("test", 60 * 86400, 90 * 86400)


@pytest.fixture
def fold(shop):
    return make_fold(shop, CUT, {"item": 5})


def expected_catalog(shop, column, minimum):
    rows = shop.interactions.to_pylist()
    ids = [row[column] for row in rows if row["when"] < CUT.cut]
    return sorted(key for key in set(ids) if ids.count(key) >= minimum)


def test_catalogs_are_as_of_the_cut_and_sorted(shop, fold):
    for entity, column, minimum in (("user", "customer", 1), ("item", "product", 5)):
        expected = expected_catalog(shop, column, minimum)
        catalog = fold.entities[entity]
        assert catalog.ids[1:].tolist() == expected
        rows = {row.pop("id"): row for row in shop.entities[entity].to_pylist()}
        assert catalog.columns.to_pylist() == [dict.fromkeys(catalog.columns.column_names), *map(rows.get, expected)]
    assert fold.entities["item"].ids[0] == ""
    assert fold.entities["user"].ids[0] == -1


def test_events_are_the_lines_of_the_catalogs_by_user_then_time(shop, fold):
    users, items = (fold.entities[name].ids.tolist() for name in ("user", "item"))
    rows = [r for r in shop.interactions.to_pylist() if r["when"] < CUT.end]
    kept = [r for r in rows if r["customer"] in users and r["product"] in items]
    kept.sort(key=lambda row: (row["customer"], row["when"]))
    events = fold.events
    assert list(events.ids) == ["user", "item"]
    assert [users[i] for i in events.ids["user"]] == [row["customer"] for row in kept]
    assert [items[i] for i in events.ids["item"]] == [row["product"] for row in kept]
    assert events.time.tolist() == [row["when"] for row in kept]
    others = ["store", "price", "amount", "cheap", "returns", "payment"]
    assert events.columns.to_pylist() == [{name: row[name] for name in others} for row in kept]
    for user in range(len(users)):
        assert set(events.ids["user"][events.offsets[user] : events.offsets[user + 1]]) <= {user}
    baskets = [(row["customer"], row["basket"]) for row in kept]
    same = np.array([[a == b for a in baskets] for b in baskets])
    np.testing.assert_array_equal(events.group[:, None] == events.group[None, :], same)
    assert sum(fold.dropped.values()) == len(rows) - len(kept) > 0


def test_a_group_that_two_users_share_is_two_groups(shop):
    baskets = pa.chunked_array([pa.array(np.zeros(len(shop.interactions), dtype=np.int64))])
    shared = shop.interactions.set_column(2, "basket", baskets)
    fold = make_fold(Dataset(shared, shop.entities, shop.schema), CUT, {})
    np.testing.assert_array_equal(np.diff(fold.events.group) != 0, np.diff(fold.events.ids["user"]) != 0)


def test_events_are_their_own_groups_without_a_grouping_column(shop):
    columns = {name: column for name, column in shop.schema.interactions.items() if name != "basket"}
    schema = shop.schema.model_copy(update={"interactions": columns})
    fold = make_fold(Dataset(shop.interactions, shop.entities, schema), CUT, {})
    assert len(set(fold.events.group)) == len(fold.events)


def test_an_id_without_a_row_is_refused_unless_declared(shop):
    known = shop.entities["item"].filter(pa.compute.not_equal(shop.entities["item"]["id"], "p01"))
    dataset = Dataset(shop.interactions, {**shop.entities, "item": known}, shop.schema)
    count = shop.interactions["product"].to_pylist().count("p01")
    with pytest.raises(DataError, match=rf"product: {count} interactions have ids .* table of item, for example 'p01'"):
        make_fold(dataset, CUT, {"item": 0})
    origins = {"interactions": Origin("lines.csv"), "item": Origin("items.csv", "sku")}
    place = r"lines\.csv, column 'product': .*; items\.csv, column 'sku' has ids such as 'p00'; write ids alike in both"
    with pytest.raises(DataError, match=place):
        make_fold(replace(dataset, origins=origins), CUT, {"item": 0})
    fold = make_fold(dataset, CUT, {"item": 0}, {"item"})
    assert fold.entities["item"].ids[1:].tolist() == sorted(known["id"].to_pylist())
    assert fold.dropped["eval: item not in the catalog"] > 0


def test_interactions_without_an_id_are_left_out(shop):
    items = [None if row % 3 == 0 else item for row, item in enumerate(shop.interactions["product"].to_pylist())]
    some = shop.interactions.set_column(1, "product", [pa.array(items)])
    fold = make_fold(Dataset(some, shop.entities, shop.schema), CUT, {"item": 0})
    assert len(fold.events) == sum(
        item is not None and when < CUT.end for item, when in zip(items, some["when"].to_pylist(), strict=True)
    )


def test_refuses_what_it_cannot_cut(shop):
    with pytest.raises(DataError, match=r"\['items'\] are no entities; the data have \['item', 'user'\]"):
        make_fold(shop, CUT, {"items": 3})
    with pytest.raises(DataError, match="item: no row has 100000 or more interactions"):
        make_fold(shop, CUT, {"item": 100000})
    numbers = pa.chunked_array([pa.array(np.arange(len(shop.interactions)))])
    wrong = shop.interactions.set_column(1, "product", numbers)
    with pytest.raises(DataError, match=r"interactions\.product has ids of type int64, but item\.id is of type string"):
        make_fold(Dataset(wrong, shop.entities, shop.schema), CUT, {})


def test_an_entity_without_interactions_is_there_as_a_whole(shop):
    shops = pa.table({"id": [5, 3], "town": ["b", "a"]})
    schema = shop.schema.model_copy(update={"entities": {**shop.schema.entities, "shop": shop.schema.entities["user"]}})
    fold = make_fold(Dataset(shop.interactions, {**shop.entities, "shop": shops}, schema), CUT, {})
    assert list(fold.entities) == ["user", "item", "shop"]
    assert fold.entities["shop"].ids.tolist() == [-1, 3, 5]
    assert fold.entities["shop"].columns["town"].to_pylist() == [None, "a", "b"]


def test_ids_keep_their_numbers_and_new_ones_follow(shop):
    before = make_fold(shop, CUT, {})
    kept = {"item": before.entities["item"].ids[:0:-1].copy()[5:]}  # in another order, and without the last five
    after = make_fold(shop, CUT, {}, numbered=kept)
    ids = after.entities["item"].ids.tolist()
    count = len(kept["item"])
    assert ids[1 : count + 1] == kept["item"].tolist()
    assert ids[count + 1 :] == sorted(set(before.entities["item"].ids[1:]) - set(kept["item"]))
    names = [fold.entities["item"].ids[fold.events.ids["item"]].tolist() for fold in (before, after)]
    assert names[0] == names[1]
    texts = [
        dict(zip(f.entities["item"].ids, f.entities["item"].columns["text"].to_pylist(), strict=True))
        for f in (before, after)
    ]
    assert texts[0] == texts[1]


def test_numbers_of_ids_that_are_gone_stay(shop):
    """A catalog that has lost an id keeps its row, and one that is rarer than before stays in."""
    numbered = {"item": np.array(["gone", *make_fold(shop, CUT, {}).entities["item"].ids[1:]], object)}
    fold = make_fold(shop, CUT, {"item": 5}, numbered=numbered)
    assert fold.entities["item"].ids[1:].tolist() == numbered["item"].tolist()
    assert fold.entities["item"].columns["text"].to_pylist()[1] is None
    assert (fold.events.ids["item"] > 1).all()
