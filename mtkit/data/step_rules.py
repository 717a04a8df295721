"""What a recipe leaves open about the size of steps, by the size of the data: one place for all such rules."""

from __future__ import annotations

import math
from collections.abc import Mapping

from mtkit.recipe.settings import Train
from mtkit.spec import Rows

STEPS = 200
"""Steps of an epoch that is a pass over a table of medium size."""

LEAST_BATCH, MOST_BATCH = 64, 4_096
"""Smaller batches learn no better and are slow; larger ones have too few steps in an epoch to learn much."""

RATE_OF_BATCH = 256
"""The batch of which .001 is the learning rate; of others it grows with the root of their size (Krizhevsky, 2014)."""

LEAST_RATE, MOST_RATE = 1e-3, 3e-3


def batch_sizes(rows: Mapping[str, Rows], sizes: Mapping[str, int], train: Train) -> dict[str, int]:
    """Rows of a step of each table: the batch that it states, or as many as let an epoch pass over it `passes` times.

    Args:
        rows: row table -> how it is made, for those that a task trains on.
        sizes: row table -> number of its training rows.
        train: which table's pass is an epoch, and whether batches go by sizes.
    """
    assert train.epoch_of is not None, "a recipe that was read says it"
    open_tables = [name for name, spec in rows.items() if spec.batch_size is None]
    stated = rows[train.epoch_of].batch_size
    if stated is None:
        steps = max(math.ceil(sizes[name] / batch_of(sizes[name])) for name in open_tables)
    else:
        steps = math.ceil(sizes[train.epoch_of] / stated)
    batches = {
        name: spec.batch_size or max(1, math.ceil(sizes[name] * spec.passes / steps)) for name, spec in rows.items()
    }
    if train.temperature is not None:
        batches = _by_size(sizes, sum(batches.values()), train.temperature)
    return batches


def batch_of(rows: int) -> int:
    """The batch of a table, by its number of rows."""
    return min(max(rows // STEPS, LEAST_BATCH), MOST_BATCH)


def learning_rate_of(batch: int) -> float:
    """The learning rate of Adam that fits a batch."""
    return min(max(1e-3 * math.sqrt(batch / RATE_OF_BATCH), LEAST_RATE), MOST_RATE)


def _by_size(sizes: Mapping[str, int], total: int, temperature: float) -> dict[str, int]:
    """`total` rows of a step, divided by the sizes of the tables to the power of 1 / temperature (Arivazhagan et al., 2019).

    Of temperature 1, all tables are passed over equally often; the higher it is, the more equal are their batches.
    """
    powers = {name: sizes[name] ** (1 / temperature) for name in sizes}
    whole = sum(powers.values())
    return {name: max(1, round(total * power / whole)) for name, power in powers.items()}
