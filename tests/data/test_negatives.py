import numpy as np
import pytest

from mtkit.data.catalogs import make_fold
from mtkit.data.negatives import more_positives, some_negatives, unknown_items
from mtkit.errors import DataError
from mtkit.spec import Cut
from mtkit.types import ROW_WEIGHT, RowTable

DAY = 86400


@pytest.fixture
def events(make_shop):
    return make_fold(make_shop(items=6, users=5), Cut("test", 60 * DAY, 90 * DAY), {"item": 0}).events


@pytest.mark.parametrize("before", [-DAY, 8 * DAY, 30 * DAY])
def test_uniform_over_the_items_not_had(events, before):
    users = np.arange(1, len(events.offsets) - 1)
    drawn = unknown_items(events, np.repeat(users, 3000).astype(np.int32), 6, before, seed=0).reshape(len(users), -1)
    assert drawn.dtype == np.int32
    for user, items in zip(users, drawn, strict=True):
        had = set(events.ids["item"][(events.ids["user"] == user) & (events.time < before)].tolist())
        free = sorted(set(range(1, 7)) - had) or [0]
        found, counts = np.unique(items, return_counts=True)
        assert found.tolist() == free
        assert (abs(counts - 3000 / len(free)) < 5 * np.sqrt(3000 / len(free))).all()


def test_who_has_had_everything_gets_none(events):
    everything = [u for u in range(1, 6) if len(set(events.ids["item"][events.ids["user"] == u].tolist())) == 6]
    assert everything
    assert (unknown_items(events, np.array(everything, dtype=np.int32), 6, 10**9, seed=0) == 0).all()


def test_draws_are_seeded(events):
    user = np.full(200, 1, dtype=np.int32)
    first, again, other = (unknown_items(events, user, 6, 0, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def _rows(count=4000, share=0.05):
    rng = np.random.default_rng(3)
    like = (rng.random(count) < share).astype(np.float32)
    known = (rng.random(count) < 0.9).astype(np.float32)
    other = np.where(like > 0, 5, rng.integers(0, 3, count)).astype(np.float32)
    return RowTable(
        "lines", {"user": np.arange(count, dtype=np.int32)}, np.arange(count), np.zeros((0, 2)), np.arange(count),
        labels={"like": like * known, "seconds": other}, weights={"like": 2 * known, "seconds": np.ones(count, np.float32)},
        note="all",
    )  # fmt: skip


def test_some_negatives_are_drawn_and_all_else_stays():
    table = _rows()
    some = some_negatives(table, "like", 0.1, seed=0)
    negative = (table.labels["like"] == 0) & (table.weights["like"] > 0)
    kept = np.isin(table.ids["user"], some.ids["user"])
    assert kept[~negative].all()
    assert kept[negative].mean() == pytest.approx(0.1, abs=0.02)
    assert (np.diff(some.ids["user"]) > 0).all()
    assert dict(some.kept) == {"like": 0.1}
    shown = f"all; of those with 0 in like a share of 0.1 (seed 0), {kept[negative].sum():,} rows, which count 10 for"
    assert some.note.startswith(shown)
    again, other = (some_negatives(table, "like", 0.1, seed) for seed in (0, 1))
    np.testing.assert_array_equal(again.ids["user"], some.ids["user"])
    assert not np.array_equal(other.ids["user"], some.ids["user"])


def test_kept_negatives_count_1_for_their_label_and_what_they_stand_for_elsewhere():
    table = _rows(40_000)
    some = some_negatives(table, "like", 0.1, seed=0)
    as_seen = some.weighed([ROW_WEIGHT])
    there = some.weights["like"] > 0
    np.testing.assert_allclose(as_seen.weights["like"][there], 2, rtol=1e-6)
    for label, seen in (("seconds", as_seen), ("like", as_seen.of_population("like"))):
        expected = np.average(table.labels[label], weights=table.weights[label])
        assert np.average(seen.labels[label], weights=seen.weights[label]) == pytest.approx(expected, rel=0.03)
        assert seen.weights[label].sum() == pytest.approx(table.weights[label].sum(), rel=0.03)
    assert as_seen.of_population("seconds") is as_seen


@pytest.mark.parametrize("rate", [None, 0.1])
def test_positives_are_there_several_times_and_count_once(rate):
    table = _rows(40_000)
    some = table if rate is None else some_negatives(table, "like", rate, seed=0)
    more = more_positives(some, "like", 4)
    positive = (table.labels["like"] == 1) & (table.weights["like"] > 0)
    users, counts = np.unique(more.ids["user"], return_counts=True)
    assert (counts == np.where(positive[users], 4, 1)).all()
    assert len(users) == len(some)
    assert dict(more.kept) == {"like": pytest.approx((rate or 1) / 4)}
    as_seen = more.weighed([ROW_WEIGHT])
    there = more.weights["like"] > 0
    np.testing.assert_allclose(as_seen.weights["like"][there], 2, rtol=1e-6)
    for label, seen in (("seconds", as_seen), ("like", as_seen.of_population("like"))):
        expected = np.average(table.labels[label], weights=table.weights[label])
        assert np.average(seen.labels[label], weights=seen.weights[label]) == pytest.approx(expected, rel=0.03)
        assert seen.weights[label].sum() == pytest.approx(table.weights[label].sum(), rel=0.03)
    assert more.note.endswith(
        f"; each of the {positive.sum():,} with 1 in like 4 times, which count 1/4 for tasks of other labels"
    )


@pytest.mark.parametrize(
    ("label", "message"),
    [("likes", "no label 'likes'; did you mean 'like'?"), ("seconds", "'seconds' is not of 0 and 1")],
)
def test_negatives_are_of_a_label_of_0_and_1(label, message):
    with pytest.raises(DataError, match=message):
        some_negatives(_rows(), label, 0.1, seed=0)
