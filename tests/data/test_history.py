import math

import numpy as np
import pytest

from mtkit.data import history
from mtkit.data.fold import make_fold
from mtkit.data.history import DAY, OWN_CHANNELS, history_bounds, own_items
from mtkit.spec import Cut


@pytest.fixture
def events(make_shop):
    return make_fold(make_shop(seed=3, users=6, items=12), Cut("test", 60 * DAY, 100 * DAY), {}).events


@pytest.fixture
def rows(events):
    """Users and moments: before all, after all, at events, in between."""
    rng = np.random.default_rng(0)
    user = rng.integers(0, len(events.offsets) - 1, 300).astype(np.int32)
    time = np.concatenate([rng.choice(events.time, 150), rng.integers(-DAY, 110 * DAY, 148), [-DAY, 10**6 * DAY]])
    return user, time


def past(events, user, time):
    return [e for e in range(len(events)) if events.ids["user"][e] == user and events.time[e] < time]


def slow_channels(events, before, item, time):
    first = {}
    for e in before:
        if events.ids["item"][e] == item:
            first.setdefault(events.group[e], events.time[e])
    ages = sorted(((time - moment) / DAY for moment in first.values()), reverse=True)
    interval = max((ages[0] - ages[-1]) / (len(ages) - 1), 1) if len(ages) > 1 else math.inf
    return [
        math.log(1 + len(ages)),
        *(math.log(1 + sum(age < days for age in ages)) for days in (30, 90)),
        *(math.log(1 + sum(0.5 ** (age / days) for age in ages)) for days in (15, 60, 120)),
        math.log(1 + ages[-1]),
        math.log(1 + ages[-1] / interval),
        len(ages) / len({events.group[e] for e in before}),
    ]


@pytest.mark.parametrize("chunk", [1, 40, 1 << 21])
def test_own_items_equal_the_slow_way(events, rows, chunk, monkeypatch):
    monkeypatch.setattr(history, "_CHUNK", chunk)
    user, time = rows
    own = own_items(events, user, time)
    assert own.values["id"].dtype == np.int32
    assert own.values["channels"].dtype == np.float32
    assert own.values["channels"].shape == (len(own.values["id"]), len(OWN_CHANNELS))
    assert own.offsets.dtype == np.int64
    for row in range(len(user)):
        mine = slice(own.offsets[row], own.offsets[row + 1])
        before = past(events, user[row], time[row])
        items = sorted({int(events.ids["item"][e]) for e in before})
        assert own.values["id"][mine].tolist() == items
        expected = [slow_channels(events, before, item, time[row]) for item in items]
        np.testing.assert_allclose(own.values["channels"][mine], np.reshape(expected, (-1, len(OWN_CHANNELS))), 1e-6)


def test_no_rows_and_no_past(events):
    none = np.zeros(0, dtype=np.int32)
    assert own_items(events, none, np.zeros(0, dtype=np.int64)).offsets.tolist() == [0]
    own = own_items(events, np.array([1, 2], dtype=np.int32), np.array([-1, -1]))
    assert own.offsets.tolist() == [0, 0, 0]
    assert own.values["channels"].shape == (0, len(OWN_CHANNELS))


def test_history_ends_strictly_before_the_moment(events, rows):
    user, time = rows
    bounds = history_bounds(events, user, time)
    assert bounds.dtype == np.int64
    for row, (begin, end) in enumerate(bounds):
        assert list(range(begin, end)) == past(events, user[row], time[row])


def test_history_of_events_ends_before_their_group(events):
    bounds = history_bounds(events, events.ids["user"], events.time, events.group)
    long_groups = 0
    for row, (begin, end) in enumerate(bounds):
        group = np.flatnonzero(events.group == events.group[row])
        long_groups += events.time[group].min() < events.time[row]
        assert list(range(begin, end)) == past(events, events.ids["user"][row], events.time[group].min())
    assert long_groups > 0
