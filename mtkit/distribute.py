"""Strategies by name, and the few collective operations that make one replica and many train the same."""

from __future__ import annotations

from mtkit.backend import tf


def auto() -> tf.distribute.Strategy:
    """All visible GPUs if there are several, else the one default device."""
    return mirrored() if len(tf.config.list_logical_devices("GPU")) > 1 else tf.distribute.get_strategy()


def mirrored() -> tf.distribute.MirroredStrategy:
    """One replica per visible GPU, or per logical CPU where there is no GPU.

    On CPUs the default cross-device operations abort once gathers appear, so gradients are reduced to one device.
    """
    if tf.config.list_logical_devices("GPU"):
        return tf.distribute.MirroredStrategy()
    devices = [device.name for device in tf.config.list_logical_devices("CPU")]
    return tf.distribute.MirroredStrategy(devices, cross_device_ops=tf.distribute.ReductionToOneDevice())


def one_device() -> tf.distribute.OneDeviceStrategy:
    """The first GPU, or the CPU where there is none."""
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.OneDeviceStrategy(devices[0].name)


def replicas() -> int:
    """How many replicas train together in the current strategy."""
    return int(tf.distribute.get_strategy().num_replicas_in_sync)


def global_sum(value: tf.Tensor) -> tf.Tensor:
    """`value` summed over all replicas. Not for values that are differentiated."""
    if replicas() == 1:
        return value
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, value)


def gather_rolled(rows: tf.Tensor) -> tf.Tensor:
    """The rows of all replicas, rotated so that the local ones come first: `[local, ...]` -> `[global, ...]`.

    Row i of the result is local row i, so that in-batch losses find the positive of row i at column i, on every replica
    and with the same global candidates. All replicas must hold equally many rows.
    """
    if replicas() == 1:
        return rows
    context = tf.distribute.get_replica_context()
    gathered = context.all_gather(rows, axis=0)
    shift = tf.cast(context.replica_id_in_sync_group, tf.int32) * tf.shape(rows)[0]
    return tf.roll(gathered, -shift, axis=0)
