"""Which rows a training step sees: a pure function of the seed and the step, so that a run resumes anywhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mtkit.backend import tf
from mtkit.runtime.part_scopes import DATA, computing

PREFETCH = 16
"""Steps whose rows are drawn ahead, where nothing else is said."""

#: From a step and the number of replicas to table -> rows, which divide evenly.
StepRows = Callable[[tf.Tensor, int], dict[str, tf.Tensor]]
#: From the rows of a step to what is read of them.
Read = Callable[[dict[str, tf.Tensor]], Mapping[str, Any]]

BLOCK = 4096
"""Rows that stay together where rows are shuffled in windows."""

WINDOW = 1 << 20
"""Rows of a table in files that are shuffled together; a smaller table is shuffled as in memory."""


@dataclass(frozen=True)
class Queries:
    """Rows that come into a step together.

    Attributes:
        rows: int64 `[rows]`, the rows of one query after another, those of the largest first.
        offsets: int64 `[queries + 1]`, where each query begins among them.
    """

    rows: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, numbers: np.ndarray) -> Queries:
        """Of the number of each row's query, int `[rows]`."""
        place, sizes = np.unique(numbers, return_inverse=True, return_counts=True)[1:]
        order = np.lexsort((place, -sizes[place]))
        return cls(order.astype(np.int64), np.append(0, np.cumsum(-np.sort(-sizes))).astype(np.int64))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def most(self, steps: int) -> int:
        """The most rows that a step has where a pass takes a number of steps."""
        return int(np.diff(self.offsets)[::steps].sum())


@dataclass(frozen=True)
class Rate:
    """How a row table is consumed.

    Attributes:
        rows: number of rows of the table.
        batch_size: global rows per step.
        first_step: from which step on; before, the table was consumed at another rate.
        first_pass: number of the pass that begins with it.
        queries: whose rows come into a step together; a step then has about `batch_size` rows, and as many more as the largest
            query has at most. None = rows are drawn one by one.
        window: rows are shuffled among so many at a time: those of blocks (`BLOCK`) that lie anywhere in the table. Rows in files
            are read where their neighbors are, then. 0 = all rows are shuffled together.
    """

    rows: int
    batch_size: int
    first_step: int = 0
    first_pass: int = 0
    queries: Queries | None = field(default=None, compare=False)
    window: int = 0

    @property
    def steps(self) -> int:
        """Steps of one pass over the table; the last one is filled up with -1 (no row)."""
        steps = math.ceil(self.rows / self.batch_size)
        return steps if self.queries is None else min(steps, len(self.queries))

    def then(self, batch_size: int, step: int) -> Rate:
        """The rate from a step on: a pass that is not complete by then ends there."""
        if batch_size == self.batch_size:
            return self
        begun = math.ceil((step - self.first_step) / self.steps)
        return replace(self, batch_size=batch_size, first_step=step, first_pass=self.first_pass + begun)


def step_rows(rate: Rate, seed: int, step: tf.Tensor, replicas: int = 1) -> tf.Tensor:
    """The rows of `step`: int64 `[batch]`, -1 where there is no row.

    Each pass visits every row once in a new order; tables shorter than others start over. The batch is filled up with
    -1 so that every replica has equally many rows, or, where rows come by queries, so that all steps have equally many.

    Args:
        rate: the table's rate.
        seed: seed of the table's order.
        step: int64 scalar, counted from the start of training.
        replicas: number of replicas that share the batch.
    """
    since = step - rate.first_step
    if rate.queries is not None:
        rows = _whole_queries(rate, rate.queries, seed, since)
        return tf.pad(rows, [[0, -rows.shape[0] % replicas]], constant_values=-1)
    position = (since % rate.steps) * rate.batch_size + tf.range(rate.batch_size, dtype=tf.int64)
    key = tf.stack([tf.constant(seed, tf.int64), rate.first_pass + since // rate.steps])
    inside = tf.minimum(position, rate.rows - 1)
    if 0 < rate.window < rate.rows:
        shuffled = _in_windows(inside, key, rate)
    else:
        shuffled = tf.random.experimental.index_shuffle(inside, key, tf.constant(rate.rows - 1, tf.int64))
    rows = tf.where(position < rate.rows, shuffled, tf.constant(-1, tf.int64))
    fill = -rate.batch_size % replicas
    return tf.pad(rows, [[0, fill]], constant_values=-1)


def _in_windows(position: tf.Tensor, key: tf.Tensor, rate: Rate) -> tf.Tensor:
    """The rows at some positions of a pass, int64: blocks of rows in an order of their own, and the rows of some shuffled.

    What is left behind the last whole block is in the last window.
    """
    size = max(1, rate.window // BLOCK) * BLOCK
    window, blocks = position // size, rate.rows // BLOCK
    last = tf.minimum(tf.constant(size, tf.int64), rate.rows - window * size) - 1
    keys = tf.stack([tf.fill(tf.shape(window), key[0]), tf.fill(tf.shape(window), key[1]), window + 1], axis=1)
    # The public function takes one seed for all; to it, a seed's third number is 0.
    place = window * size + tf.raw_ops.RandomIndexShuffle(index=position % size, seed=keys, max_index=last, rounds=4)
    whole = tf.minimum(place // BLOCK, blocks - 1)
    block = tf.random.experimental.index_shuffle(whole, key, tf.constant(blocks - 1, tf.int64))
    return tf.where(place // BLOCK < blocks, block, blocks) * BLOCK + place % BLOCK


def _whole_queries(rate: Rate, queries: Queries, seed: int, since: tf.Tensor) -> tf.Tensor:
    """The rows of the queries of a step, int64, filled up with -1.

    Of each `rate.steps` queries in the order of their sizes, a step takes one: so steps are alike in size, though queries are
    not. Steps come in a new order in each pass, and which queries meet in one is drawn anew (a shift for each of these groups).
    """
    strata = math.ceil(len(queries) / rate.steps)
    number = tf.range(strata, dtype=tf.int64)
    key = tf.stack([tf.constant(seed, tf.int64), rate.first_pass + since // rate.steps])
    place = tf.random.experimental.index_shuffle(since % rate.steps, key, tf.constant(rate.steps - 1, tf.int64))
    shift = tf.random.stateless_uniform([strata], key, 0, rate.steps, tf.int64)
    query = number * rate.steps + (place + shift) % rate.steps
    query = tf.boolean_mask(query, query < len(queries))
    offsets = tf.constant(queries.offsets)
    places = tf.ragged.range(tf.gather(offsets, query), tf.gather(offsets, query + 1)).values
    rows, size = tf.gather(tf.constant(queries.rows), places), queries.most(rate.steps)
    return tf.ensure_shape(tf.pad(rows, [[0, size - tf.shape(rows)[0]]], constant_values=-1), [size])


def training_rows(
    rates: Mapping[str, Rate],
    seed: int,
    first_step: int,
    steps: int,
    strategy: tf.distribute.Strategy | None = None,
    tables: Collection[str] | None = None,
    ahead: int = PREFETCH,
    read: Read | None = None,
) -> Any:
    """A dataset of `steps` steps table -> rows int64, from `first_step` on.

    Args:
        rates: table -> its rate.
        seed: seed of the orders.
        first_step: counted from the start of training.
        steps: how many.
        strategy: whose replicas share the rows of a step, each an equal part. Keras cannot divide such a dataset
            itself, because the batches of tables differ in size.
        tables: those that are needed; default: all. The orders of the others do not depend on it.
        ahead: of how many steps the rows are drawn ahead: those of a call find theirs ready.
        read: what is made of the rows of a step on the host, ahead of it, in the place of their numbers.

    Returns:
        A `tf.data.Dataset`, or a distributed one where there are several replicas.
    """

    def numbers(replicas: int) -> tf.data.Dataset:
        return tf.data.Dataset.range(first_step * replicas, (first_step + steps) * replicas)

    return _shared(numbers, _shuffled(rates, seed, tables), strategy, ahead, read)


def epoch_rows(rates: Mapping[str, Rate], seed: int, steps: int, strategy: tf.distribute.Strategy | None = None) -> Any:
    """A dataset of one epoch, `steps` steps, in an order that is new each time that it is iterated.

    For loops that do not count steps, such as `keras.Model.fit`; arguments and result are those of `training_rows`.
    """

    def numbers(replicas: int) -> tf.data.Dataset:
        size = steps * replicas
        epoch = tf.data.Dataset.random(seed, rerandomize_each_iteration=True).take(1)
        steps_of_epoch = epoch.flat_map(lambda number: tf.data.Dataset.range(number * size, (number + 1) * size))
        return steps_of_epoch.apply(tf.data.experimental.assert_cardinality(size))

    return _shared(numbers, _shuffled(rates, seed), strategy)


def ordered_rows(rates: Mapping[str, Rate], strategy: tf.distribute.Strategy | None = None) -> Any:
    """A dataset table -> rows int64 that visits every row of every table once, in order.

    On one replica, tables that are shorter than others end with empty batches; on several, batches are filled up
    with -1.
    """
    steps = max(rate.steps for rate in rates.values())
    alone = strategy is None or strategy.num_replicas_in_sync == 1

    def rows(step: tf.Tensor, replicas: int) -> dict[str, tf.Tensor]:
        return {name: _in_order(rate, step, 0 if alone else replicas) for name, rate in rates.items()}

    return _shared(lambda replicas: tf.data.Dataset.range(steps * replicas), rows, strategy)


def _options() -> tf.data.Options:
    options = tf.data.Options()
    # The tuner's thread sleeps between its looks, and an iterator waits for it, seconds, before it is gone.
    options.autotune.enabled = False
    return options


def _shuffled(rates: Mapping[str, Rate], seed: int, tables: Collection[str] | None = None) -> StepRows:
    streams = {name: (rate, seed + number) for number, (name, rate) in enumerate(rates.items())}
    wanted = {name: stream for name, stream in streams.items() if tables is None or name in tables}

    def rows(step: tf.Tensor, replicas: int) -> dict[str, tf.Tensor]:
        return {name: step_rows(*stream, step, replicas) for name, stream in wanted.items()}

    return rows


def _in_order(rate: Rate, step: tf.Tensor, replicas: int) -> tf.Tensor:
    """The rows of a step: those that are left, or, for several replicas, filled up with -1."""
    position = step * rate.batch_size + tf.range(
        rate.batch_size + (-rate.batch_size % max(replicas, 1)), dtype=tf.int64
    )
    there = (position < rate.rows) & (position < (step + 1) * rate.batch_size)
    return tf.where(there, position, tf.constant(-1, tf.int64)) if replicas else position[there]


def _shared(
    numbers: Callable[[int], tf.data.Dataset],
    rows: StepRows,
    strategy: tf.distribute.Strategy | None,
    ahead: int = PREFETCH,
    read: Read | None = None,
) -> Any:
    """The rows of steps, of which each replica has an equal part.

    Args:
        numbers: from the number n of local replicas to numbers of which `number // n` is the step, `number % n` the
            local replica.
        rows: the rows of a step.
        strategy: whose replicas share a step.
        ahead: of how many steps the rows are drawn ahead.
        read: what is made of them then.
    """

    def of(replicas: int, local: range) -> tf.data.Dataset:
        """For each step the rows of replica `local[0]`, then those of `local[1]`, and so on."""

        def part(number: tf.Tensor) -> dict[str, tf.Tensor]:
            with computing(DATA):
                step, replica = number // len(local), local.start + number % len(local)
                shares = rows(step, replicas)
                return {name: tf.reshape(share, [replicas, -1])[replica] for name, share in shares.items()}

        drawn = numbers(len(local)).map(part)
        return (drawn if read is None else drawn.map(read)).prefetch(ahead).with_options(_options())

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        count = context.num_replicas_in_sync // context.num_input_pipelines
        first = context.input_pipeline_id * count
        return of(context.num_replicas_in_sync, range(first, first + count))

    if strategy is None or strategy.num_replicas_in_sync == 1:
        return of(1, range(1))
    return strategy.distribute_datasets_from_function(of_worker)
