"""Which rows a training step sees: a pure function of the seed and the step, so that a run resumes anywhere."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

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
    rates: Mapping[str, Rate], seed: int, first_step: int, steps: int, replicas: int = 1
) -> tf.data.Dataset:
    """A dataset of `steps` elements table -> rows int64 `[batch]`, from `first_step` on."""

    def rows(step: tf.Tensor) -> dict[str, tf.Tensor]:
        return {
            name: step_rows(rate, seed + number, step, replicas) for number, (name, rate) in enumerate(rates.items())
        }

    dataset = tf.data.Dataset.range(first_step, first_step + steps).map(rows)
    return dataset.prefetch(tf.data.AUTOTUNE)
