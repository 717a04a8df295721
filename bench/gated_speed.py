"""Time of a training step of `gated_retrieval` alone, beside its matrix products alone.

The products are those of queries and candidates, and the two of their gradients: no step against a whole catalog can do
without them. Rows, items and what is known of both are made up; embeddings are given, so encoders do not count. Both are
timed in turn, and the ratio is the median over turns.

With `--drawn`, a step against items that are drawn is measured instead, embeddings of these and of targets being looked up in a
table: of the last catalog beside the first. What a whole model's step takes then, `sampled_speed.py` measures.

Prints a line of JSON: {"ITEMS": {"ratio": ..., "cpu_ratio": ..., "step_ms": ..., "products_ms": ...}}, with the same ratio of
CPU seconds, which other jobs disturb less; or {"drawn": {"ratio": ..., "cpu_ratio": ..., "large_ms": ..., "small_ms": ...}}.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from mtkit.backend import tf
from mtkit.heads import Batch, Candidates, Lists, SharedValues
from mtkit.layers.gated_retrieval import GatedRetrieval

DIM, MOMENTS, OWN, TARGETS, CHANNELS = 32, 12, 20, 5, 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--drawn", type=int, metavar="N", help="items that are drawn in a step")
    options = parser.parse_args()
    if options.drawn:
        print(json.dumps({"drawn": growth(options.rows, options.items, options.drawn, options.turns)}))
        return
    print(json.dumps({str(items): measure(options.rows, items, options.turns) for items in options.items}))


def measure(rows: int, items: int, turns: int) -> dict[str, float]:
    rng = np.random.default_rng(0)
    query, candidates = (tf.constant(0.3 * rng.normal(size=(n, DIM)), tf.float32) for n in (rows, items))
    step, products = step_of(rng, rows, items), tf.function(_products)
    seconds = np.array([[_seconds(f, query, candidates) for f in (step, products)] for _ in range(turns + 2)][2:])
    ratio, cpu_ratio = np.median(seconds[:, 0] / seconds[:, 1], axis=0)
    step_ms, products_ms = 1e3 * np.median(seconds[..., 0], axis=0)
    return {"ratio": ratio, "cpu_ratio": cpu_ratio, "step_ms": step_ms, "products_ms": products_ms}


def growth(rows: int, items: Sequence[int], drawn: int, turns: int) -> dict[str, float]:
    """A step against items drawn of the last catalog, beside one of the first."""
    rng = np.random.default_rng(0)
    query = tf.constant(0.3 * rng.normal(size=(rows, DIM)), tf.float32)
    steps = [sampled_step_of(rng, rows, size, drawn) for size in (items[-1], items[0])]
    numbers = [tf.constant(turn, tf.int64) for turn in range(turns + 2)]
    seconds = np.array([[_seconds(step, query, number) for step in steps] for number in numbers][2:])
    ratio, cpu_ratio = np.median(seconds[:, 0] / seconds[:, 1], axis=0)
    large_ms, small_ms = 1e3 * np.median(seconds[..., 0], axis=0)
    return {"ratio": ratio, "cpu_ratio": cpu_ratio, "large_ms": large_ms, "small_ms": small_ms}


def sampled_step_of(rng: np.random.Generator, rows: int, items: int, drawn: int) -> Callable[..., Any]:
    """Loss and gradients of the head with draws, and of the table of embeddings."""
    head = GatedRetrieval(items, CHANNELS, CHANNELS, CHANNELS, negatives="uniform", number=drawn)
    batch, table = _batch(rng, rows, items), tf.Variable(0.3 * rng.normal(size=(items, DIM)).astype(np.float32))

    @tf.function
    def step(query: tf.Tensor, number: tf.Tensor) -> Any:
        rows_of_task = SimpleNamespace(
            spec=SimpleNamespace(candidate=("item",)),
            batch=batch,
            training=True,
            stream=lambda: tf.stack([tf.constant(1, tf.int64), number]),
            of_ids=lambda names, ids: {name: tf.gather(table, ids) for name in names},
        )
        with tf.GradientTape() as tape:
            tape.watch(query)
            losses = head.loss(head.query({"past": query}), head.against(rows_of_task), batch, training=True)
            loss = tf.reduce_mean(losses)
        return loss, tape.gradient(loss, [query, table, *head.trainable_variables])

    return step


def step_of(rng: np.random.Generator, rows: int, items: int) -> Callable[..., Any]:
    """Loss and gradients of the head."""
    head, batch = GatedRetrieval(items, CHANNELS, CHANNELS, CHANNELS), _batch(rng, rows, items)
    ids = tf.range(items)

    @tf.function
    def step(query: tf.Tensor, candidates: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch([query, candidates])
            embeddings = head.candidate({"item": candidates}, ids)
            losses = head.loss(
                head.query({"past": query}),
                Candidates(embeddings, ids, tf.cast(ids > 0, tf.float32)),
                batch,
                training=True,
            )
            loss = tf.reduce_mean(losses)
        return loss, tape.gradient(loss, [query, candidates, *head.trainable_variables])

    return step


def _products(query: tf.Tensor, candidates: tf.Tensor) -> tuple[tf.Tensor, ...]:
    scores = tf.matmul(query, candidates, transpose_b=True)
    return tf.matmul(scores, candidates), tf.matmul(scores, query, transpose_a=True)


def _batch(rng: np.random.Generator, rows: int, items: int) -> Batch:
    own, target = (
        np.stack([np.sort(rng.choice(np.arange(1, items), size, replace=False)) for _ in range(rows)]).ravel()
        for size in (OWN, TARGETS)
    )
    channels = rng.random((rows * OWN, CHANNELS), np.float32)
    popularity = rng.random((MOMENTS, items, CHANNELS), np.float32)
    return Batch(
        ids={},
        lists={
            "own": _lists(rows, {"id": tf.constant(own, tf.int32), "channels": tf.constant(channels)}),
            "target": _lists(rows, {"item": tf.constant(target, tf.int32)}),
        },
        dense={"activity": tf.constant(rng.random((rows, CHANNELS), np.float32))},
        shared={
            "popularity": SharedValues(tf.constant(rng.integers(0, MOMENTS, rows), tf.int32), tf.constant(popularity))
        },
    )


def _lists(rows: int, values: dict[str, tf.Tensor]) -> Lists:
    each = len(next(iter(values.values()))) // rows
    return Lists(tf.repeat(tf.range(rows, dtype=tf.int64), each), values)


def _seconds(call: Callable[..., Any], *tensors: tf.Tensor) -> tuple[float, float]:
    """Of the wall clock, and of the CPU."""
    begin, cpu = time.perf_counter(), time.process_time()
    for tensor in tf.nest.flatten(call(*tensors), expand_composites=True):
        tensor.numpy() if tensor.shape.rank == 0 else tensor[:1].numpy()
    return time.perf_counter() - begin, time.process_time() - cpu


if __name__ == "__main__":
    main()
