"""Seconds that the statistics of earlier events take, by ten keys and three labels, on made-up rows.

Prints one JSON line: CPU seconds of the training rows' numbers, without and with a half-life, and the bytes of these.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import timedelta

import numpy as np
import pyarrow as pa

from mtkit.data.catalogs import make_fold
from mtkit.schema import Column, Schema
from mtkit.spec import Cut
from mtkit.standard.preprocessors import TargetStatistics
from mtkit.standard.rows import Interactions
from mtkit.types import DAY, Dataset

LABELS = ("click", "long_view", "like")
CATEGORIES = tuple(f"c{number}" for number in range(6))
CONTEXT = ("tab", "hour")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=1_000_000)
    options = arguments.parse_args()
    fold = make_fold(_made_up(options.rows), Cut("test", 90 * DAY, 100 * DAY), {"user": 0, "item": 0})
    table = Interactions(batch_size=1).make(fold, "train")
    keys = ("user.id", "item.id", *(f"item.{name}" for name in CATEGORIES), "context.tab")
    found = {}
    for name, half_life in (("seconds", None), ("fading_seconds", timedelta(days=7))):
        spec = TargetStatistics(columns=keys, together=(("user.id", "item.c0"),), labels=LABELS, half_life=half_life)
        begin = time.process_time()
        numbers = spec.of_rows(fold, table)
        found[name] = time.process_time() - begin
    print(json.dumps({"rows": len(table), "keys": len(spec.keys), **found, "megabytes": numbers.nbytes / 1e6}))


def _made_up(rows: int) -> Dataset:
    rng, users, items = np.random.default_rng(0), rows // 10, rows // 50
    category, label = Column(kind="categorical"), Column(kind="label")
    schema = Schema(
        interactions={
            "user": Column(kind="id", entity="user"),
            "item": Column(kind="id", entity="item"),
            "time": Column(kind="time"),
            **dict.fromkeys(CONTEXT, category),
            **dict.fromkeys(LABELS, label),
        },
        entities={"user": {}, "item": dict.fromkeys(CATEGORIES, category)},
    )
    shown = {
        "user": rng.integers(0, users, rows),
        "item": rng.zipf(1.2, rows) % items,
        "time": rng.integers(0, 100 * DAY, rows),
        **{name: rng.integers(0, 20, rows) for name in CONTEXT},
        **{name: rng.random(rows) < 0.3 for name in LABELS},
    }
    videos = {name: rng.integers(0, 3 * 6**place, items) for place, name in enumerate(CATEGORIES)}
    entities = {"user": pa.table({"id": np.arange(users)}), "item": pa.table({"id": np.arange(items), **videos})}
    return Dataset(pa.table(shown), entities, schema)


if __name__ == "__main__":
    main()
