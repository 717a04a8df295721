"""Pairs per second of BPR on MovieLens-100K, by mtkit's own training and, with --peer, beside RecBole's.

Users and items are 64 wide; of each user's ratings 80 % train, drawn at random, each with one item that is drawn uniformly;
batches of 2,048, Adam. A step is so small that what is around its arithmetic takes most of the time: all steps of an epoch are
one program of XLA (`train.jit_compile`). The first epoch, which traces and compiles, does not count for speed. The peer is a
Python that has RecBole. Needs MTKIT_DATA, a directory with `ml-100k`.

Prints a line of JSON: pairs a second by the median epoch, "pairs_per_second", and by its CPU time, "pairs_per_cpu_second";
seconds of the median epoch and of the first; with a peer the same of it, and "ratio", how many times its pairs a second are ours.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

RECIPE = """
recipe = 1
name = "bpr"
data = {use = "movielens_100k", split = {use = "user_stratified"}, catalog = {user = {min_count = 0}, item = {min_count = 0}}}
rows.ratings = {use = "interactions", labels = ["liked"], batch_size = 2048}
rows.next = {use = "windows", count = 1}
encoder.user = {use = "features", reads = ["user.id"], id_dropout = 0, dim = 64}
encoder.item = {use = "features", reads = ["item.id"], id_dropout = 0, dim = 64}
evaluate = {k = [10], metrics = ["ndcg"], slices = ["new"], main = "next/new/ndcg@10"}
export = {use = "saved_model"}

[task.next]
use = "retrieval"
rows = "ratings"
evaluate = "next"
query = ["user"]
candidate = ["item"]
loss = "bpr"
negatives = "uniform"
number = 1
shared = false

[train]
epoch_of = "ratings"
learning_rate = 0.005
jit_compile = true
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--set", action="append", default=[], dest="sets", help="as of mtkit run")
    parser.add_argument("--peer", type=Path, metavar="PYTHON", help="a Python that has RecBole")
    parser.add_argument("--as-peer", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.as_peer:
        print(json.dumps(recbole(options.epochs)))
        return
    found = mtkit(options.epochs, options.sets)
    if options.peer:
        command = [str(options.peer), __file__, "--as-peer", "--epochs", str(options.epochs)]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        found["recbole"] = json.loads(lines[-1])
        found["ratio"] = found["pairs_per_second"] / found["recbole"]["pairs_per_second"]
    print(json.dumps(found))


class Clock:
    """Seconds, and CPU seconds of the process, of one epoch after another."""

    def __init__(self) -> None:
        self._last = time.perf_counter(), time.process_time()
        self.laps: list[tuple[float, float]] = []

    def lap(self) -> None:
        now = time.perf_counter(), time.process_time()
        self.laps.append((now[0] - self._last[0], now[1] - self._last[1]))
        self._last = now

    def summary(self, pairs: int) -> dict[str, float]:
        seconds, cpu = (median(kind) for kind in zip(*self.laps[1:], strict=True))
        return {
            "pairs_per_second": pairs / seconds,
            "pairs_per_cpu_second": pairs / cpu,
            "seconds": seconds,
            "cpu_seconds": cpu,
            "first_seconds": self.laps[0][0],
            "pairs": pairs,
        }


def mtkit(epochs: int, sets: list[str]) -> dict[str, float]:
    from mtkit.backend import keras
    from mtkit.data.catalogs import make_cuts
    from mtkit.model.assembly import assemble
    from mtkit.recipe.loader import load_recipe
    from mtkit.training.fit import Training

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "bpr.toml"
        path.write_text(RECIPE)
        recipe = load_recipe(path, [f"train.epochs={epochs}", *sets])
        dataset = recipe.data.source.load()
        pipeline = assemble(recipe, dataset, make_cuts(dataset, recipe.data.split)[0], cache_dir=Path(directory))
    training, clock = Training(pipeline), Clock()
    training.fit([keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: clock.lap())])
    return clock.summary(len(pipeline.tables["ratings"]["train"]))


def recbole(epochs: int) -> dict[str, float]:
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.utils import get_model, get_trainer

    settings: dict[str, Any] = {
        "data_path": os.environ["MTKIT_DATA"],
        "embedding_size": 64,
        "train_batch_size": 2048,
        "learning_rate": 0.005,
        "use_gpu": False,
        "show_progress": False,
        "state": "ERROR",
    }
    config = Config(model="BPR", dataset="ml-100k", config_dict=settings)
    data, _, _ = data_preparation(config, create_dataset(config))
    model = get_model("BPR")(config, data.dataset)
    trainer = get_trainer(config["MODEL_TYPE"], "BPR")(config, model)
    clock = Clock()
    for epoch in range(epochs):
        trainer._train_epoch(data, epoch)  # noqa: SLF001 - `fit` would evaluate, too
        clock.lap()
    return clock.summary(len(data.dataset))


if __name__ == "__main__":
    main()
