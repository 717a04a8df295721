import numpy as np
import pandas as pd
import pytest

from mtkit.conditions import Where
from mtkit.data.asked_rows import make_rows
from mtkit.data.catalogs import make_fold
from mtkit.spec import Cut
from mtkit.standard.rows import Interactions, Windows

DAY = 86400
TEST = Cut("test", 70 * DAY, 100 * DAY)
STORES = Where.model_validate({"store": "north"})


@pytest.fixture
def fold(shop):
    return make_fold(shop, TEST, {})


def frame_of(fold):
    events = fold.events
    columns = {"user": events.ids["user"], "item": events.ids["item"], "time": events.time, "group": events.group}
    return pd.DataFrame({**columns, "store": events.columns["store"].to_pylist()})


def lists_of(table, name, value):
    ragged = table.lists[name]
    parts = np.split(ragged.values[value], ragged.offsets[1:-1])  # noqa: PD011 - no data frame
    return {user: part.tolist() for user, part in zip(table.ids["user"].tolist(), parts, strict=True)}


@pytest.mark.parametrize("part", ["train", "eval"])
def test_interactions_that_are_meant(fold, part):
    table, frame = Interactions(batch_size=8, where=STORES).make(fold, part), frame_of(fold)
    of_part = frame["time"] < fold.cut if part == "train" else frame["time"] >= fold.cut
    expected = frame[of_part & (frame["store"] == "north")]
    assert 0 < len(expected) < of_part.sum()
    assert table.time.tolist() == expected["time"].tolist()
    assert table.ids["item"].tolist() == expected["item"].tolist()
    assert "store = north" in table.note


def test_what_was_shown_and_not_chosen_has_label_0(fold):
    table = Interactions(batch_size=8, chosen=STORES).make(fold, "train")
    assert table.labels["chosen"].tolist() == [float(store == "north") for store in table.context["store"]]
    assert set(table.weights["chosen"]) == {1.0}


def test_targets_are_of_the_events_that_are_meant_and_the_past_of_its_own(fold):
    frame = frame_of(fold)
    meant, later = frame["store"] == "north", frame["time"] >= fold.cut
    known = frame[~later]
    whole = Windows(batch_size=8, where=STORES).make(fold, "eval")
    expected = frame[meant & later & frame["user"].isin(known["user"])].groupby("user")["item"].unique()
    assert lists_of(whole, "target", "item") == {user: sorted(items) for user, items in expected.items()}
    assert "(store = north)" in whole.note
    narrow = Windows(batch_size=8, where=STORES, past=STORES)
    with_a_past = known[known["store"] == "north"]["user"]
    assert set(narrow.make(fold, "eval").ids["user"]) == set(expected.index) & set(with_a_past)
    own = make_rows("windows", narrow, fold, "eval", ["own"])
    had = known[known["store"] == "north"].groupby("user")["item"].unique()
    assert lists_of(own, "own", "id") == {user: sorted(had[user]) for user in own.ids["user"].tolist()}


def test_a_catalog_may_count_some_events_alone(shop):
    frame = frame_of(make_fold(shop, TEST, {}))
    fold = make_fold(shop, TEST, {"item": 2}, counting={"item": STORES})
    counts = frame[(frame["time"] < TEST.cut) & (frame["store"] == "north")]["item"].value_counts()
    assert len(fold.catalog("item")) - 1 == (counts >= 2).sum()
