"""Which processes train together, as TF_CONFIG or Slurm says, and what becomes of them when one ends."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from mtkit.allowed import form
from mtkit.backend import tf
from mtkit.errors import RunError, StrategyError

CONFIG, PORT, FIRST_PORT = "TF_CONFIG", "MTKIT_PORT", 8888
"""Environment variables: who works together; the first port of workers on a machine where Slurm says that, and its default."""
SLURM = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_NODELIST", "SLURM_STEP_TASKS_PER_NODE")
"""What Slurm says in the environment of what `srun` starts: which task this is, how many there are, where, and how many each."""
_PORTS = 1 << 16
_LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError)
"""What TensorFlow raises where others are gone."""
_TASK = re.compile(r"/job:worker/(?:replica:\d+/)?(task:\d+)\b(?!/device)")


class _Task(BaseModel):
    type: Literal["chief", "worker"]
    index: Annotated[int, Field(ge=0)]


class Workers(BaseModel):
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


def workers() -> Workers:
    """What TF_CONFIG says, which is set by what Slurm says where it is not there.

    Raises:
        StrategyError: neither is there, or it cannot be used.
    """
    if CONFIG not in os.environ and all(name in os.environ for name in SLURM):
        os.environ[CONFIG] = _of_slurm()
    expected = (
        "expected TF_CONFIG to say which processes train together and which of them this is, as in "
        '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}, or a step of Slurm (srun)'
    )
    try:
        return Workers.model_validate_json(os.environ[CONFIG])
    except KeyError:
        raise StrategyError(f"strategy multi_worker: {expected}; it is not set") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise StrategyError(f"strategy multi_worker: {expected}; {where}{': ' * bool(where)}{first['msg']}") from error


def _of_slurm() -> str:
    """The TF_CONFIG of a task of a step of Slurm: each task is a worker; which GPUs it sees is Slurm's matter.

    Raises:
        StrategyError: what Slurm says cannot be used, or the port is none.
    """
    port = os.environ.get(PORT, str(FIRST_PORT))
    if not port.isdecimal() or not 0 < int(port) < _PORTS:
        raise StrategyError(f"{PORT}={port!r}: expected the first port of workers on a machine, from 1 to {_PORTS - 1}")
    try:
        # The resolver cannot count GPUs where there are none: it is told of one for each task, and gives them to nobody.
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            port_base=int(port), gpus_per_node=_PORTS, gpus_per_task=1, auto_set_gpu=False
        )
        cluster = resolver.cluster_spec().as_dict()
        kind, index = resolver.get_task_info()
    except (RuntimeError, ValueError) as error:
        told = ", ".join(f"{name}={os.environ[name]!r}" for name in SLURM)
        raise StrategyError(f"strategy multi_worker: what Slurm says cannot be used: {error}; {told}") from error
    return json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})


@contextlib.contextmanager
def together(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """While workers of a strategy compute together, the end of one of them is one message in the others.

    Raises:
        RunError: another worker has ended, or cannot be reached any more.
    """
    try:
        yield
    except _LOST as error:
        if strategy.cluster_resolver is None:
            raise
        others = sorted(set(_TASK.findall(error.message)))
        raise RunError(
            f"another worker has ended, or cannot be reached{': ' * bool(others)}{', '.join(others)}; what happened to it "
            "stands in what it printed. What all workers had saved is kept: start all of them again with --resume"
        ) from error


def worker_number(strategy: str) -> int:
    """Which of several processes this is, by TF_CONFIG or Slurm, the chief first; 0 for other strategies.

    Args:
        strategy: name of its entry point.

    Raises:
        StrategyError: the strategy has several processes, and TF_CONFIG is not set or wrong.
    """
    return workers().number if strategy == "multi_worker" else 0
