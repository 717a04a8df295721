from dataclasses import replace

import numpy as np

from mtkit.data.catalogs import make_fold
from mtkit.data.labels import Labels
from mtkit.data.queries import with_queries
from mtkit.data.row_builders import event_table
from mtkit.spec import Cut
from mtkit.types import DAY


def table_of(shop):
    fold = make_fold(shop, Cut("test", 60 * DAY, 80 * DAY, 100 * DAY), {})
    return fold, replace(event_table(fold, np.arange(len(fold.events)), Labels(), "all"), name="all")


def test_queries_are_those_of_who_acts_of_a_role_or_of_a_basket(shop):
    fold, table = table_of(shop)
    found = with_queries(fold, table, ["", "item", "basket", "nothing"]).dense
    assert found.keys() == {"query", "query item", "query basket"}
    np.testing.assert_array_equal(found["query"], table.ids["user"])
    np.testing.assert_array_equal(found["query item"], table.ids["item"])
    pairs = {*zip(found["query basket"].tolist(), fold.events.group.tolist(), strict=True)}
    assert len(pairs) == len({*found["query basket"]}) == len({*fold.events.group})


def test_rows_that_do_not_say_their_query_are_alone(shop):
    fold = make_fold(shop, Cut("test", 60 * DAY, 80 * DAY, 100 * DAY), {})
    events = np.arange(len(fold.events))
    table = replace(event_table(fold, events, Labels(), "all"), name="all")
    numbers = with_queries(fold, table, ["store"]).dense["query store"]
    stores = np.array(fold.events.columns["store"].to_pylist(), object)
    assert len({*numbers[stores == "north"]}) == len({*numbers[stores == "south"]}) == 1
    nowhere = np.array([store is None for store in stores])
    assert len({*numbers[nowhere]}) == nowhere.sum() > 0
    assert numbers.dtype == np.int32
