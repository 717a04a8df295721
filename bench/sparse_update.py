"""A training step on a large embedding table against one on a table of a tenth of the rows.

Both are steps of a model on made-up rows of ids, in turn, in one process. Prints one JSON line: the ratio of the medians.
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

ROWS, DIM = 100_000, 64


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--large", type=int, default=1_000_000)
    arguments.add_argument("--small", type=int, default=100_000)
    arguments.add_argument("--batch-size", type=int, default=4096)
    arguments.add_argument("--steps", type=int, default=16)
    arguments.add_argument("--repeat", type=int, default=7)
    arguments.add_argument("--optimizer", choices=sorted(OPTIMIZERS), default="adam")
    options = arguments.parse_args()
    models = [_model(size, options) for size in (options.large, options.small)]
    runs = [_fit(model, options) for model in models]
    seconds = [[_timed(run) for run in runs] for _ in range(options.repeat + 1)][1:]
    large, small = (median(times) / options.steps for times in zip(*seconds, strict=True))
    print(json.dumps({"ratio": large / small, "large_ms": 1e3 * large, "small_ms": 1e3 * small}))


def _model(size: int, options: argparse.Namespace) -> MultiTaskModel:
    rng = np.random.default_rng(0)
    rows = RowTable(
        name="rows",
        ids={"user": rng.integers(1, size, ROWS).astype(np.int32)},
        time=np.zeros(0, np.int64),
        history=np.zeros((0, 2), np.int64),
        known=np.zeros(0, np.int64),
        labels={"clicked": rng.integers(0, 2, ROWS).astype(np.float32)},
        weights={"clicked": np.ones(ROWS, np.float32)},
    )
    plan = Plan(
        encoders={"user": encoders.Features(reads=("user.id",), dim=DIM)},
        correlations={},
        tasks={"click": heads.UserPreference(rows="rows", inputs=("user",), label="clicked")},
    )
    layers = Layers(
        encoders={"user": Features({"user.id": size}, {}, DIM, id_dropout=0.1)},
        inputs={"user": (Address("user.id"),)},
        correlations={},
        heads={"click": LinearHead(["user"])},
        balancer=Sum(),
    )
    feed = DeviceTables({"user": EntityTable("user", size, {})}, None, {"rows": RowStore(rows)})
    model = MultiTaskModel(plan, layers, feed)
    model({"rows": tf.zeros([2], tf.int64)})
    model.compile(OPTIMIZERS[options.optimizer](0.01), steps_per_execution=options.steps)
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
