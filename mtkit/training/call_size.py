"""How many steps one compiled call does where a recipe leaves it open; results do not depend on it.

A call costs milliseconds beside its steps, which is much for a small model; and between calls alone a run can be stopped,
saved and watched. So a call lasts about a second, by a coarse estimate: the same model on the same kind of device always
gets the same number, which a measured time would not do.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from typing import Any

from mtkit.backend import tf
from mtkit.model.assembly import Pipeline

CALL_SECONDS = 1.0
MOST_STEPS = 512
STEP_SECONDS = 0.002
"""What the smallest step takes."""

SPEED = {"CPU": 5e10, "GPU": 5e12}
"""Operations per second, of steps as they are rather than of the device at its best."""

PASSES = 6
"""Operations per weight and row: a product and a sum, forward and for each of two gradients."""

TOKENS = 32
"""Tokens of a row for encoders that limit how many rows a step encodes, which are text networks."""

TABLE_ROWS = 4_096
"""Weights of more rows are looked up by row instead of multiplied."""

WIDTH = 64
"""Of embeddings that are ranked."""


def steps_of_a_call(pipeline: Pipeline) -> int:
    """The number of steps that take about `CALL_SECONDS`, from 1 to `MOST_STEPS`."""
    speed = SPEED["GPU" if tf.config.list_physical_devices("GPU") else "CPU"]
    seconds = STEP_SECONDS + _operations(pipeline) / speed
    return max(1, min(MOST_STEPS, int(CALL_SECONDS / seconds)))


def _operations(pipeline: Pipeline) -> float:
    """What a replica computes in a step."""
    model, plan, count = pipeline.model, pipeline.plan, pipeline.strategy.num_replicas_in_sync
    batch = {name: pipeline.rows_of(rate, name) / count for name, rate in pipeline.rates().items()}
    whole = sum(map(model.feed.entity_rows, plan.whole_entities()))
    texts = [model.encoders[name] for name in plan.encoders if plan.limited(name)]
    rows = frozenset(map(model.feed.entity_rows, pipeline.fold.entities))
    per_row = _multiplied(model.weights, rows) + (TOKENS - 1) * sum(_multiplied(e.weights, rows) for e in texts)
    ranked = sum(
        batch[task.rows] * model.feed.entity_rows(plan.candidate_entity(name)) * WIDTH
        for name, task in plan.rankings().items()
        if any(read.whole for read in task.reads())
    )
    return float(PASSES * ((sum(batch.values()) + whole) * per_row + ranked))


def _multiplied(weights: Iterable[Any], entity_rows: Collection[int]) -> int:
    """How many of the weights each row is multiplied with: not those of tables, of which it reads a row."""
    shapes = [weight.shape.as_list() for weight in weights]
    return sum(math.prod(s) for s in shapes if len(s) > 1 and s[0] not in entity_rows and s[0] <= TABLE_ROWS)
