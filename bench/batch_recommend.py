"""`mtkit recommend --all` beside TensorFlow's bare matrix product and top_k, for the same users, items and width, in turn.

A made-up log of `--users` and `--items` is trained on for one step, and exported. The bare form has its queries and candidates at
hand, in batches of the same size; the command's also looks up ids, encodes users, names items, and writes Parquet.

Prints a line of JSON: users a second of both, medians over `--rounds`, and `share`, the median of its speed as a share of the
bare form's.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mtkit.backend import tf
from mtkit.recipe.loader import load_recipe
from mtkit.runs.batch_recommend import MOST_SCORES, MOST_USERS, Batch
from mtkit.runs.run import run_recipe

K, DIM, LENGTH = 10, 64, 20
DAY, BEGIN = 86_400, 1_704_067_200
RECIPE = f"""
recipe = 1
name = "log"
[data]
use = "files"
interactions = "log.parquet"
columns = {{user = {{kind = "id", entity = "user"}}, item = {{kind = "id", entity = "item"}}, time = {{kind = "time"}}}}
[data.split]
use = "time"
valid = 2024-10-01
test = 2024-11-01
[rows.windows]
use = "windows"
count = 1
batch_size = 8
eval_sample = 64
[encoder.past]
use = "history"
reads = ["history.item"]
items = "item"
length = 16
dim = {DIM}
[encoder.item]
use = "features"
reads = ["item.id"]
dim = {DIM}
[task.next]
use = "gated_retrieval"
rows = "windows"
query = ["past"]
candidate = ["item"]
[train]
epochs = 1
steps_per_epoch = 1
validation_rows = 0
[evaluate]
metrics = ["ndcg"]
baselines = []
[export]
use = "saved_model"
unseen = false
together = 0
verify = false
"""


def write(users: int, items: int, folder: Path) -> Path:
    """The log and the recipe; each item has an interaction before the cut."""
    rng, rows = np.random.default_rng(0), items + users * LENGTH
    moments = rng.integers(0, 366, rows)
    moments[:items] = rng.integers(0, 200, items)
    log = {"user": rng.integers(0, users, rows), "item": np.arange(rows) % items, "time": BEGIN + moments * DAY}
    pq.write_table(pa.table(log), folder / "log.parquet")
    (folder / "log.toml").write_text(RECIPE)
    return folder / "log.toml"


def bare(users: int, items: int) -> Callable[[], None]:
    """The product and top_k alone, in batches as large as the command's."""
    rng, size = np.random.default_rng(0), min(MOST_USERS, MOST_SCORES // items)
    queries = tf.constant(rng.standard_normal((users, DIM)), tf.float32)
    candidates = tf.Variable(rng.standard_normal((items, DIM)), dtype=tf.float32)

    @tf.function(autograph=False, reduce_retracing=True)
    def best(some: Any) -> Any:
        return tf.math.top_k(tf.matmul(some, candidates, transpose_b=True), K)

    def everyone() -> None:
        for start in range(0, users, size):
            best(queries[start : start + size])[1].numpy()

    return everyone


def seconds(function: Callable[[], object]) -> float:
    """Of one call."""
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=4096)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run_recipe(load_recipe(write(options.users, options.items, folder)), folder / "run")
        batch, alone = Batch(folder / "run", K), bare(options.users, options.items)
        users = batch.asked.users
        pairs = [
            (seconds(alone) / options.users, seconds(lambda: batch.write(folder / f"{number}")) / users)  # noqa: B023
            for number in range(options.rounds + 1)
        ][1:]
    found = {
        "users": users,
        "items": options.items,
        "bare_users_per_second": round(median(1 / plain for plain, _ in pairs), 1),
        "users_per_second": round(median(1 / own for _, own in pairs), 1),
        "share": round(median(plain / own for plain, own in pairs), 3),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
