"""The blocks themselves are held against NumPy in `test_sequence`."""

import numpy as np

from mtkit.backend import tf
from mtkit.layers.sequence_blocks import BUCKETS, Events, bucket


def test_events_are_spread_over_sequences_and_joined_again():
    index = tf.constant([[0, 0], [2, 0], [2, 1], [2, 2]], tf.int64)
    events = Events(index, tf.constant(4, tf.int64), tf.constant(3, tf.int64))
    values = tf.constant(np.arange(1, 9).reshape(4, 2), tf.float32)
    apart = events.apart(values)
    assert apart.shape == (4, 3, 2)
    assert apart[0, :, 0].numpy().tolist() == [1, 0, 0]
    assert apart[2, :, 1].numpy().tolist() == [4, 6, 8]
    assert not apart.numpy()[[1, 3]].any()
    np.testing.assert_array_equal(events.joined(apart), values)
    assert events.causal().numpy().tolist() == [[True, False, False], [True, True, False], [True, True, True]]


def test_buckets_grow_with_the_logarithm_of_a_span():
    spans = np.array([-1, 0, 1 / 86400, 2 / 86400, 1, 30, 365, 1e30], np.float32)
    found = bucket(tf.constant(spans)).numpy()
    assert found[:3].tolist() == [0, 0, 0]
    assert (np.diff(found[2:]) > 0).all()
    assert found[-1] == BUCKETS - 1
