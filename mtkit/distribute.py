"""Strategies by name, and the few collective operations that make one replica and many train the same."""

from __future__ import annotations

import os
from collections.abc import Mapping

from mtkit.backend import tf
from mtkit.errors import StrategyError
from mtkit.spec import Spec

CPU_DEVICES = "MTKIT_CPU_DEVICES"
"""Environment variable: into how many devices `mirrored` splits the CPU where there is no GPU, to try replicas."""


def auto() -> tf.distribute.Strategy:
    """All visible GPUs if there are several, else the one default device."""
    return mirrored() if len(tf.config.list_logical_devices("GPU")) > 1 else tf.distribute.get_strategy()


def mirrored() -> tf.distribute.MirroredStrategy:
    """One replica per visible GPU, or per logical CPU where there is no GPU.

    On CPUs the default cross-device operations abort once gathers appear, so gradients are reduced to one device.

    Raises:
        StrategyError: the CPU cannot be split as `MTKIT_CPU_DEVICES` says.
    """
    if tf.config.list_physical_devices("GPU"):
        return tf.distribute.MirroredStrategy()
    if wanted := os.environ.get(CPU_DEVICES):
        _split_cpu(wanted)
    devices = [device.name for device in tf.config.list_logical_devices("CPU")]
    return tf.distribute.MirroredStrategy(devices, cross_device_ops=tf.distribute.ReductionToOneDevice())


def _split_cpu(wanted: str) -> None:
    if not wanted.isdecimal() or wanted == "0":
        raise StrategyError(f"{CPU_DEVICES}={wanted!r}: expected a number of devices, 1 or more")
    (cpu,) = tf.config.list_physical_devices("CPU")
    devices = [tf.config.LogicalDeviceConfiguration()] * int(wanted)
    try:
        tf.config.set_logical_device_configuration(cpu, devices)
    except RuntimeError:
        found = len(tf.config.list_logical_devices("CPU"))
        if found != len(devices):
            raise StrategyError(
                f"{CPU_DEVICES}={wanted}: TensorFlow has started with {found} CPU device(s) already; make the strategy "
                "before anything is computed"
            ) from None


def multi_worker() -> tf.distribute.MultiWorkerMirroredStrategy:
    """All GPUs, or the CPUs, of several processes, which the environment variable TF_CONFIG names.

    Raises:
        StrategyError: TF_CONFIG is not set, or something was computed before.
    """
    if "TF_CONFIG" not in os.environ:
        raise StrategyError(
            "strategy multi_worker: expected TF_CONFIG to say which processes train together and which of them this "
            "is; see https://www.tensorflow.org/guide/distributed_training#setting_up_the_tf_config_environment_variable"
        )
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise StrategyError(f"strategy multi_worker: {error}") from error


def one_device() -> tf.distribute.OneDeviceStrategy:
    """The first GPU, or the CPU where there is none."""
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.OneDeviceStrategy(devices[0].name)


def worker_number(strategy: str) -> int:
    """Which of several processes this is, by TF_CONFIG; 0 for other strategies.

    Args:
        strategy: name of its entry point.
    """
    if strategy != "multi_worker":
        return 0
    return int(tf.distribute.cluster_resolver.TFConfigClusterResolver().task_id or 0)


def least(number: int, strategy: tf.distribute.Strategy) -> int:
    """The least of the numbers that the processes of a strategy call this with; all of them must."""
    if strategy.cluster_resolver is None:
        return number

    @tf.function
    def gathered() -> tf.Tensor:
        return tf.distribute.get_replica_context().all_gather(tf.constant([int(number)], tf.int64), axis=0)

    values = strategy.experimental_local_results(strategy.run(gathered))
    return int(tf.reduce_min(values[0]))


def check_replicas(strategy: tf.distribute.Strategy, components: Mapping[str, Spec]) -> None:
    """Refuses to train components on several replicas that say they cannot.

    Args:
        strategy: where they are to train.
        components: place in the recipe (`task.next`) -> spec.

    Raises:
        StrategyError: there are several replicas, and a component is not `replicable`.
    """
    count = strategy.num_replicas_in_sync
    unfit = sorted(place for place, spec in components.items() if not spec.replicable)
    if count > 1 and unfit:
        raise StrategyError(
            f"train.strategy: {', '.join(unfit)} cannot train on several replicas, and this strategy has {count}; "
            'set strategy = "one_device"'
        )


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


def _replica() -> tf.distribute.ReplicaContext | None:
    """The replica that this code runs in, if there are others."""
    return tf.distribute.get_replica_context() if replicas() > 1 else None
