from dataclasses import replace

import numpy as np
import pytest
from graphs import BUY, END, ITEMS, USERS, made_events, made_fold, neighbors_before

from mtkit.backend import tf
from mtkit.feed.batch import Batch
from mtkit.feed.neighborhoods import Neighborhoods
from mtkit.spec import Neighborhood

SIDES = pytest.mark.parametrize("root", ["acting", "item"])
VIEW = BUY.model_validate({"event": "view"})


def rows_of(seed=1, rows=40):
    rng = np.random.default_rng(seed)
    return (
        rng.integers(0, USERS, rows).astype(np.int32),
        rng.integers(0, ITEMS, rows).astype(np.int32),
        rng.integers(0, END, rows),
    )


def batch_of(user, item, known, **options):
    return Batch({"user": tf.constant(user), "item": tf.constant(item)}, known=tf.constant(known), **options)


def around(fold, asked, batch, draw=None):
    found = Neighborhoods.of(fold, [asked]).around(batch, asked, draw)
    return {name: values.numpy() for name, values in found.items()}


def padded(neighbors, width):
    last = neighbors[-width:]
    return [0] * (width - len(last)) + last


@SIDES
@pytest.mark.parametrize("where", [None, BUY])
def test_neighbors_are_the_last_before_the_moment_and_then_theirs(root, where):
    fold = made_fold(*made_events())
    user, item, known = rows_of()
    found = around(fold, Neighborhood(root, (4, 3), (where,), degrees=True), batch_of(user, item, known))
    near, far = ("acting", "item") if root == "acting" else ("item", "acting")
    for row, (node, moment) in enumerate(zip(user if root == "acting" else item, known, strict=True)):
        first = neighbors_before(fold, near, node, moment, where)
        assert found["neighbors.0"][row].tolist() == padded(first, 4)
        assert found["degree.0"][row] == len(first)
        for place, neighbor in enumerate(found["neighbors.0"][row]):
            second = neighbors_before(fold, far, neighbor, moment, where)
            assert found["neighbors.0.0"][row, place].tolist() == padded(second, 3)
            assert found["degree.0.0"][row, place] == len(second)
            for at, third in enumerate(found["neighbors.0.0"][row, place]):
                assert found["degree.0.0.0"][row, place, at] == len(neighbors_before(fold, near, third, moment, where))


@SIDES
@pytest.mark.parametrize("drawn", [False, True])
def test_whatever_happens_from_the_moment_on_changes_nothing(root, drawn):
    moment = 60
    user, item, time, kind = made_events(size=200)
    late = np.flatnonzero(time >= moment)
    rng = np.random.default_rng(3)
    others = [
        rng.integers(1, USERS, len(late)),
        rng.integers(1, ITEMS, len(late)),
        rng.integers(moment, END, len(late)),
    ]
    changed = [column.copy() for column in (user, item, time, kind)]
    for column, values in zip(changed, [*others, rng.permutation(kind[late])], strict=True):
        column[late] = values
    more = [np.append(column, of) for column, of in zip(changed, ([1], [1], [moment], ["buy"]), strict=True)]
    asked = Neighborhood(root, (6, 4), (BUY, VIEW), "friends", drawn, degrees=True)
    who, what, _ = rows_of()
    batch = batch_of(who, what, np.full(len(who), moment))
    draw = (lambda _, shape: tf.random.stateless_uniform(shape, [1, 2])) if drawn else None
    before = around(made_fold(user, item, time, kind), asked, batch, draw)
    for after in (changed, more):
        found = around(made_fold(*after), asked, batch, draw)
        assert found.keys() == before.keys()
        for name, values in before.items():
            np.testing.assert_array_equal(found[name], values)
    later = batch_of(who, what, np.full(len(who), END))
    names = [name for name in before if name.startswith("neighbors")]
    first, second = (around(made_fold(*events), asked, later, draw) for events in ((user, item, time, kind), changed))
    assert any((first[name] != second[name]).any() for name in names)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_predicted_is_in_no_neighborhood_of_its_row(seed):
    """An item is among the neighbors of a user as often as the user had it before, and the other way round, near and far."""
    user, item, time, kind = made_events(seed, 60)
    fold = made_fold(user, item, time, kind)
    batch = batch_of(user.astype(np.int32), item.astype(np.int32), time)
    for root, own, other in (("acting", user, item), ("item", item, user)):
        found = around(fold, Neighborhood(root, (60, 60)), batch)

        def times(node, neighbor, moment, own=own, other=other):
            return int(((own == node) & (other == neighbor) & (time < moment)).sum())

        for row in np.flatnonzero(item):
            near, far = found["neighbors.0"][row], found["neighbors.0.0"][row]
            assert (near == other[row]).sum() == times(own[row], other[row], time[row])
            for place in np.flatnonzero(near):
                assert (far[place] == own[row]).sum() == times(own[row], near[place], time[row])


def test_who_is_not_known_has_empty_neighborhoods():
    fold = made_fold(*made_events())
    batch = batch_of(np.zeros(2, np.int32), np.zeros(2, np.int32), np.array([END, 0]))
    for root in ("acting", "item"):
        found = around(fold, Neighborhood(root, (3, 2), friends="friends", degrees=True), batch)
        assert all((values == 0).all() for values in found.values())


def test_friends_are_there_at_any_moment():
    fold = made_fold(*made_events(), guests=1)
    users = np.arange(USERS, dtype=np.int32)
    found = around(fold, Neighborhood("acting", (4,), (), "friends"), batch_of(users, users, np.zeros(USERS, np.int64)))
    lists = fold.catalog("user").columns["friends"].to_pylist()
    for user in users:
        named = [int(name) for name in lists[user] or []]
        kept = sorted(friend for friend in named if 0 < friend < USERS - 1 and friend != user)
        assert found["neighbors.0"][user].tolist() == padded(kept, 4)


@SIDES
@pytest.mark.parametrize("drawn", [False, True])
def test_what_is_kept_as_of_a_moment_is_what_the_log_says_then(root, drawn):
    fold = made_fold(*made_events(size=400))
    asked = Neighborhood(root, (5, 3), (None, BUY), "friends", drawn, degrees=True)
    user, item, _ = rows_of()
    batch = batch_of(user, item, np.full(len(user), 70))
    graph = Neighborhoods.of(fold, [asked])
    kept = graph.as_of(70)
    found, expected = kept.around(batch, asked, None), graph.around(batch, asked, None)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)
    assert not {"time", "offsets"} & {
        variable.name.split(".")[-1].split(":")[0] for held in kept.held for variable in held.variables
    }


def test_of_more_neighbors_one_is_drawn_of_each_part_and_others_in_each_step():
    """Ten neighbors in order, of which five are drawn: one of each two."""
    events = [np.full(10, 1), np.arange(10) % 7 + 1, np.arange(10), np.full(10, "buy")]
    asked = Neighborhood("acting", (5,), drawn=True)
    batch = batch_of(np.ones(300, np.int32), np.ones(300, np.int32), np.full(300, END))

    def draw(step):
        return lambda name, shape: tf.random.stateless_uniform(shape, [len(name), step])

    fold = made_fold(*events)
    first, again, other = (around(fold, asked, batch, draw(step))["neighbors.0"] for step in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    order = events[1]
    for part in range(5):
        assert set(first[:, part]) == {order[2 * part], order[2 * part + 1]}
    middle = around(fold, asked, batch)["neighbors.0"]
    np.testing.assert_array_equal(middle, np.tile(order[1::2], (300, 1)))


def test_a_past_that_comes_with_a_request_takes_the_place_of_the_users():
    fold = made_fold(*made_events())
    asked = Neighborhood("acting", (3, 2), (None, BUY), degrees=True)
    past = tf.constant([[0, 3, 0, 5], [1, 2, 3, 4], [0, 0, 0, 0]])
    holds = tf.constant([[True, True, True, False], [True, False, False, True], [True] * 4])
    given = {"given": {"history.item": past}, "holding": {BUY: holds}}
    zeros = np.zeros(3, np.int32)
    found = around(fold, asked, batch_of(zeros, zeros, np.full(3, END), **given))
    assert found["neighbors.0"].tolist() == [[0, 3, 5], [2, 3, 4], [0, 0, 0]]
    assert found["neighbors.1"].tolist() == [[0, 0, 3], [0, 1, 4], [0, 0, 0]]
    assert found["degree.0"].tolist() == [2, 4, 0]
    assert found["neighbors.0.1"][0, 1].tolist() == padded(neighbors_before(fold, "item", 3, END, BUY), 2)
    none = replace(batch_of(zeros, zeros, np.full(3, END)), given={"history.item": past[:, :0]})
    assert not around(fold, Neighborhood("acting", (3,)), none)["neighbors.0"].any()


def test_the_last_node_may_have_no_edges():
    user, item, time, kind = made_events()
    kept = (user < USERS - 1) & (item < ITEMS - 1)
    fold = made_fold(*(column[kept] for column in (user, item, time, kind)))
    last = batch_of(np.array([USERS - 1], np.int32), np.array([ITEMS - 1], np.int32), np.array([END]))
    for root, drawn in (("acting", False), ("item", True)):
        found = around(fold, Neighborhood(root, (3, 2), drawn=drawn, degrees=True), last)
        assert not any(values.any() for values in found.values())


def test_an_empty_log_has_no_neighbors():
    fold = made_fold(*(column[:0] for column in made_events()))
    found = around(fold, Neighborhood("item", (3, 2)), batch_of(*rows_of()))
    assert not any(values.any() for values in found.values())


def test_xla_finds_the_same():
    fold = made_fold(*made_events(size=300))
    asked = Neighborhood("acting", (5, 3), degrees=True)
    graph, batch = Neighborhoods.of(fold, [asked]), batch_of(*rows_of())
    compiled = tf.function(lambda: graph.around(batch, asked, None), jit_compile=True)()
    for name, values in graph.around(batch, asked, None).items():
        np.testing.assert_array_equal(compiled[name], values)
