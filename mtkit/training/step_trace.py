"""A trace of some training steps, and what each component has of their time.

Times are those of operations on the threads of the host, by the profiler of TensorFlow: operations run beside one another, so
their sum may be more than what the clock says, and where they wait for one another it is less. A GPU is given its work by
operations that are over before it is done; what it does is in the trace alone.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mtkit.backend import keras, read_trace, tf
from mtkit.errors import RunError
from mtkit.files import whole
from mtkit.runtime.part_scopes import BETWEEN, PREFIX

TRACED = 8
"""Steps that are traced, where an epoch has as many in a call after its first one."""
_PART = re.compile(rf"(?:^|/){re.escape(PREFIX)}([^/:]+)(?=/)")
_BACKWARD = re.compile(r"(?:^|/)gradient(?:s|_tape)(?:_\d+)?/")
_OPERATION = re.compile(r"[^:]+:[^:]+")
"""What an operation is called; iterators, which wait for what others do, have more colons."""
_HOST, _LEVEL, _PICO = "/host:CPU", 2, 1e-12
"""Where operations of the host are in a trace; the detail from which on each is there; what times are told in."""


@dataclass(frozen=True)
class PartCost:
    """What a part costs in one step.

    Attributes:
        forward: seconds of its operations.
        backward: seconds of those of its gradients.
        operations: how many there are of both.
    """

    forward: float
    backward: float
    operations: float


@dataclass(frozen=True)
class StepCosts:
    """What some steps cost.

    Attributes:
        steps: how many.
        seconds: of the clock, for each.
        parts: `encoder.user`, `data`, ... -> what it costs, the dearest first; empty where one program of XLA has all.
    """

    steps: int
    seconds: float
    parts: Mapping[str, PartCost]


class StepTrace(keras.callbacks.Callback):
    """Traces some steps, once: those of a second call, since the first one begins with tracing the graph.

    What is trained does not change. It is to be left by `with`: a profiler that is at work then ends.

    Args:
        directory: for the trace, which TensorBoard shows; whole or not at all.

    Attributes:
        costs: what was found; None = there was no second call yet.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory
        self.costs: StepCosts | None = None
        self._open = contextlib.ExitStack()
        self._usual: int | None = None
        self._warm, self._first, self._begin = False, 0, 0.0
        self._path: Path | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._begin:
            tf.profiler.experimental.stop(save=False)
        self._open.__exit__(kind, error, trace)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Makes calls small, so that a second one comes soon; results do not depend on that."""
        if self.costs is None and not self.model.jit_compile:
            calls = self.model._steps_per_execution  # noqa: SLF001 - Keras reads it before each call
            self._usual = self._usual or int(calls.numpy())
            calls.assign(min(self._usual, TRACED, max(1, self.params["steps"] // 2)))

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Starts the profiler, once all is warm."""
        if self.costs is None and self._path is None and self._warm:
            self._path = self._open.enter_context(whole(self.directory))
            self._first = batch
            _start(self._path)
            self._begin = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Ends it after enough steps, or with the epoch."""
        if self._path is not None and (done := batch + 1 - self._first) >= min(
            TRACED, self.params["steps"] - self._first
        ):
            seconds = (time.perf_counter() - self._begin) / done
            tf.profiler.experimental.stop()
            parts = {} if self.model.jit_compile else part_costs(_spaces(self._path), done)
            self.costs, self._path, self._begin = StepCosts(done, seconds, parts), None, 0.0
            self._open.close()
            if self._usual:
                self.model._steps_per_execution.assign(self._usual)  # noqa: SLF001 - as it was
        self._warm = True


def _start(path: Path) -> None:
    options = tf.profiler.experimental.ProfilerOptions(host_tracer_level=_LEVEL)
    try:
        tf.profiler.experimental.start(str(path), options)
    except tf.errors.AlreadyExistsError as error:
        raise RunError(
            "--profile: a profiler of TensorFlow is at work already, and there can be one; leave `profile_batch` of a "
            "TensorBoard callback out, or --profile"
        ) from error


def _spaces(path: Path) -> Iterator[Any]:
    for file in path.rglob("*.xplane.pb"):
        yield read_trace(file.read_bytes())


def part_costs(spaces: Iterable[Any], steps: int) -> dict[str, PartCost]:
    """What each part costs in a step, the dearest first.

    Args:
        spaces: `XSpace`s of a trace.
        steps: how many steps it is of.
    """
    found: dict[str, list[float]] = {}
    for name, seconds in (one for space in spaces for plane in space.planes for one in _operations(plane)):
        parts = _PART.findall(name)
        cost = found.setdefault(parts[-1] if parts else BETWEEN, [0.0, 0.0, 0.0])
        cost[bool(_BACKWARD.search(name))] += seconds / steps
        cost[2] += 1 / steps
    costs = {part: PartCost(*cost) for part, cost in found.items()}
    return dict(sorted(costs.items(), key=lambda pair: -(pair[1].forward + pair[1].backward)))


def _operations(plane: Any) -> Iterator[tuple[str, float]]:
    """Name of an operation of a graph, `scope/name:Type`, and its seconds without those of operations within it."""
    if plane.name != _HOST:
        return
    names = {
        number: of.name
        for number, of in plane.event_metadata.items()
        if of.display_name and _OPERATION.fullmatch(of.name)
    }
    for line in plane.lines:
        within: list[list[Any]] = []
        for event in sorted(line.events, key=lambda of: (of.offset_ps, -of.duration_ps)):
            if event.metadata_id not in names:
                continue
            while within and within[-1][1] <= event.offset_ps:
                yield _closed(within.pop())
            if within:
                within[-1][2] -= event.duration_ps
            end = event.offset_ps + event.duration_ps
            within.append([names[event.metadata_id], end, event.duration_ps])
        yield from map(_closed, reversed(within))


def _closed(event: list[Any]) -> tuple[str, float]:
    name, _, own = event
    return name, max(own, 0) * _PICO
