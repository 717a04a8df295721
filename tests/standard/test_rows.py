from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from mtkit.data.catalogs import make_fold
from mtkit.data.row_builders import in_sequences
from mtkit.errors import DataError, DeclarationError
from mtkit.spec import Cut
from mtkit.standard.rows import EntityRows, Interactions, Profiles, SampledNegatives, Sequences, Windows
from mtkit.testing import check_rows

DAY = 86400
VALID, TEST = Cut("valid", 50 * DAY, 70 * DAY), Cut("test", 70 * DAY, 100 * DAY)


@pytest.fixture
def fold(shop):
    return make_fold(shop, TEST, {})


def test_windows_end_at_the_cut(fold):
    rows = Windows.model_validate_json('{"batch_size": 8, "length": "20d", "count": 2}', strict=True)
    train, evaluated = rows.make(fold, "train"), rows.make(fold, "eval")
    assert set(train.time) == {50 * DAY, 30 * DAY}
    assert set(evaluated.time) == {fold.cut}
    assert train.note == "2 windows of 20 days before the cut; users with a past who act in the window"
    close = Windows(batch_size=8, length=timedelta(days=20), stride=timedelta(days=5), count=3)
    assert set(close.make(fold, "train").time) == {50 * DAY, 45 * DAY, 40 * DAY}


def test_targets_of_evaluation_are_all_items_from_the_cut_on(fold):
    table, events = Windows(batch_size=8).make(fold, "eval"), fold.events
    for row, user in enumerate(table.ids["user"]):
        begin, end = table.lists["target"].offsets[row : row + 2]
        expected = events.ids["item"][(events.ids["user"] == user) & (events.time >= fold.cut)]
        assert table.lists["target"].values["item"][begin:end].tolist() == sorted(set(expected.tolist()))


def test_profiles_are_the_pasts_of_users_as_targets(shop):
    """A row for each user who acts before the end of training, with all that is known until then, and nothing of later."""
    check_rows(Profiles())
    fold = make_fold(shop, replace(TEST, fit=50 * DAY), {})
    table = Profiles().make(fold, "train")
    events, targets = fold.events, table.lists["target"]
    user, item = events.ids["user"], events.ids["item"]
    early = events.time < 50 * DAY
    assert table.ids["user"].tolist() == np.unique(user[early]).tolist()
    np.testing.assert_array_equal(table.time, np.full(len(table), 50 * DAY))
    for row, one in enumerate(table.ids["user"]):
        own = np.flatnonzero(early & (user == one))
        assert table.history[row].tolist() == [own[0], own[-1] + 1]
        mine = targets.values["item"][slice(*targets.offsets[row : row + 2])]
        assert mine.tolist() == [number for number in np.unique(item[own]).tolist() if number]


def test_profiles_are_evaluated_as_windows_are(fold):
    found, expected = (rows.make(fold, "eval") for rows in (Profiles(), Windows()))
    np.testing.assert_array_equal(found.history, expected.history)
    np.testing.assert_array_equal(found.lists["target"].values["item"], expected.lists["target"].values["item"])


def test_profiles_may_be_of_some_interactions(fold):
    """Users have rows if they have targets and a past, each by its condition."""
    table = Profiles(where={"store": "north"}, past={"store": "south"}).make(fold, "train")
    store = fold.events.columns["store"].to_numpy(zero_copy_only=False)
    early, user = fold.events.time < fold.fit, fold.events.ids["user"]
    of = {name: set(user[early & (store == name)].tolist()) for name in ("north", "south")}
    assert set(table.ids["user"].tolist()) == of["north"] & of["south"]


def test_windows_may_evaluate_fewer_users(fold):
    whole = Windows(batch_size=8).make(fold, "eval")
    drawn = [Windows(batch_size=8, eval_sample=5, seed=seed).make(fold, "eval") for seed in (0, 0, 1)]
    users = [table.ids["user"].tolist() for table in drawn]
    assert len(set(users[0])) == 5
    assert users[0] == users[1] != users[2]
    assert set(users[0]) <= set(whole.ids["user"].tolist())
    targets = {user: row for row, user in enumerate(whole.ids["user"].tolist())}
    expected = whole.take(np.array([targets[user] for user in users[0]]))
    np.testing.assert_array_equal(drawn[0].history, expected.history)
    np.testing.assert_array_equal(drawn[0].lists["target"].values["item"], expected.lists["target"].values["item"])
    assert drawn[0].note == f"{whole.note}; at most 5 of {len(whole)}, drawn uniformly (seed 0)"
    all_of_them = Windows(batch_size=8, eval_sample=len(whole)).make(fold, "eval")
    np.testing.assert_array_equal(all_of_them.ids["user"], whole.ids["user"])
    assert len(Windows(batch_size=8, eval_sample=5).make(fold, "train")) > 5


@pytest.mark.parametrize("part", ["train", "eval"])
def test_interactions_are_the_lines_of_the_part(fold, part):
    table, events = Interactions(batch_size=8).make(fold, part), fold.events
    there = np.flatnonzero(events.time < fold.cut) if part == "train" else np.flatnonzero(events.time >= fold.cut)
    for entity in ("user", "item"):
        np.testing.assert_array_equal(table.ids[entity], events.ids[entity][there])
    np.testing.assert_array_equal(table.time, events.time[there])
    assert set(table.context) == {"store", "amount"}
    assert table.context["store"].tolist() == events.columns["store"].take(there).to_pylist()
    assert set(table.labels) == set(table.weights) == {"cheap", "returns", "payment"}
    assert table.classes == {"payment": ("card", "cash")}


def test_interactions_may_be_fewer(fold):
    rows = Interactions(batch_size=8, labels=("cheap",), since=timedelta(days=20), sample=15)
    table = rows.make(fold, "train")
    assert set(table.labels) == {"cheap"}
    assert len(table) == 15
    assert table.time.min() >= fold.cut - 20 * DAY
    assert table.note == "interactions that took place in the 20 days before the cut, at most 15 of them"
    assert len(rows.make(fold, "eval")) > 15


@pytest.mark.parametrize("part", ["train", "eval"])
def test_negatives_differ_in_the_item_alone(fold, part):
    table, events = SampledNegatives(batch_size=8, negatives=3).make(fold, part), fold.events
    positive = table.labels["preferred"] == 1
    number = positive.sum()
    assert not positive[number:].any()
    until = fold.cut if part == "train" else fold.end
    user, item = table.ids["user"], table.ids["item"]
    known = set(zip(events.ids["user"][events.time < until], events.ids["item"][events.time < until], strict=True))
    pairs = list(zip(user, item, strict=True))
    assert known.issuperset(pairs[:number])
    assert known.isdisjoint(pairs[number:])
    assert (item > 0).all()
    context = [table.context["store"], table.context["amount"].astype(str)]
    keys = list(zip(user, table.time, map(tuple, table.history), *context, strict=True))
    assert set(keys[number:]) <= set(keys[:number])
    assert len(table) == 4 * number
    assert (table.weights["preferred"] == 1).all()
    assert "3 items drawn uniformly" in table.note


def test_positives_count_once_per_group_and_are_sampled(fold):
    events = fold.events
    before = events.time < fold.cut
    positives = SampledNegatives(batch_size=8).make(fold, "train").labels["preferred"].sum()
    assert positives == len(set(zip(events.group[before], events.ids["item"][before], strict=True))) < before.sum()
    few = SampledNegatives(batch_size=8, negatives=2, sample=10)
    assert len(few.make(fold, "train")) == 30


def parts_of(shop, rows):
    folds = {cut.name: make_fold(shop, cut, {}) for cut in (VALID, TEST)}
    return {
        (name, part): {fold.entities["item"].ids[i] for i in rows.make(fold, part).ids["item"]}
        for name, fold in folds.items()
        for part in ("train", "eval")
    }


def test_held_out_groups_are_never_trained_on(make_shop):
    shop = make_shop(items=60, baskets=500)
    family = dict(zip(*(shop.entities["item"][name].to_pylist() for name in ("id", "family")), strict=True))
    parts = parts_of(shop, EntityRows(batch_size=8, holdout_by="family", holdout=0.3, seed=2))
    families = {key: {family[item] for item in items} for key, items in parts.items()}
    assert not families["valid", "eval"] & families["test", "eval"]
    assert not families["valid", "train"] & (families["valid", "eval"] | families["test", "eval"])
    assert not families["test", "train"] & families["test", "eval"]
    assert families["test", "train"] >= families["valid", "eval"]
    assert set(map(len, families.values())) != {0}


def test_rows_of_an_entity_have_no_time(shop, fold):
    table = EntityRows(batch_size=8, holdout_by="family", holdout=0.3).make(fold, "train")
    assert 0 not in table.ids["item"]
    assert len(table.time) == 0
    assert table.history.shape == (0, 2)
    assert (table.weights["item.shelf"] == 1).all()
    assert table.classes == {"item.shelf": ("low", "top")}


def test_the_group_must_be_a_column(fold):
    with pytest.raises(DataError, match=r"^holdout_by: item\.famly is no declared column; did you mean 'family'\?"):
        EntityRows(batch_size=8, holdout_by="famly").make(fold, "train")


@pytest.mark.parametrize(
    "values", [{"length": timedelta(0)}, {"count": 0}, {"stride": timedelta(days=-1)}, {"windows": 3}]
)
def test_windows_refuse_what_makes_no_sense(values):
    with pytest.raises(DeclarationError):
        Windows(batch_size=8, **values)


def test_training_keeps_some_negatives_and_evaluation_all(fold):
    rows = Interactions(batch_size=8, negatives_of="cheap", keep_negatives=0.3)
    whole = Interactions(batch_size=8)
    train, evaluated = (rows.make(fold, part) for part in ("train", "eval"))
    every = whole.make(fold, "train")
    negatives = [np.count_nonzero((t.labels["cheap"] == 0) & (t.weights["cheap"] > 0)) for t in (train, every)]
    assert 0.15 < negatives[0] / negatives[1] < 0.45
    assert len(every) - len(train) == negatives[1] - negatives[0]
    assert "; of those with 0 in cheap a share of 0.3 (seed 0), " in train.note
    np.testing.assert_array_equal(evaluated.event, whole.make(fold, "eval").event)
    assert not evaluated.kept
    check_rows(Interactions(batch_size=8, negatives_of="liked", keep_negatives=0.5))


def test_training_has_positives_several_times(fold):
    rows = Interactions(
        batch_size=8, positives_of="cheap", repeat_positives=3, negatives_of="cheap", keep_negatives=0.5
    )
    train, evaluated = (rows.make(fold, part) for part in ("train", "eval"))
    fewer = Interactions(batch_size=8, negatives_of="cheap", keep_negatives=0.5).make(fold, "train")
    positives = np.count_nonzero((fewer.labels["cheap"] == 1) & (fewer.weights["cheap"] > 0))
    assert len(train) == len(fewer) + 2 * positives
    assert train.kept == {"cheap": pytest.approx(0.5 / 3)}
    assert not evaluated.kept
    assert (np.diff(train.event) >= 0).all()
    check_rows(Interactions(batch_size=8, positives_of="liked", repeat_positives=2))


def test_kept_negatives_are_of_a_label_and_a_share():
    for options, message in (
        ({"negatives_of": "cheap"}, "give both, or none"),
        ({"keep_negatives": 0.1}, "give both, or none"),
        ({"positives_of": "cheap"}, "give both, or none"),
        ({"repeat_positives": 2}, "give both, or none"),
        ({"positives_of": "chea", "repeat_positives": 2, "labels": ("cheap",)}, "did you mean 'cheap'"),
        (
            {"negatives_of": "chea", "keep_negatives": 0.1, "labels": ("cheap",)},
            "no label of these rows; did you mean 'cheap'",
        ),
    ):
        with pytest.raises(DeclarationError, match=message):
            Interactions(batch_size=8, **options)


@pytest.mark.parametrize("length", [1, 3, 4, 1000])
def test_sequences_are_the_events_with_a_past(fold, length):
    table, events = Sequences(length=length).make(fold, "train"), Interactions().make(fold, "train")
    there = np.flatnonzero(events.history[:, 1] > events.history[:, 0])
    assert sorted(table.event) == sorted(events.event[there])
    assert table.left_out == {"event without a past": len(events) - len(there)}
    alone = {event: row for row, event in enumerate(events.event)}
    rows = [alone[event] for event in table.event]
    np.testing.assert_array_equal(table.history, events.history[rows])
    np.testing.assert_array_equal(table.time, events.time[rows])
    assert set(np.diff(table.sequence)) <= {0, 1}
    assert table.sequence[0] == 0
    assert table.units == table.sequence[-1] + 1
    for number in range(table.units):
        (mine,) = np.nonzero(table.sequence == number)
        assert len(set(table.ids["user"][mine])) == 1
        end = table.history[mine, 1]
        assert (np.diff(end) >= 0).all()
        assert end[-1] - end[0] < length
    whole = length == 1000
    assert (table.units == len(set(table.ids["user"]))) == whole


def test_the_latest_sequence_of_a_user_is_full(fold):
    table = Sequences(length=4).make(fold, "train")
    for user in set(table.ids["user"]):
        mine = table.ids["user"] == user
        later = table.history[mine, 1].max() - table.history[mine, 1]
        pieces = [set(later[table.sequence[mine] == number] // 4) for number in dict.fromkeys(table.sequence[mine])]
        assert [len(piece) for piece in pieces] == [1] * len(pieces)
        assert [*map(min, pieces)] == sorted(set(later // 4), reverse=True)


def test_sequences_are_evaluated_event_by_event(fold):
    table, events = Sequences().make(fold, "eval"), Interactions().make(fold, "eval")
    assert table.sequence is None
    np.testing.assert_array_equal(table.event, events.event)


def test_sequences_that_are_taken_apart_are_rows(fold):
    table = Sequences().make(fold, "train")
    some = table.take(np.array([5, 3]))
    assert some.sequence is None
    assert some.units == len(some) == 2


def test_sequences_need_a_past(fold):
    table = Interactions().make(fold, "train")
    first = table.take(np.flatnonzero(table.history[:, 0] == table.history[:, 1]))
    with pytest.raises(DataError, match="no row has a past here, so there are no sequences: interactions that took"):
        in_sequences(first, 5)
