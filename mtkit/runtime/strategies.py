"""Strategies by name, and what else TensorFlow is set up with for a recipe."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from mtkit.allowed import form
from mtkit.backend import keras, quiet_native, tf
from mtkit.errors import StrategyError
from mtkit.recipe.loader import Recipe
from mtkit.recipe.registry import Registry
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
        StrategyError: TF_CONFIG is not set or wrong, or something was computed before.
    """
    _workers()
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise StrategyError(f"strategy multi_worker: {error}") from error


class _Task(BaseModel):
    type: Literal["chief", "worker"]
    index: Annotated[int, Field(ge=0)]


class _Workers(BaseModel):
    """What TF_CONFIG says: the addresses of all processes by type, and which of them this one is."""

    cluster: Mapping[
        Literal["chief", "worker"],
        Annotated[tuple[Annotated[str, form(r"^.+:\d+$", "an address such as 'host:1234'")], ...], Field(min_length=1)],
    ]
    task: _Task

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        there = self.cluster.get(self.task.type, ())
        if self.task.index >= len(there):
            raise ValueError(
                f"the task is {self.task.type} {self.task.index}, but the cluster has {len(there)} of this type"
            )
        addresses = [address for one in self.cluster.values() for address in one]
        if twice := {address for address in addresses if addresses.count(address) > 1}:
            raise ValueError(f"the cluster has {', '.join(sorted(twice))} twice")
        return self

    @property
    def number(self) -> int:
        """Which process this is, the chief first."""
        before = len(self.cluster.get("chief", ())) if self.task.type == "worker" else 0
        return before + self.task.index


def _workers() -> _Workers:
    """What TF_CONFIG says.

    Raises:
        StrategyError: it is not set, or cannot be used.
    """
    expected = (
        "expected TF_CONFIG to say which processes train together and which of them this is, as in "
        '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
    )
    try:
        return _Workers.model_validate_json(os.environ["TF_CONFIG"])
    except KeyError:
        raise StrategyError(f"strategy multi_worker: {expected}; it is not set") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise StrategyError(f"strategy multi_worker: {expected}; {where}{': ' * bool(where)}{first['msg']}") from error


def one_device() -> tf.distribute.OneDeviceStrategy:
    """The first GPU, or the CPU where there is none."""
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.OneDeviceStrategy(devices[0].name)


def worker_number(strategy: str) -> int:
    """Which of several processes this is, by TF_CONFIG, the chief first; 0 for other strategies.

    Args:
        strategy: name of its entry point.

    Raises:
        StrategyError: the strategy has several processes, and TF_CONFIG is not set or wrong.
    """
    return _workers().number if strategy == "multi_worker" else 0


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
