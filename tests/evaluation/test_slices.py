import dataclasses

import numpy as np
import pytest

from mtkit.data.catalogs import make_fold
from mtkit.errors import DataError
from mtkit.evaluation.slices import make_slices
from mtkit.recipe.settings import By, Evaluate
from mtkit.spec import Cut
from mtkit.standard.rows import EntityRows, Interactions, SampledNegatives, Windows

CUT = Cut("test", 60 * 86400, 100 * 86400)


@pytest.fixture
def fold(shop):
    return make_fold(shop, CUT, {})


@pytest.fixture
def sliced(fold):
    """`sliced(*slices, ...)` -> name -> ids of the entity, or rows of the evaluation's interactions, that belong to it."""
    table = Interactions(batch_size=8).make(fold, "eval")

    def make(*slices, **settings):
        found = {}
        for part in make_slices(Evaluate(slices=slices, **settings), fold):
            ids = np.arange(len(fold.entities[part.address])) if part.address in fold.entities else None
            members = part.of_rows(table) if ids is None else part.contains(ids)
            found[part.name] = set(np.flatnonzero(members).tolist())
        return found

    return make


def past(fold, entity):
    """How often each row of an entity occurs before the cut."""
    ids = [int(i) for i, time in zip(fold.events.ids[entity], fold.events.time, strict=True) if time < CUT.cut]
    return {row: ids.count(row) for row in range(1, len(fold.entities[entity]))}


@pytest.mark.parametrize("cold", [5, 20])
def test_cold_is_what_was_rare_in_training(fold, sliced, cold):
    found = sliced("new", "cold_user", "cold_item", cold=cold)
    assert found.keys() == {"new", "cold_user", "cold_item"}
    for entity in ("user", "item"):
        expected = {row for row, count in past(fold, entity).items() if count < cold}
        assert found[f"cold_{entity}"] == expected
    assert found["cold_item"]


@pytest.mark.parametrize("tail", [0.0, 0.2, 0.5])
def test_the_tail_has_a_share_of_the_interactions(fold, sliced, tail):
    counts = past(fold, "item")
    found = sliced("tail", tail=tail)["tail"]
    held = sum(counts[item] for item in found)
    rest = sorted((counts[item], -item) for item in counts if item not in found)
    assert held <= tail * sum(counts.values()) < held + rest[0][0]
    assert all((counts[item], -item) < rest[0] for item in found)


def test_values_of_a_column_are_slices_and_nulls_are_one(fold, sliced):
    towns = fold.entities["user"].columns["town"].to_pylist()
    found = sliced("user.town")
    assert found.keys() == {f"user.town={town or 'null'}" for town in set(towns[1:])}
    for town in set(towns[1:]):
        rows = {row for row, value in enumerate(towns) if row and value == town}
        assert found[f"user.town={town or 'null'}"] == rows


def test_the_most_frequent_values_of_what_training_knows_come_first(fold, sliced):
    stores = fold.events.columns["store"].to_pylist()
    known = [store for store, time in zip(stores, fold.events.time, strict=True) if time < CUT.cut and store]
    most = max(set(known), key=known.count)
    found = sliced(By(by="context.store", values=1))
    assert found.keys() == {f"context.store={most}", "context.store=null"}
    later = [store for store, time in zip(stores, fold.events.time, strict=True) if time >= CUT.cut]
    assert found[f"context.store={most}"] == {row for row, store in enumerate(later) if store == most}


def test_ranges_of_numbers(fold, sliced):
    weights = fold.entities["item"].columns["weight"].to_pylist()
    found = sliced(By(by="item.weight", edges=(0.25, 0.5)))
    assert list(found) == ["item.weight=..0.25", "item.weight=0.25..0.5", "item.weight=0.5..", "item.weight=null"]
    for name, test in zip(found, (lambda w: w < 0.25, lambda w: 0.25 <= w < 0.5, lambda w: w >= 0.5), strict=False):
        assert found[name] == {row for row, weight in enumerate(weights) if weight is not None and test(weight)}
    assert found["item.weight=null"] == {row for row, weight in enumerate(weights) if row and weight is None}


def test_few_numbers_are_slices_and_many_need_edges(sliced):
    assert {"context.amount=null"} < set(sliced(By(by="context.amount", values=1000)))
    with pytest.raises(DataError, match=r"evaluate.slices: context.price has \d+ distinct numbers.*give edges, as in"):
        sliced("context.price")


def test_names_cannot_be_mistaken_for_keys(make_shop):
    shop = make_shop()
    users = shop.entities["user"]
    users = users.set_column(1, "town", [["a/b@c"] * len(users)])
    fold = make_fold(dataclasses.replace(shop, entities={**shop.entities, "user": users}), CUT, {})
    (part,) = make_slices(Evaluate(slices=("user.town",)), fold)
    assert part.name == "user.town=a%2Fb%40c"


def test_tables_without_the_column_have_no_such_rows(fold):
    windows = Windows(batch_size=8).make(fold, "eval")
    asked = ("tail", "cold_user", By(by="context.store", values=1))
    item, user, store, _ = make_slices(Evaluate(slices=asked), fold)
    assert store.of_rows(windows) is None
    assert item.of_rows(windows) is None
    assert len(user.of_rows(windows)) == len(windows)


@pytest.mark.parametrize("part", ["train", "eval"])
@pytest.mark.parametrize("spec", [Interactions(batch_size=8), SampledNegatives(batch_size=8)], ids=repr)
def test_new_is_what_is_not_in_the_own_past_of_the_row(fold, spec, part):
    table = spec.make(fold, part)
    (new,) = make_slices(Evaluate(slices=("new",)), fold)
    item = fold.events.ids["item"]
    pasts = (set(item[begin:end].tolist()) for begin, end in table.history)
    expected = [item not in past for item, past in zip(table.ids["item"].tolist(), pasts, strict=True)]
    assert new.of_rows(table).tolist() == expected
    assert 0 < sum(expected) < len(expected)


def test_new_is_no_question_of_lists_and_of_items(fold):
    (new,) = make_slices(Evaluate(slices=("new",)), fold)
    assert new.of_rows(Windows(batch_size=8).make(fold, "eval")) is None
    assert new.of_rows(EntityRows(batch_size=8, holdout_by="family", holdout=0.4).make(fold, "eval")) is None
