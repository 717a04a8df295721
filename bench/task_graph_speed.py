"""Time of task graphs (mtkit-tfgnn) beside attention across tasks, each with its gradients.

States of the tasks are made up; encoders and heads do not count. A complete graph with `gcn`, one with `gat_v2` and attention
(`task_attention`) of as many heads are timed in turn, each for several calls, and a ratio is the median over turns.

Prints a line of JSON: {"gcn": {"ratio": ..., "cpu_ratio": ..., "ms": ...}, "learned": ..., "gat_v2": ..., "attention": {"ms":
...}}, with the same ratio of CPU seconds, which other jobs disturb less.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from mtkit.backend import tf
from mtkit.layers.task_attention import TaskAttention
from mtkit_tfgnn.layers import TaskGraph

CALLS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1024)
    parser.add_argument("--tasks", type=int, default=4)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--turns", type=int, default=15)
    print(json.dumps(measure(parser.parse_args())))


def measure(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    edges = [(one, other) for one in range(options.tasks) for other in range(options.tasks) if one != other]
    layers = {
        "attention": TaskAttention(options.tasks, options.heads),
        "gcn": TaskGraph(options.tasks, edges),
        "learned": TaskGraph(options.tasks, edges, learned=True),
        "gat_v2": TaskGraph(options.tasks, edges, conv="gat_v2", heads=options.heads),
    }
    rng = np.random.default_rng(0)
    states = tf.constant(rng.normal(size=(options.rows, options.tasks, options.dim)), tf.float32)
    steps = [step_of(layer, states) for layer in layers.values()]
    seconds = np.array([[_seconds(step, states) for step in steps] for _ in range(options.turns + 2)][2:])
    found = {name: {"ms": 1e3 * float(np.median(seconds[:, at, 0]))} for at, name in enumerate(layers)}
    for at, name in enumerate(layers):
        if name != "attention":
            ratio, cpu_ratio = np.median(seconds[:, at] / seconds[:, 0], axis=0)
            found[name] |= {"ratio": float(ratio), "cpu_ratio": float(cpu_ratio)}
    return found


def step_of(layer: Any, states: tf.Tensor) -> Callable[[tf.Tensor], Any]:
    """The gradients of a scalar of the layer's output, by states and weights."""
    layer(states)

    @tf.function
    def step(states: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(states)
            total = tf.reduce_sum(tf.sin(layer(states)))
        return tape.gradient(total, [states, *layer.trainable_variables])

    return step


def _seconds(step: Callable[[tf.Tensor], Any], states: tf.Tensor) -> tuple[float, float]:
    """Of the wall clock, and of the CPU, for a call."""
    begin, cpu = time.perf_counter(), time.process_time()
    for _ in range(CALLS):
        gradients = step(states)
    gradients[0][:1].numpy()
    return (time.perf_counter() - begin) / CALLS, (time.process_time() - cpu) / CALLS


if __name__ == "__main__":
    main()
