"""CPU seconds of a whole small run over those of importing TensorFlow alone.

The run is `mtkit run` in a process of its own: both fits, evaluation beside a baseline, and the export, of a retrieval head
and two ranking heads over shared experts, on 10,000 made-up rows in 6 steps an epoch. Runs and imports alternate; the
first pair does not count. User and system time count, of all threads.

Prints one JSON line: the median of the pairs' ratios, the medians of both, and how long the parts of the run took, in
seconds that passed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

ROWS, USERS, ITEMS = 10_000, 500, 200
DAY, START, DAYS = 86_400, 1_704_067_200, 120  # from 2024-01-01 to 2024-04-29
RETRIEVALS = {
    "tfrs": 'use = "tfrs_retrieval"\nrows = "lines"\nevaluate = "windows"\ndim = 16',
    "gated": 'use = "gated_retrieval"\nrows = "windows"',
}
RECIPE = """\
recipe = 1
name = "start"

[data]
use = "files"
interactions = "interactions.parquet"
entities = {item = "items.parquet"}
columns.user = {kind = "id", entity = "user"}
columns.item = {kind = "id", entity = "item"}
columns.time = {kind = "time"}
columns.channel = {kind = "categorical"}
columns.liked = {kind = "label"}
columns.shared = {kind = "label"}
entity_columns.item.family = {kind = "categorical"}
[data.split]
use = "time"
valid = 2024-04-01
test = 2024-04-15

[rows.lines]
use = "interactions"
labels = ["liked", "shared"]
batch_size = 1500
[rows.windows]
use = "windows"
length = "14d"
stride = "14d"
count = 4
batch_size = 256

[encoder.user]
use = "features"
reads = ["user.id"]
dim = 16
[encoder.item]
use = "features"
reads = ["item.id", "item.family"]
dim = 16
[encoder.past]
use = "history"
reads = ["history.item"]
items = "item"
length = 16
dim = 16
[encoder.visit]
use = "features"
reads = ["context.channel"]
dim = 16

[correlation.experts]
use = "mmoe"
experts = 3
units = 16

[task.next]
{retrieval}
query = ["user", "past"]
candidate = ["item"]
[task.liked]
use = "tfrs_ranking"
rows = "lines"
inputs = ["user", "item", "visit"]
label = "liked"
units = [16]
[task.shared]
use = "tfrs_ranking"
rows = "lines"
inputs = ["user", "item", "visit"]
label = "shared"
units = [16]

[train]
epoch_of = "lines"

[evaluate]
metrics = ["ndcg"]
prediction_metrics = ["auc"]
baselines = ["popularity"]
"""
IMPORT = "import tensorflow, tf_keras"
RUN = "from mtkit.cli.program import main; main()"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--retrieval", choices=RETRIEVALS, default="tfrs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mtkit-start-") as name:
        directory = Path(name)
        write(directory, options.retrieval)
        pairs = [measured(directory / f"run-{number}", directory) for number in range(options.pairs + 1)][1:]
    print(json.dumps(report(pairs)))


def write(directory: Path, retrieval: str) -> None:
    """Writes the recipe and its data."""
    rng = np.random.default_rng(0)
    item = rng.zipf(1.3, ROWS) % ITEMS
    interactions = {
        "user": rng.integers(0, USERS, ROWS),
        "item": item,
        "time": START + rng.integers(0, DAYS * DAY, ROWS),
        "channel": rng.choice(["web", "store", "app"], ROWS),
        "liked": rng.random(ROWS) < 0.2 + 0.6 * (item % 3 == 0),
        "shared": rng.random(ROWS) < 0.3,
    }
    items = {"id": np.arange(ITEMS), "family": [f"family {number % 12}" for number in range(ITEMS)]}
    parquet.write_table(pa.table(interactions), directory / "interactions.parquet")
    parquet.write_table(pa.table(items), directory / "items.parquet")
    (directory / "start.toml").write_text(RECIPE.replace("{retrieval}", RETRIEVALS[retrieval]), encoding="utf-8")


def measured(run: Path, directory: Path) -> dict[str, Any]:
    """CPU seconds of an import and of a run, and what the run says of its parts."""
    alone = cpu_seconds([sys.executable, "-c", IMPORT])
    whole = cpu_seconds([sys.executable, "-c", RUN, "run", str(directory / "start.toml"), "--run-dir", str(run)])
    timing = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["timing"]
    return {"import": alone, "run": whole, "timing": timing}


def cpu_seconds(command: Sequence[str]) -> float:
    """User and system time of a command."""
    # The Keras that mtkit imports; the other one takes seconds more.
    with tempfile.TemporaryFile() as printed:
        process = subprocess.Popen(
            command, env=os.environ | {"TF_USE_LEGACY_KERAS": "1"}, stdout=printed, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            printed.seek(0)
            sys.exit(f"{printed.read().decode()[-2000:]}\nexit status {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def report(pairs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Medians over the pairs."""
    parts = [name for name in pairs[0]["timing"] if name.endswith("_seconds")]
    return {
        "cpu_ratio": median(pair["run"] / pair["import"] for pair in pairs),
        "cpu_ratios": [round(pair["run"] / pair["import"], 3) for pair in pairs],
        "run_cpu_seconds": median(pair["run"] for pair in pairs),
        "import_cpu_seconds": median(pair["import"] for pair in pairs),
        "parts": {name: round(median(pair["timing"][name] for pair in pairs), 3) for name in parts},
    }


if __name__ == "__main__":
    main()
