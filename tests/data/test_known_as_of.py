import math

import numpy as np
import pytest

from mtkit.data import known_as_of as history
from mtkit.data.catalogs import make_fold
from mtkit.data.known_as_of import (
    ACTIVITY_CHANNELS,
    KNOWN,
    OWN_CHANNELS,
    POPULARITY_CHANNELS,
    before_group,
    history_bounds,
    known_columns,
)
from mtkit.errors import DataError
from mtkit.schema import Column, Schema
from mtkit.spec import Cut
from mtkit.types import DAY, Entity, Fold, RowTable

ITEMS = 13


@pytest.fixture
def events(make_shop):
    return make_fold(make_shop(seed=3, users=6, items=12), Cut("test", 60 * DAY, 100 * DAY), {}).events


@pytest.fixture
def rows(events):
    """Users and moments: before all, after all, at events, whole days after events, in between."""
    rng = np.random.default_rng(0)
    user = rng.integers(0, len(events.offsets) - 1, 300).astype(np.int32)
    later = rng.choice(events.time, 100) + rng.choice([10, 14, 30, 90], 100) * DAY
    between = rng.integers(-DAY, 110 * DAY, 98)
    time = np.concatenate([rng.choice(events.time, 100), later, between, [-DAY, 10**6 * DAY]])
    return user, time


def fold_of(events):
    items = Entity("item", np.arange(ITEMS), None)
    schema = Schema(
        interactions={name: Column(kind="id", entity=name) for name in ("user", "item")},
        entities={"user": {}, "item": {}},
    )
    return Fold("test", 0, 0, 0, {"item": items}, events, schema)


def known(events, user, time, names=KNOWN):
    table = RowTable("lines", {"user": user}, time, np.zeros((0, 2), np.int64), time)
    return known_columns(fold_of(events), table, names)


def past(events, user, time):
    return [e for e in range(len(events)) if events.ids["user"][e] == user and events.time[e] < time]


def first_times(events, before, key):
    """Key of an event -> group -> time of the group's first event with the key."""
    times = {}
    for e in before:
        moments = times.setdefault(key(e), {})
        moments[events.group[e]] = min(events.time[e], moments.get(events.group[e], math.inf))
    return times


def ages_of(moments, time):
    return sorted(((time - moment) / DAY for moment in moments.values()), reverse=True)


def slow_own(ages, baskets):
    first, *_, last = ages if len(ages) > 1 else ages * 2
    within = {days: math.log(1 + sum(age <= days for age in ages)) for days in (10, 30, 90)}
    halved = {days: math.log(1 + sum(0.5 ** (age / days) for age in ages)) for days in (30, 120)}
    due = 0
    if len(ages) > 1:
        due = math.log((last + 3) / (max((first - last) / (len(ages) - 1), 1) + 3))
    return [
        math.log(1 + len(ages)),
        within[30],
        within[90],
        math.exp(-last / 30),
        math.exp(-last / 120),
        halved[120],
        halved[30],
        math.sqrt(len(ages) / baskets),
        min(max(due, -2), 2),
        len(ages) > 1,
        within[10],
        math.exp(-last / 7),
    ]


@pytest.mark.parametrize("chunk", [1, 40, 1 << 21])
def test_own_items_equal_the_slow_way(events, rows, chunk, monkeypatch):
    monkeypatch.setattr(history, "_CHUNK", chunk)
    user, time = rows
    own = known(events, user, time).lists["own"]
    assert own.values["id"].dtype == np.int32
    assert own.values["channels"].dtype == np.float32
    assert own.values["channels"].shape == (len(own.values["id"]), len(OWN_CHANNELS))
    assert own.offsets.dtype == np.int64
    for row in range(len(user)):
        mine = slice(own.offsets[row], own.offsets[row + 1])
        before = past(events, user[row], time[row])
        baskets = len({events.group[e] for e in before})
        items = sorted(first_times(events, before, lambda e: int(events.ids["item"][e])).items())
        assert own.values["id"][mine].tolist() == [item for item, _ in items]
        expected = [slow_own(ages_of(moments, time[row]), baskets) for _, moments in items]
        expected = np.reshape(expected, (-1, len(OWN_CHANNELS)))
        np.testing.assert_allclose(own.values["channels"][mine], expected, 1e-6, 1e-7)


def test_activity_equals_the_slow_way(events, rows):
    user, time = rows
    activity = known(events, user, time).dense["activity"]
    assert activity.dtype == np.float32
    assert activity.shape == (len(user), len(ACTIVITY_CHANNELS))
    for row in range(len(user)):
        before = past(events, user[row], time[row])
        ages = ages_of(first_times(events, before, lambda e: 0).get(0, {}), time[row])
        expected = [
            math.log(1 + sum(age <= 30 for age in ages)) / 2 - 1,
            math.log(1 + sum(age <= 90 for age in ages)) / 2 - 1.2,
            math.log(1 + len({events.ids["item"][e] for e in before})) / 2 - 2,
            math.log(1 + len(ages)) / 2 - 1.7,
        ]
        np.testing.assert_allclose(activity[row], expected, 1e-6)


def test_popularity_equals_the_slow_way(events, rows):
    user, time = rows
    result = known(events, user, time).shared["popularity"]
    moments, popularity = np.unique(time), result.values
    assert popularity.dtype == np.float32
    assert popularity.shape == (len(moments), ITEMS, len(POPULARITY_CHANNELS))
    assert result.index.dtype == np.int32
    np.testing.assert_array_equal(moments[result.index], time)
    for moment, channels in zip(moments, popularity, strict=True):
        before = [e for e in range(len(events)) if events.time[e] < moment]
        times = first_times(events, before, lambda e: (int(events.ids["item"][e]), events.ids["user"][e]))
        expected = np.zeros((ITEMS, len(POPULARITY_CHANNELS)))
        for (item, _), groups in times.items():
            ages = ages_of(groups, moment)
            recent = [sum(age <= days for age in ages) for days in (14, 7, 3, 1)]
            expected[item] += [ages[-1] <= 30, ages[-1] <= 90, *recent]
        np.testing.assert_allclose(channels, np.log1p(expected), 1e-6)
        assert not channels[0].any()


def test_no_rows_and_no_past(events):
    none = np.zeros(0, dtype=np.int32)
    empty = known(events, none, np.zeros(0, dtype=np.int64))
    assert empty.columns() == frozenset()
    nothing = known(events, np.array([1, 2], dtype=np.int32), np.array([-1, -1]))
    assert nothing.lists["own"].offsets.tolist() == [0, 0, 0]
    assert nothing.lists["own"].values["channels"].shape == (0, len(OWN_CHANNELS))
    assert nothing.shared["popularity"].index.tolist() == [0, 0]
    assert not nothing.shared["popularity"].values.any()


def test_only_what_is_asked_for_is_made(events, rows):
    assert known(events, *rows, names=["activity", "nothing"]).columns() == {"activity"}
    one = known(events, *rows, names=["own"])
    again = known_columns(fold_of(events), one, ["own", "popularity"])
    assert again.lists["own"] is one.lists["own"]
    assert again.columns() == {"own", "popularity"}


def test_popularity_of_many_moments_is_refused_where_it_does_not_fit(events, rows, monkeypatch):
    monkeypatch.setattr(history, "available", lambda: 100)
    with pytest.raises(DataError, match=r"row table 'lines': the popularity of .* takes .* GB, and 0.0 GB are free"):
        known(events, *rows)


def test_history_ends_strictly_before_the_moment(events, rows):
    user, time = rows
    bounds = history_bounds(events, user, time)
    assert bounds.dtype == np.int64
    for row, (begin, end) in enumerate(bounds):
        assert list(range(begin, end)) == past(events, user[row], time[row])


def test_history_of_events_ends_before_their_group(events):
    bounds = history_bounds(events, events.ids["user"], before_group(events, np.arange(len(events))))
    long_groups = 0
    for row, (begin, end) in enumerate(bounds):
        group = np.flatnonzero(events.group == events.group[row])
        long_groups += events.time[group].min() < events.time[row]
        assert list(range(begin, end)) == past(events, events.ids["user"][row], events.time[group].min())
    assert long_groups > 0
