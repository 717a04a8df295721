import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.feed.step_rows import Queries, Rate, step_rows, training_rows


def _pass(rate, seed, number):
    steps = range(number * rate.steps, (number + 1) * rate.steps)
    return np.concatenate([step_rows(rate, seed, tf.constant(step, tf.int64)) for step in steps])


@pytest.mark.parametrize(("rows", "batch_size"), [(1, 4), (7, 3), (8, 4), (100, 7), (3, 100)])
def test_a_pass_visits_every_row_once(rows, batch_size):
    rate = Rate(rows, batch_size)
    for number in range(3):
        found = _pass(rate, 5, number)
        assert len(found) == rate.steps * batch_size
        np.testing.assert_array_equal(np.sort(found[found >= 0]), np.arange(rows))
        assert (found[rows:] == -1).all()


def test_passes_and_seeds_differ():
    rate = Rate(50, 10)
    orders = [tuple(_pass(rate, seed, number)) for seed in (0, 1) for number in (0, 1)]
    assert len(set(orders)) == 4
    assert tuple(range(50)) not in orders


def test_rows_are_a_function_of_seed_and_step():
    rates = {"a": Rate(20, 6), "b": Rate(5, 2)}
    whole = [{name: x.numpy() for name, x in rows.items()} for rows in training_rows(rates, 3, 0, 9)]
    later = [{name: x.numpy() for name, x in rows.items()} for rows in training_rows(rates, 3, 4, 5)]
    assert len(whole) == 9
    for expected, found in zip(whole[4:], later, strict=True):
        np.testing.assert_equal(found, expected)
    for step, rows in enumerate(whole):
        np.testing.assert_array_equal(rows["b"], step_rows(rates["b"], 4, tf.constant(step, tf.int64)))


def test_tables_have_orders_of_their_own():
    (rows,) = training_rows({"a": Rate(100, 100), "b": Rate(100, 100)}, 0, 0, 1)
    assert not np.array_equal(rows["a"], rows["b"])


def test_replicas_share_the_rows_of_a_step_equally(two_replicas):
    rates = {"a": Rate(9, 5), "b": Rate(8, 2)}
    shared = iter(training_rows(rates, 1, 3, 6, two_replicas))
    for alone in training_rows(rates, 1, 3, 6):
        parts = next(shared)
        for name, rows in alone.items():
            first, second = (part.numpy() for part in two_replicas.experimental_local_results(parts[name]))
            assert len(first) == len(second) == -(-rates[name].batch_size // 2)
            filled = np.append(rows, [-1] * (len(rows) % 2))
            np.testing.assert_array_equal(np.concatenate([first, second]), filled)


def test_a_rate_may_change_on_the_way():
    first = Rate(rows=10, batch_size=4)
    assert first.then(4, step=5) is first
    then = first.then(3, step=5)  # two passes of three steps have begun
    assert (then.batch_size, then.first_step, then.first_pass) == (3, 5, 2)
    rows = np.concatenate([step_rows(then, 7, tf.constant(step, tf.int64)).numpy() for step in range(5, 9)])
    assert sorted(rows[rows >= 0]) == [*range(10)]
    third = step_rows(Rate(10, 10), 7, tf.constant(2, tf.int64)).numpy()
    np.testing.assert_array_equal(rows[:10], third, "the third pass has the order that it has at any rate")


SIZES = [1, 7, 3, 3, 12, 1, 2, 5, 5, 1, 4, 9, 2]
QUERIES = np.random.default_rng(0).permutation(np.repeat(np.arange(13) * 10, SIZES))


@pytest.mark.parametrize("batch_size", [5, 11, 20, 100])
def test_a_pass_visits_every_query_once_and_whole(batch_size):
    rate = Rate(len(QUERIES), batch_size, queries=Queries.of(QUERIES))
    orders = set()
    for number in range(4):
        seen = []
        for step in range(number * rate.steps, (number + 1) * rate.steps):
            rows = step_rows(rate, 5, tf.constant(step, tf.int64)).numpy()
            assert len(rows) == rate.queries.most(rate.steps) <= batch_size + max(SIZES)
            rows = rows[rows >= 0]
            assert len(rows)
            for query in np.unique(QUERIES[rows]):
                assert set(np.flatnonzero(query == QUERIES)) <= set(rows)
            seen += [*rows]
        assert sorted(seen) == [*range(len(QUERIES))]
        orders.add(tuple(seen))
    assert len(orders) == (4 if rate.steps > 1 else 1)


def test_steps_of_queries_are_alike_in_size():
    sizes = np.random.default_rng(0).zipf(1.5, 3000).clip(max=200)
    rate = Rate(sizes.sum(), 2000, queries=Queries.of(np.repeat(np.arange(3000), sizes)))
    found = [np.count_nonzero(step_rows(rate, 5, tf.constant(s, tf.int64)).numpy() >= 0) for s in range(rate.steps)]
    assert sum(found) == rate.rows
    assert max(found) - min(found) <= 200
    assert max(found) <= 2200


def test_queries_of_any_step_may_meet_in_another_pass():
    rate = Rate(24, 6, queries=Queries.of(np.repeat(np.arange(12), 2)))
    met = set()
    for step in range(40 * rate.steps):
        rows = step_rows(rate, 1, tf.constant(step, tf.int64)).numpy()
        met |= {(a, b) for a in rows // 2 for b in rows // 2 if a // 4 != b // 4}
    assert len(met) == 12 * 8


def test_replicas_share_the_rows_of_queries_equally(two_replicas):
    rates = {"a": Rate(len(QUERIES), 11, queries=Queries.of(QUERIES)).then(20, 3)}
    shared = iter(training_rows(rates, 1, 3, 6, two_replicas))
    for alone in training_rows(rates, 1, 3, 6):
        first, second = (part.numpy() for part in two_replicas.experimental_local_results(next(shared)["a"]))
        filled = np.append(alone["a"], [-1] * (len(alone["a"]) % 2))
        np.testing.assert_array_equal(np.concatenate([first, second]), filled)


@pytest.mark.parametrize("rows", [7, 8, 9, 32, 33, 100, 103])
def test_windows_of_blocks_visit_every_row_once(rows, monkeypatch):
    monkeypatch.setattr("mtkit.feed.step_rows.BLOCK", 8)
    rate = Rate(rows, 10, window=32)
    orders = []
    for number in range(3):
        found = _pass(rate, 5, number)
        found = found[found >= 0]
        np.testing.assert_array_equal(np.sort(found), np.arange(rows))
        for begin in range(0, rows // 32 * 32, 32):  # the rows of a window are of whole blocks
            assert len(set(found[begin : begin + 32] // 8)) <= 5
        orders.append(tuple(found))
    assert len(set(orders)) == 3


def test_a_table_within_a_window_is_shuffled_as_a_whole():
    np.testing.assert_array_equal(_pass(Rate(50, 10, window=50), 1, 0), _pass(Rate(50, 10), 1, 0))
