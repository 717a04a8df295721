import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.model.lanes import Lane, beginning, by_task, last_in_common


@pytest.fixture
def shared():
    return tf.reshape(tf.range(6.0), [2, 3])


@pytest.fixture
def own():
    return tf.reshape(tf.range(12.0), [2, 2, 3])


def test_tasks_take_their_states_in_the_order_they_ask(shared, own):
    lane = Lane(own, ("click", "like"), None, (shared,))
    assert lane.of(("click", "like")) is own
    np.testing.assert_array_equal(lane.of(("like",))[:, 0], own[:, 1])
    assert Lane(shared, (), None, (shared,)).of(("like",)) is shared


def test_a_lane_begins_with_a_tensor_of_its_own(shared):
    lane = beginning(shared)
    assert lane.cut == (lane.own,)
    assert lane.own is not shared
    np.testing.assert_array_equal(lane.own, shared)


def test_one_state_for_all_tasks_is_what_they_have_in_common(shared, own):
    assert last_in_common(shared, (own,)) == (shared,)
    assert last_in_common(own, [shared]) == (shared,)


def test_states_are_by_task_where_one_of_them_is(shared, own):
    assert by_task([shared, shared]) == [shared, shared]
    repeated, same = by_task([shared, own])
    assert same is own
    for task in range(2):
        np.testing.assert_array_equal(repeated[:, task], shared)
