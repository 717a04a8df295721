"""The few collective operations that make one replica and many train the same."""

from __future__ import annotations

from mtkit.backend import tf


def least(number: int, strategy: tf.distribute.Strategy) -> int:
    """The least of the numbers that the processes of a strategy call this with; all of them must."""
    if strategy.cluster_resolver is None:
        return number

    @tf.function
    def gathered() -> tf.Tensor:
        return tf.distribute.get_replica_context().all_gather(tf.constant([int(number)], tf.int64), axis=0)

    values = strategy.experimental_local_results(strategy.run(gathered))
    return int(tf.reduce_min(values[0]))


def replicas() -> int:
    """How many replicas train together in the current strategy."""
    return int(tf.distribute.get_strategy().num_replicas_in_sync)


def global_sum(value: tf.Tensor) -> tf.Tensor:
    """`value` summed over all replicas; itself outside of replicas, where models are built.

    Not for values that are differentiated.
    """
    context = _replica()
    return value if context is None else context.all_reduce(tf.distribute.ReduceOp.SUM, value)


def gather_rolled(rows: tf.Tensor) -> tf.Tensor:
    """The rows of all replicas, rotated so that the local ones come first: `[local, ...]` -> `[global, ...]`.

    Row i of the result is local row i, so that in-batch losses find the positive of row i at column i, on every replica
    and with the same global candidates. All replicas must hold equally many rows. Outside of replicas, where models are
    built, the rows themselves.
    """
    context = _replica()
    if context is None:
        return rows
    gathered = context.all_gather(rows, axis=0)
    shift = tf.cast(context.replica_id_in_sync_group, tf.int32) * tf.shape(rows)[0]
    return tf.roll(gathered, -shift, axis=0)


def own_rows(rows: tf.Tensor) -> tf.Tensor:
    """This replica's rows of those of all replicas, which each of them has: `[replicas * local, ...]` -> `[local, ...]`.

    Outside of replicas, where models are built, those of the first.
    """
    context = _replica()
    number = 0 if context is None else tf.cast(context.replica_id_in_sync_group, tf.int32)
    local = tf.shape(rows)[0] // replicas()
    return rows[number * local : (number + 1) * local]


def _replica() -> tf.distribute.ReplicaContext | None:
    """The replica that this code runs in, if there are others."""
    return tf.distribute.get_replica_context() if replicas() > 1 else None
