"""Asks an export by many threads at once, in a process that has TensorFlow and nothing else."""

from __future__ import annotations

import json
import os
import queue
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

Request = tuple[str, Mapping[str, tuple[str, Any]]]


def ask_by_many(version: Path, requests: Sequence[Request], threads: int, count: int, early: int) -> dict[str, Any]:
    """Asks each request alone, and then `count` of them, drawn at random, by threads.

    Args:
        version: directory of the export.
        requests: signature, and input -> type and value.
        threads: at once.
        count: of requests.
        early: of requests after which memory is looked at first.

    Returns:
        `alone`: how each request ends, asked alone (`answer`, or the name of an exception); `others`: requests that ended in
        another way, or with another answer, when many asked; `memory`: bytes after `early` requests and at the end;
        `foreign`: imported modules of mtkit, Keras and plugins.
    """
    environment = {key: value for key, value in os.environ.items() if key not in {"TF_USE_LEGACY_KERAS", "PYTHONPATH"}}
    command = [sys.executable, __file__, str(version), *map(str, (threads, count, early))]
    done = subprocess.run(
        command, env=environment, input=json.dumps(requests), capture_output=True, text=True, check=True
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _main(version: str, threads: int, count: int, early: int) -> None:
    import tensorflow as tf

    signatures = tf.saved_model.load(version).signatures
    requests = [
        (signatures[name], {key: tf.constant(value, dtype) for key, (dtype, value) in inputs.items()})
        for name, inputs in json.load(sys.stdin)
    ]
    alone = [_end(*request) for request in requests]
    others, memory = list[int](), list[int]()

    def ask(numbers: Iterator[int]) -> None:
        for number in numbers:
            if not _same(alone[number], _end(*requests[number])):
                others.append(number)

    drawn = random.Random(0).choices(range(len(requests)), k=count)
    for part in (drawn[:early], drawn[early:]):
        _by_threads(threads, ask, part)
        memory.append(_resident())
    foreign = [name for name in sys.modules if name.split(".")[0].startswith(("mtkit", "tf_keras", "tensorflow_"))]
    ends = [value if isinstance(value, str) else "answer" for value in alone]
    sys.stdout.write(json.dumps({"alone": ends, "others": others, "memory": memory, "foreign": foreign}))


def _end(function: Any, inputs: Mapping[str, Any]) -> Any:
    """Name -> array, or the name of an exception."""
    try:
        return {key: value.numpy() for key, value in function(**inputs).items()}
    except Exception as error:  # noqa: BLE001 - which one is what is asked
        return type(error).__name__


def _same(one: Any, other: Any) -> bool:
    """Whether a request ended in the same way, with the same bits."""
    if isinstance(one, str) or isinstance(other, str):
        return isinstance(one, str) and isinstance(other, str) and one == other
    return all(value.tobytes() == other[key].tobytes() if value.dtype != object else value.tolist() == other[key].tolist()
               for key, value in one.items())  # fmt: skip


def _by_threads(threads: int, ask: Callable[[Iterator[int]], None], numbers: Sequence[int]) -> None:
    """Threads that take the numbers one by one; an exception in one of them is raised."""
    left = queue.SimpleQueue[int | None]()
    for number in (*numbers, *[None] * threads):
        left.put(number)
    with ThreadPoolExecutor(threads) as crowd:
        for done in [crowd.submit(ask, iter(left.get, None)) for _ in range(threads)]:
            done.result()


def _resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    _main(sys.argv[1], *map(int, sys.argv[2:]))
