"""What holds of layers on several replicas."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mtkit.testing.assertions import assert_equal


def check_replicas(make: Callable[[], Any], inputs: Mapping[str, Any] | Any, strategy: Any) -> None:
    """On two replicas, with half of the rows on each, a layer gives, learns and remembers what it does on one device.

    What it gives in training is compared row by row, its gradients as their sum over replicas, and its weights that no gradient
    trains as they are after the call. Layers that draw in training have to be made without that.

    Args:
        make: gives the layer, not yet built.
        inputs: what it is called with: a tensor `[rows, ...]`, or a dictionary or list of these; an even number of rows.
        strategy: a `tf.distribute.Strategy` of two replicas (`mirrored`, with `MTKIT_CPU_DEVICES=2` where there are no GPUs).
    """
    from mtkit.backend import tf

    assert strategy.num_replicas_in_sync == 2, f"expected two replicas, got {strategy.num_replicas_in_sync}"
    given = tf.nest.map_structure(tf.constant, inputs)
    rows = len(tf.nest.flatten(given)[0])
    assert rows % 2 == 0, f"expected an even number of rows, got {rows}"
    alone = make()
    alone(given)
    begun = alone.get_weights()
    expected, gradients = _stepped(alone, given)
    with strategy.scope():
        layer = make()
        layer(given)
        layer.set_weights(begun)
    halves = strategy.experimental_distribute_values_from_function(
        lambda replica: tf.nest.map_structure(
            lambda values: tf.split(values, 2)[replica.replica_id_in_sync_group], given
        )
    )
    outputs, found = strategy.run(tf.function(lambda part: _stepped(layer, part), autograph=False), (halves,))
    assert_equal(
        np.concatenate(strategy.experimental_local_results(outputs)), expected, "outputs on two replicas and on one"
    )
    for variable, gradient, of_replicas in zip(alone.trainable_variables, gradients, found, strict=True):
        total = sum(map(np.asarray, strategy.experimental_local_results(of_replicas)))
        assert_equal(total, gradient, f"gradients of {variable.name} on two replicas, added up, and on one")
    for mine, theirs in zip(alone.non_trainable_variables, layer.non_trainable_variables, strict=True):
        copies = [np.asarray(copy) for copy in strategy.experimental_local_results(theirs)]
        for copy in copies:
            assert_equal(copy, np.asarray(mine), f"{mine.name} after a call on two replicas and on one")


def _stepped(layer: Any, given: Any) -> tuple[Any, list[Any]]:
    """What a layer gives in training, and the gradients of a number that follows from it."""
    from mtkit.backend import tf

    with tf.GradientTape() as tape:
        outputs = layer(given, training=True)
        total = tf.reduce_sum(tf.sin(outputs))
    gradients = tape.gradient(total, layer.trainable_variables, unconnected_gradients="zero")
    return outputs, [tf.convert_to_tensor(gradient) for gradient in gradients]
