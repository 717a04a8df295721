"""Which rows a training step sees: a pure function of the seed and the step, so that a run resumes anywhere."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mtkit.backend import tf


@dataclass(frozen=True)
class Rate:
    """How a row table is consumed.

    Attributes:
        rows: number of rows of the table.
        batch_size: global rows per step.
    """

    rows: int
    batch_size: int

    @property
    def steps(self) -> int:
        """Steps of one pass over the table; the last one is filled up with -1 (no row)."""
        return math.ceil(self.rows / self.batch_size)


def step_rows(rate: Rate, seed: int, step: tf.Tensor, replicas: int = 1) -> tf.Tensor:
    """The rows of `step`: int64 `[batch]`, -1 where there is no row.

    Each pass visits every row once in a new order; tables shorter than others start over. The batch is filled up with
    -1 so that every replica has equally many rows.

    Args:
        rate: the table's rate.
        seed: seed of the table's order.
        step: int64 scalar, counted from the start of training.
        replicas: number of replicas that share the batch.
    """
    position = (step % rate.steps) * rate.batch_size + tf.range(rate.batch_size, dtype=tf.int64)
    key = tf.stack([tf.constant(seed, tf.int64), step // rate.steps])
    inside = tf.minimum(position, rate.rows - 1)
    shuffled = tf.random.experimental.index_shuffle(inside, key, tf.constant(rate.rows - 1, tf.int64))
    rows = tf.where(position < rate.rows, shuffled, tf.constant(-1, tf.int64))
    fill = -rate.batch_size % replicas
    return tf.pad(rows, [[0, fill]], constant_values=-1)


def training_rows(
    rates: Mapping[str, Rate], seed: int, first_step: int, steps: int, strategy: tf.distribute.Strategy | None = None
) -> Any:
    """A dataset of `steps` steps table -> rows int64, from `first_step` on.

    Args:
        rates: table -> its rate.
        seed: seed of the orders.
        first_step: counted from the start of training.
        steps: how many.
        strategy: whose replicas share the rows of a step, each an equal part. Keras cannot divide such a dataset
            itself, because the batches of tables differ in size.

    Returns:
        A `tf.data.Dataset`, or a distributed one where there are several replicas.
    """
    streams = [(rate, seed + number) for number, rate in enumerate(rates.values())]

    def of(replicas: int, local: range) -> tf.data.Dataset:
        """For each step the rows of replica `local[0]`, then those of `local[1]`, and so on."""

        def rows(number: tf.Tensor) -> dict[str, tf.Tensor]:
            step, replica = number // len(local), local.start + number % len(local)
            parts = [tf.reshape(step_rows(*stream, step, replicas), [replicas, -1])[replica] for stream in streams]
            return dict(zip(rates, parts, strict=True))

        numbers = tf.data.Dataset.range(first_step * len(local), (first_step + steps) * len(local))
        return numbers.map(rows).prefetch(tf.data.AUTOTUNE)

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        count = context.num_replicas_in_sync // context.num_input_pipelines
        first = context.input_pipeline_id * count
        return of(context.num_replicas_in_sync, range(first, first + count))

    if strategy is None or strategy.num_replicas_in_sync == 1:
        return of(1, range(1))
    return strategy.distribute_datasets_from_function(of_worker)
