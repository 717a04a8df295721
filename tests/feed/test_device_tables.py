from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from mtkit.backend import tf
from mtkit.feed.device_tables import RaggedColumns, RowStore
from mtkit.feed.features import EntityTable, EventLog
from mtkit.feed.interface import Past
from mtkit.schema import AGE, Address
from mtkit.types import Events, Ragged, RowTable, Shared

DAY = 86400
PAST = (Address("history.item"), AGE)


def _ragged(lengths, seed=0):
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    size = offsets[-1]
    values = {"item": rng.integers(1, 9, size).astype(np.int32), "score": rng.random((size, 2)).astype(np.float32)}
    return Ragged(offsets, values)


@pytest.mark.parametrize("rows", [[2, 0, 1, 1, 4], [3], [], [4, 4]], ids=str)
@pytest.mark.parametrize("lengths", [[3, 0, 2, 0, 1], [0, 0, 0, 0, 0]], ids=str)
def test_lists_are_gathered_end_to_end(rows, lengths):
    ragged = _ragged(lengths)
    found = RaggedColumns("past", ragged).gather(tf.constant(rows, tf.int64))
    lists = [range(ragged.offsets[row], ragged.offsets[row + 1]) for row in rows]
    entries = [entry for entries in lists for entry in entries]
    assert set(found.values) == {"item", "score"}
    for name, values in ragged.values.items():
        np.testing.assert_array_equal(found.values[name], values[entries])
    np.testing.assert_array_equal(found.row, np.repeat(range(len(rows)), [len(one) for one in lists]))


def _log(users=4, count=30):
    rng = np.random.default_rng(0)
    user = np.sort(rng.integers(0, users, count))
    time = np.sort(rng.integers(0, 90, count)) * DAY
    ids = {"user": user.astype(np.int32), "item": rng.integers(1, 50, count).astype(np.int32)}
    return Events(ids, time, np.arange(count), pa.table({}), np.searchsorted(user, np.arange(users + 1)))


def test_histories_end_at_their_bounds():
    events = _log()
    bounds = np.array([[0, 5], [4, 4], [10, 30], [7, 8], [0, 0]])
    moments = np.array([100, 100, 91, 95, 92]) * DAY
    found = EventLog(events, "item").last(tf.constant(bounds), tf.constant(moments), Past(6), PAST)
    for row, (begin, end) in enumerate(bounds):
        past = range(max(begin, end - 6), end)
        fill = [0] * (6 - len(past))
        np.testing.assert_array_equal(found["history.item"][row], [*fill, *events.ids["item"][past]])
        np.testing.assert_allclose(found["history.age"][row], [*fill, *(moments[row] - events.time[past]) / DAY])


def test_a_log_without_events():
    none = np.zeros(0, np.int64)
    log = EventLog(Events({"user": none, "item": none.astype(np.int32)}, none, none, pa.table({}), none), "item")
    found = log.last(tf.zeros([2, 2], tf.int64), tf.zeros([2], tf.int64), Past(3), PAST)
    np.testing.assert_array_equal(found["history.item"], np.zeros((2, 3)))
    np.testing.assert_array_equal(found["history.age"], np.zeros((2, 3)))


def test_entity_tables_are_gathered_by_id():
    columns = {"color": np.array([0, 3, 1], np.int32), "weight": np.array([[0.0], [2.5], [1.5]], np.float32)}
    table = EntityTable("item", 3, columns)
    ids = tf.constant([[2, 1], [0, 2]])
    np.testing.assert_array_equal(table.gather("color", ids), [[1, 3], [0, 1]])
    assert table.gather("weight", ids).shape == (2, 2, 1)


@pytest.fixture
def table():
    rng = np.random.default_rng(1)
    return RowTable(
        name="lines",
        ids={"user": np.array([1, 2, 1, 3], np.int32)},
        time=np.arange(4) * DAY,
        history=np.array([[0, 2], [2, 2], [0, 1], [3, 6]]),
        context={"hour": rng.random((4, 1)).astype(np.float32)},
        labels={"cheap": np.array([0, 1, 0, 1], np.float32)},
        weights={"cheap": np.array([1, 0, 2, 1], np.float32)},
        known=np.arange(4) * DAY,
        dense={"activity": rng.random((4, 2)).astype(np.float32)},
        lists={"target": _ragged([1, 2, 0, 3]), "own": _ragged([0, 1, 1, 0])},
        shared={"popularity": Shared(np.array([0, 0, 1, 1], np.int32), rng.random((2, 5, 3)).astype(np.float32))},
    )


def test_batches_hold_the_columns_of_their_rows(table):
    rows = [3, 0]
    batch = RowStore(table).gather(tf.constant(rows, tf.int64))
    for kind in ("ids", "context", "labels", "weights", "dense"):
        found, expected = getattr(batch, kind), getattr(table, kind)
        assert set(found) == set(expected)
        for name, values in expected.items():
            np.testing.assert_array_equal(found[name], values[rows])
            assert found[name].dtype == values.dtype
    np.testing.assert_array_equal(batch.time, table.time[rows])
    np.testing.assert_array_equal(batch.history, table.history[rows])
    assert set(batch.lists) == {"target", "own"}
    np.testing.assert_array_equal(batch.lists["target"].row, [0, 0, 0, 1])
    np.testing.assert_array_equal(batch.shared["popularity"].values, table.shared["popularity"].values)
    np.testing.assert_array_equal(batch.shared["popularity"].index, [1, 0])
    np.testing.assert_array_equal(batch.present, [1, 1])


def test_columns_of_several_kinds_may_be_called_alike(table):
    """Whatever an entity, a column or a label is called, it meets no other."""
    ids = np.array([1, 2, 1, 3], np.int32)
    for name in ("moment", "time", "popularity", "context", "activity", "history", "target"):
        alike = replace(
            table,
            ids={name: ids},
            context={name: np.full((4, 1), 0.5, np.float32)},
            labels={name: np.ones(4, np.float32)},
            weights={name: np.full(4, 2, np.float32)},
            dense={name: np.full((4, 3), 7, np.float32)},
        )
        batch = RowStore(alike).gather(tf.constant([1, 3], tf.int64))
        np.testing.assert_array_equal(batch.ids[name], [2, 3])
        np.testing.assert_array_equal(batch.context[name], [[0.5], [0.5]])
        np.testing.assert_array_equal(batch.labels[name], [1, 1])
        np.testing.assert_array_equal(batch.weights[name], [2, 2])
        np.testing.assert_array_equal(batch.dense[name], np.full((2, 3), 7))
        np.testing.assert_array_equal(batch.time, table.time[[1, 3]])


def test_no_row_has_no_weight(table):
    batch = RowStore(table).gather(tf.constant([2, -1], tf.int64))
    np.testing.assert_array_equal(batch.present, [1, 0])
    np.testing.assert_array_equal(batch.weights["cheap"], [2, 0])


def test_shares_are_those_of_the_rows(table):
    np.testing.assert_allclose(RowStore(table).shares["user"], [0, 0.5, 0.25, 0.25])


def test_a_table_has_what_its_rows_have():
    empty = np.zeros(0, np.int64)
    store = RowStore(RowTable("items", {"item": np.array([1, 2], np.int32)}, empty, empty.reshape(0, 2), empty))
    batch = store.gather(tf.constant([0], tf.int64))
    assert set(batch.ids) == {"item"}
    assert batch.time is batch.history is None
    assert not store.trainable_variables


def test_batches_are_taken_with_all_their_columns(table):
    whole = RowStore(table).gather(tf.constant([3, 0, 1], tf.int64))
    some, expected = whole.take(tf.constant([0, 2])), RowStore(table).gather(tf.constant([3, 1], tf.int64))
    np.testing.assert_array_equal(some.ids["user"], expected.ids["user"])
    for name in ("target", "own"):
        np.testing.assert_array_equal(some.lists[name].row, expected.lists[name].row)
        np.testing.assert_array_equal(some.lists[name].values["item"], expected.lists[name].values["item"])
    np.testing.assert_array_equal(some.shared["popularity"].index, expected.shared["popularity"].index)


def test_what_lies_on_the_device_is_seen_there_and_held_once():
    rng = np.random.default_rng(0)
    time = rng.integers(0, 9, 5)
    table = RowTable(
        name="t",
        ids={"user": rng.integers(0, 4, 5).astype(np.int32)},
        time=time,
        history=rng.integers(0, 9, (5, 2)),
        known=time,
        context={"store": np.array(list("abcde"), object)},
        labels={"liked": rng.random(5).astype(np.float32)},
        weights={"liked": rng.random(5).astype(np.float32)},
        dense={"activity": rng.random((5, 2)).astype(np.float32)},
        lists={"past": _ragged([3, 0, 2, 0, 1]), "none": _ragged([0] * 5)},
        shared={"popularity": Shared(np.zeros(5, np.int32), rng.random((1, 7)).astype(np.float32))},
    )
    store = RowStore(replace(table, context={}))
    found = store.seen(table)
    store.gather(tf.constant([0, 3], tf.int64))
    held = [store.ids["user"], store.time, store.history, store.labels["liked"], store.weights["liked"]]
    held += [store.dense["activity"], store.lists["past"].values["score"], store.shared["popularity"].values]
    columns = [found.ids["user"], found.time, found.history, found.labels["liked"], found.weights["liked"]]
    columns += [found.dense["activity"], found.lists["past"].values["score"], found.shared["popularity"].values]
    expected = [table.ids["user"], table.time, table.history, table.labels["liked"], table.weights["liked"]]
    expected += [table.dense["activity"], table.lists["past"].values["score"], table.shared["popularity"].values]
    for variable, column, values in zip(held, columns, expected, strict=True):
        assert np.shares_memory(column, np.asarray(memoryview(variable.read_value())))
        assert not column.flags.writeable
        assert column.dtype == values.dtype
        np.testing.assert_array_equal(column, values)
    assert found.known is found.time
    assert found.context is table.context
    assert len(found.lists["none"].values["item"]) == 0


def test_events_are_seen_on_the_device():
    events = _log()
    log = EventLog(events, "item")
    found = log.seen(events)
    log.last(tf.constant([[0, 5]], tf.int64), tf.constant([9], tf.int64), Past(3), PAST)
    assert np.shares_memory(found.ids["item"], np.asarray(memoryview(log.ids.read_value())))
    for name in ("user", "item"):
        np.testing.assert_array_equal(found.ids[name], events.ids[name])
    np.testing.assert_array_equal(found.time, events.time)


def test_what_is_held_for_several_replicas_stays_as_it_is():
    events = _log()
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        assert EventLog(events, "item").seen(events).time is events.time


def test_rows_know_what_lies_before_their_basket_and_where_that_is_their_moment_it_lies_there_once():
    time = np.array([5, 7, 9]) * DAY
    ids = {"user": np.arange(3, dtype=np.int32)}
    none = np.zeros((0, 2), np.int64)
    for known in (time.copy(), time - DAY):
        store = RowStore(RowTable("rows", ids, time, none, known))
        batch = store.gather(tf.constant([2, 0, -1], tf.int64))
        assert batch.known.numpy().tolist() == known[[2, 0, 0]].tolist()
        assert (store.known is store.time) == (known[0] == time[0])
        assert batch.take([1]).known.numpy().tolist() == [known[0]]
        twice = batch.paired("item", tf.ones([3, 2], tf.int32))
        assert twice.known.numpy().tolist() == np.repeat(known[[2, 0, 0]], 2).tolist()
        np.testing.assert_array_equal(store.seen(RowTable("rows", ids, time, none, known)).known, known)
    assert (
        RowStore(RowTable("items", ids, none[:, 0], none, none[:, 0])).gather(tf.constant([0], tf.int64)).known is None
    )
