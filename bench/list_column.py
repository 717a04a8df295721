"""A training step that reads a column of lists, five values a row, against one that reads a category of as many values.

Both are steps of a model on made-up rows, beside the ids of users and items, in turn, in one process. Prints one JSON line: the
ratio of the medians.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from mtkit.backend import keras, tf
from mtkit.feed.device_tables import DeviceTables, RowStore
from mtkit.feed.features import EntityTable
from mtkit.feed.step_rows import Rate, training_rows
from mtkit.layers.balancing import Sum
from mtkit.layers.features import Features
from mtkit.layers.reference_heads import LinearHead
from mtkit.model.multi_task import Layers, MultiTaskModel
from mtkit.optimizers import OPTIMIZERS
from mtkit.recipe.plan import Plan
from mtkit.schema import Address
from mtkit.standard import encoders, heads
from mtkit.types import RowTable

ROWS, DIM, USERS, ITEMS = 100_000, 64, 10_000, 2_000
TAGS = "context.tags"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--values", type=int, default=1_000)
    arguments.add_argument("--length", type=int, default=5)
    arguments.add_argument("--batch-size", type=int, default=1024)
    arguments.add_argument("--steps", type=int, default=50)
    arguments.add_argument("--repeat", type=int, default=7)
    options = arguments.parse_args()
    runs = [_fit(_model(options, length), options) for length in (options.length, 0)]
    seconds = [[_timed(run) for run in runs] for _ in range(options.repeat + 1)][1:]
    lists, single = (median(times) / options.steps for times in zip(*seconds, strict=True))
    print(json.dumps({"ratio": lists / single, "list_ms": 1e3 * lists, "category_ms": 1e3 * single}))


def _model(options: argparse.Namespace, length: int) -> MultiTaskModel:
    """A model of ids and of one column, of lists or, where `length` is 0, of categories."""
    rng = np.random.default_rng(0)
    nothing = np.zeros(0, np.int64)
    tags = rng.integers(1, options.values, (ROWS, length) if length else ROWS).astype(np.int32)
    rows = RowTable(
        name="rows",
        ids={
            "user": rng.integers(1, USERS, ROWS).astype(np.int32),
            "item": rng.integers(1, ITEMS, ROWS).astype(np.int32),
        },
        time=nothing,
        history=np.zeros((0, 2), np.int64),
        known=nothing,
        context={"tags": tags},
        labels={"clicked": rng.integers(0, 2, ROWS).astype(np.float32)},
        weights={"clicked": np.ones(ROWS, np.float32)},
    )
    reads = tuple(map(Address, ("user.id", "item.id", TAGS)))
    sizes = {"user.id": USERS, "item.id": ITEMS, TAGS: options.values}
    plan = Plan(
        encoders={"all": encoders.Features(reads=reads, dim=DIM)},
        correlations={},
        tasks={"click": heads.UserPreference(rows="rows", inputs=("all",), label="clicked")},
    )
    layers = Layers(
        encoders={"all": Features(sizes, {}, DIM, id_dropout=0.1, listed=[TAGS] if length else [])},
        inputs={"all": reads},
        correlations={},
        heads={"click": LinearHead(["all"])},
        balancer=Sum(),
    )
    tables = {"user": EntityTable("user", USERS, {}), "item": EntityTable("item", ITEMS, {})}
    model = MultiTaskModel(plan, layers, DeviceTables(tables, None, {"rows": RowStore(rows)}))
    model({"rows": tf.zeros([2], tf.int64)})
    model.compile(OPTIMIZERS["adam"](0.01), steps_per_execution=options.steps)
    return model


def _fit(model: keras.Model, options: argparse.Namespace) -> Callable[[], Any]:
    rows = training_rows({"rows": Rate(ROWS, options.batch_size)}, 0, 0, options.steps)
    return lambda: model.fit(rows, epochs=1, steps_per_epoch=options.steps, verbose=0)


def _timed(run: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
