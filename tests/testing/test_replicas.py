"""A layer that gives other results on two replicas is found, whatever it does otherwise."""

import numpy as np
import pytest

from mtkit.backend import keras, tf
from mtkit.testing import check_replicas

INPUTS = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)


class Right(keras.layers.Layer):
    """A linear map of a row."""

    def build(self, input_shape):
        self.kernel = self.add_weight("kernel", (3, 4))

    def call(self, inputs, training=False):
        return self.changed(inputs @ self.kernel)

    def changed(self, outputs):
        return outputs


class LessMean(Right):
    def changed(self, outputs):
        return outputs - tf.reduce_mean(outputs, 0)


class ByReplica(Right):
    def changed(self, outputs):
        context = tf.distribute.get_replica_context()
        number = context.replica_id_in_sync_group if context else 0
        return outputs + tf.cast(number, tf.float32)


class Divided(Right):
    def changed(self, outputs):
        count = tf.distribute.get_strategy().num_replicas_in_sync
        return outputs if count == 1 else _halved(outputs)


@tf.custom_gradient
def _halved(outputs):
    return tf.identity(outputs), lambda gradient: gradient / 2


def test_what_is_right_passes(two_replicas):
    check_replicas(Right, INPUTS, two_replicas)
    check_replicas(Columns, {"a": INPUTS, "b": INPUTS}, two_replicas)


class Columns(Right):
    def call(self, inputs, training=False):
        return super().call(inputs["a"] + inputs["b"])

    def build(self, input_shape):
        super().build(None)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (LessMean, "outputs on two replicas and on one differ"),
        (ByReplica, "outputs on two replicas and on one differ"),
        (Divided, "gradients of .*kernel:0 on two replicas, added up, and on one differ"),
    ],
)
def test_other_results_are_found(layer, message, two_replicas):
    with pytest.raises(AssertionError, match=message):
        check_replicas(layer, INPUTS, two_replicas)


class Counting(Right):
    """What it remembers is of the rows of one replica."""

    def build(self, input_shape):
        super().build(input_shape)
        self.count = self.add_weight(
            "count", (), initializer="zeros", trainable=False, synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )  # fmt: skip

    def call(self, inputs, training=False):
        if training:
            self.count.assign_add(tf.cast(tf.shape(inputs)[0], tf.float32))
        return super().call(inputs)


def test_what_is_remembered_of_one_replica_alone_is_found(two_replicas):
    with pytest.raises(AssertionError, match="count:0 after a call on two replicas and on one differ"):
        check_replicas(Counting, INPUTS, two_replicas)
