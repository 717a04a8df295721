"""Pasts on the device: columns of their events, and of which events they are."""

import numpy as np
import pyarrow as pa
import pytest

from mtkit.backend import tf
from mtkit.conditions import Where
from mtkit.feed.batch import Batch
from mtkit.feed.features import EventLog
from mtkit.feed.interface import Past
from mtkit.schema import AGE, Address
from mtkit.types import Events

DAY = 86400
ITEM, KIND, PRICE = (Address.of("history", name) for name in ("item", "kind", "price"))
BUY, CART = Where.model_validate({"kind": "buy"}), Where.model_validate({"kind": "cart"})
COUNT = 40


@pytest.fixture
def events():
    rng = np.random.default_rng(0)
    user, time = np.sort(rng.integers(0, 4, COUNT)), np.sort(rng.integers(0, 90, COUNT)) * DAY
    ids = {"user": user.astype(np.int32), "item": rng.integers(1, 50, COUNT).astype(np.int32)}
    return Events(ids, time, np.arange(COUNT), pa.table({}), np.searchsorted(user, np.arange(5)))


@pytest.fixture
def columns():
    rng = np.random.default_rng(1)
    return {"kind": rng.integers(1, 4, COUNT).astype(np.int32), "price": rng.random((COUNT, 2)).astype(np.float32)}


@pytest.fixture
def holds():
    rng = np.random.default_rng(2)
    return {BUY: rng.random(COUNT) < 0.4, CART: np.zeros(COUNT, bool)}


def batch_of(bounds):
    return Batch({}, time=tf.fill([len(bounds)], np.int64(100 * DAY)), history=tf.constant(bounds, tf.int64))


@pytest.mark.parametrize("where", [None, BUY, CART])
@pytest.mark.parametrize("length", [1, 6, 50])
def test_the_last_events_that_are_meant_with_all_that_is_read_of_them(events, columns, holds, where, length):
    log = EventLog(events, "item", columns, holds)
    bounds = np.array([[0, 5], [4, 4], [10, 30], [7, 8], [0, 0], [0, COUNT], [COUNT, COUNT]])
    batch, past = batch_of(bounds), Past(length, where)
    found = {}
    for address in (ITEM, KIND, PRICE):
        found |= log.feature(address, batch, past)
    assert set(found) == {ITEM, AGE, KIND, PRICE}
    values = {
        ITEM: events.ids["item"],
        AGE: (100 * DAY - events.time) / DAY,
        KIND: columns["kind"],
        PRICE: columns["price"],
    }
    kept = np.ones(COUNT, bool) if where is None else holds[where]
    for row, (begin, end) in enumerate(bounds):
        events_of_row = [event for event in range(begin, end) if kept[event]][-length:]
        for address, of_all in values.items():
            expected = np.zeros((length, *of_all.shape[1:]))
            if events_of_row:
                expected[-len(events_of_row) :] = of_all[events_of_row]
            np.testing.assert_allclose(found[address][row], expected, rtol=1e-6)
    assert found[KIND].dtype == tf.int32
    assert found[PRICE].dtype == tf.float32


def test_nothing_more_lies_on_the_device_where_nothing_more_is_read(events, columns, holds):
    assert [held.name for held in EventLog(events, "item").variables] == ["events.ids:0", "events.time:0"]
    held = {
        held.name.partition(":")[0]: held for held in EventLog(events, "item", columns, {BUY: holds[BUY]}).variables
    }
    assert set(held) == {
        *("events.ids", "events.time", "events.kind", "events.price"),
        *("events.chosen0.before", "events.chosen0.positions"),
    }
    assert held["events.chosen0.before"].shape == [COUNT + 1]
    assert held["events.chosen0.positions"].shape == [np.count_nonzero(holds[BUY])]


def test_a_log_without_events_has_nothing_of_any_kind():
    none = np.zeros(0, np.int64)
    events = Events({"user": none, "item": none.astype(np.int32)}, none, none, pa.table({}), none)
    columns = {"kind": none.astype(np.int32), "price": np.zeros((0, 2), np.float32)}
    log = EventLog(events, "item", columns, {BUY: none.astype(bool)})
    for address, shape in ((KIND, (2, 3)), (PRICE, (2, 3, 2))):
        found = log.feature(address, batch_of(np.zeros((2, 2))), Past(3, BUY))
        np.testing.assert_array_equal(found[address], np.zeros(shape))


@pytest.mark.parametrize("where", [None, BUY])
@pytest.mark.parametrize("length", [2, 20])
def test_a_past_that_a_request_brings_along_is_read_as_one_in_the_data(events, columns, holds, where, length):
    log = EventLog(events, "item", columns, holds)
    bounds = np.array([[0, 5], [4, 4], [10, 30], [7, 8]])
    longest = 23
    given = {ITEM: np.zeros((4, longest), np.int32), AGE: np.zeros((4, longest), np.float32)}
    given |= {KIND: np.full((4, longest), 3, np.int32), PRICE: np.full((4, longest, 2), 9, np.float32)}
    meant = np.ones((4, longest), bool)  # padding is no event, whatever is said of it
    for row, (begin, end) in enumerate(bounds):
        place, rows = slice(longest - (end - begin), longest), slice(begin, end)
        given[ITEM][row, place], given[AGE][row, place] = events.ids["item"][rows], 100 - events.time[rows] / DAY
        given[KIND][row, place], given[PRICE][row, place] = columns["kind"][rows], columns["price"][rows]
        meant[row] = np.arange(longest) >= place.start
        meant[row, place] = holds[BUY][rows]
    brought = Batch(
        {}, given={name: tf.constant(values) for name, values in given.items()}, holding={BUY: tf.constant(meant)}
    )
    for address in (ITEM, KIND, PRICE):
        found, expected = (log.feature(address, b, Past(length, where)) for b in (brought, batch_of(bounds)))
        assert found.keys() == expected.keys()
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-5)
            assert found[name].dtype == values.dtype


def test_rows_are_taken_with_what_holds_of_their_pasts():
    batch = Batch({}, holding={BUY: tf.constant([[True, False], [False, False], [True, True]])})
    np.testing.assert_array_equal(batch.take(tf.constant([0, 2])).holding[BUY], [[True, False], [True, True]])
