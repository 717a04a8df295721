"""Time of a training step against items that are drawn, of a large catalog over a small one.

The steps are mtkit's own, of whole models: the data layer, a history and embeddings of users and items, the head, and
Adam. Users, and what they had, are as many for either catalog. How often an item is had falls with its rank to the power
`--skew`; with 0 all are had alike, the worst that memory can be asked for. Both models take the same number of steps in
turn, in one process.

Prints a line of JSON: {"HEAD": {"ratio": ..., "cpu_ratio": ..., "large_ms": ..., "small_ms": ...}, ...}, the
ratios being medians over turns; other jobs disturb that of CPU seconds less.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

import mtkit
from mtkit.feed.step_rows import training_rows
from mtkit.model.assembly import Pipeline
from mtkit.recipe.settings import Train
from mtkit.schema import Column, Schema
from mtkit.spec import DataSource
from mtkit.standard.encoders import Features, History
from mtkit.standard.retrieval import GatedRetrieval, Retrieval
from mtkit.standard.rows import Interactions, Windows
from mtkit.standard.splits import Time
from mtkit.training.fit import Training
from mtkit.types import Dataset

DIM, USERS, LENGTH, STEPS = 64, 4000, 50, 20
DAY, BEGIN = 86_400, 1_704_067_200


class Shop(DataSource):
    """Interactions in 2024, drawn; each item has one at least, by users of its own, whom no rows are of."""

    items: int
    skew: float

    def schema(self) -> Schema:
        """Two ids and a time."""
        ids = {name: Column(kind="id", entity=name) for name in ("user", "item")}
        return Schema(interactions=ids | {"time": Column(kind="time")}, entities={"user": {}, "item": {}})

    def load(self) -> Dataset:
        """The same for the same number of items."""
        rng, rows = np.random.default_rng(0), USERS * LENGTH
        shares = np.arange(1, self.items + 1) ** -self.skew
        had = rng.permutation(self.items)[rng.choice(self.items, rows, p=shares / shares.sum())]
        columns = {
            "user": np.append(np.zeros(self.items, int), 1 + rng.integers(0, USERS, rows)),
            "item": np.append(np.arange(self.items), had),
            "time": np.append(np.full(self.items, BEGIN), BEGIN + rng.integers(0, 366 * DAY, rows)),
        }
        entities = {"user": pa.table({"id": np.arange(1 + USERS)}), "item": pa.table({"id": np.arange(self.items)})}
        return Dataset(pa.table(columns), entities, self.schema())


def gated(number: int) -> dict[str, Any]:
    """Windows against items drawn."""
    head = GatedRetrieval(rows="weeks", query=["past", "user"], candidate=["item"], negatives="uniform", number=number)
    return {"rows": {"weeks": Windows(length="14d", count=12, batch_size=256)}, "task": {"next": head}}


def dot(number: int) -> dict[str, Any]:
    """Interactions, each against its own item and items drawn."""
    rows = {
        "lines": Interactions(since="200d", batch_size=256),
        "weeks": Windows(length="14d", count=1, batch_size=256),
    }
    options = {"query": ["past", "user"], "candidate": ["item"], "negatives": "uniform", "number": number, "bias": True}
    return {"rows": rows, "task": {"next": Retrieval(rows="lines", evaluate="weeks", **options)}}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--large", type=int, default=400_000)
    arguments.add_argument("--small", type=int, default=10_000)
    arguments.add_argument("--number", type=int, default=1000, help="how many items are drawn")
    arguments.add_argument("--skew", type=float, default=1.0)
    arguments.add_argument("--turns", type=int, default=9)
    options = arguments.parse_args()
    found = {}
    for name, parts in {"gated": gated(options.number), "retrieval": dot(options.number)}.items():
        runs = [
            steps_of(pipeline(Shop(items=items, skew=options.skew), parts)) for items in (options.large, options.small)
        ]
        seconds = np.array([[timed(run) for run in runs] for _ in range(options.turns + 2)][2:])
        ratio, cpu_ratio = np.median(seconds[:, 0] / seconds[:, 1], axis=0)
        large, small = 1e3 * np.median(seconds[..., 0], axis=0) / STEPS
        found[name] = {"ratio": ratio, "cpu_ratio": cpu_ratio, "large_ms": large, "small_ms": small}
    print(json.dumps(found))


def pipeline(shop: Shop, parts: dict[str, Any]) -> Pipeline:
    """An untrained model."""
    recipe = mtkit.compose(
        data=shop,
        split=Time(valid="2024-10-01", test="2024-11-01"),
        encoder={
            "past": History(reads=["history.item"], length=LENGTH, dim=DIM),
            "user": Features(reads=["user.id"], dim=DIM),
            "item": Features(reads=["item.id"], dim=DIM),
        },
        train=Train(epochs=1, learning_rate=0.001),
        **parts,
    )
    return mtkit.build(recipe, fold="test")


def steps_of(made: Pipeline) -> Callable[[], None]:
    """Some steps in one call."""
    training, seed = Training(made, None), made.recipe.seed
    rows = training_rows(training.rates, seed, 0, STEPS)
    return lambda: made.model.fit(rows, steps_per_epoch=STEPS, verbose=0)


def timed(run: Callable[[], None]) -> tuple[float, float]:
    """Seconds of the wall clock, and of the CPU."""
    begin, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - begin, time.process_time() - cpu


if __name__ == "__main__":
    main()
