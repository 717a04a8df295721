"""Strategies by name, and what else TensorFlow is set up with for a recipe."""

from __future__ import annotations

import os
from collections.abc import Mapping

from mtkit.backend import keras, quiet_native, tf
from mtkit.errors import StrategyError
from mtkit.recipe.loader import Recipe
from mtkit.recipe.registry import Registry
from mtkit.runtime.workers import workers
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
    """All GPUs, or the CPUs, of several processes, which the environment variable TF_CONFIG names, or Slurm does for `srun`.

    Raises:
        StrategyError: neither does, TF_CONFIG is wrong, or something was computed before.
    """
    workers()
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise StrategyError(f"strategy multi_worker: {error}") from error


def one_device() -> tf.distribute.OneDeviceStrategy:
    """The first GPU, or the CPU where there is none."""
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.OneDeviceStrategy(devices[0].name)


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


def prepare(recipe: Recipe) -> tf.distribute.Strategy:
    """Sets TensorFlow up for a recipe, and returns its strategy."""
    if recipe.deterministic:
        tf.config.experimental.enable_op_determinism()
    # Dropout of plugins' layers gets a state that checkpoints can hold.
    keras.backend.experimental.enable_tf_random_generator()
    return make_strategy(recipe)


def make_strategy(recipe: Recipe) -> tf.distribute.Strategy:
    """The strategy that the recipe names."""
    strategy: tf.distribute.Strategy = Registry.installed().entry("strategy", recipe.train.strategy).load()()
    with quiet_native():
        # oneDNN says once in a process, as an error, that it does not do this on some CPUs; TensorFlow then does it itself.
        tf.transpose(tf.zeros([2, 2], tf.int32))
    return strategy
