import numpy as np

from mtkit.backend import tf
from mtkit.model.lanes import Lane, beginning, by_task, last_in_common

SHARED = tf.reshape(tf.range(6.0), [2, 3])
OWN = tf.reshape(tf.range(12.0), [2, 2, 3])


def test_tasks_take_their_states_in_the_order_they_ask():
    lane = Lane(OWN, ("click", "like"), None, (SHARED,))
    assert lane.of(("click", "like")) is OWN
    np.testing.assert_array_equal(lane.of(("like",))[:, 0], OWN[:, 1])
    assert Lane(SHARED, (), None, (SHARED,)).of(("like",)) is SHARED


def test_a_lane_begins_with_a_tensor_of_its_own():
    lane = beginning(SHARED)
    assert lane.cut == (lane.own,)
    assert lane.own is not SHARED
    np.testing.assert_array_equal(lane.own, SHARED)


def test_one_state_for_all_tasks_is_what_they_have_in_common():
    assert last_in_common(SHARED, (OWN,)) == (SHARED,)
    assert last_in_common(OWN, [SHARED]) == (SHARED,)


def test_states_are_by_task_where_one_of_them_is():
    assert by_task([SHARED, SHARED]) == [SHARED, SHARED]
    repeated, own = by_task([SHARED, OWN])
    assert own is OWN
    for task in range(2):
        np.testing.assert_array_equal(repeated[:, task], SHARED)
