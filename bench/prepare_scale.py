"""Preparation of made-up data by both engines, and training from prepared data beside training from memory.

A recipe of two heads, on data of the domain `media`: which videos follow, and whether one is clicked. For each number of
rows, and each engine, a process prepares the data; CPU seconds and the largest memory are those of the process, and the
exponent, that of the seconds in the rows, is of what they are more than for a thousand rows. Then the same model trains on
the same rows, from memory and from files in turn; `streamed_ratio` is the wall time of steps from files by that of steps
from memory, the median of the rounds, which other processes disturb.

Prints a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

RECIPE = """\
recipe = 1
name = "scale"
[data]
use = "synthetic"
domain = "media"
rows = 1000
[data.split]
use = "time"
valid = 2024-04-01
test = 2024-04-16
[data.catalog.user]
min_count = 0
[data.catalog.item]
min_count = 0
[rows.shown]
use = "interactions"
labels = ["click"]
batch_size = 512
[rows.next]
use = "windows"
length = "14d"
count = 4
eval_sample = 1000
batch_size = 64
[encoder.viewer]
use = "features"
reads = ["user.id", "user.age", "user.country"]
dim = 16
[encoder.video]
use = "features"
reads = ["item.id", "item.maker"]
dim = 16
[encoder.past]
use = "history"
reads = ["history.item"]
items = "video"
length = 32
dim = 16
[encoder.visit]
use = "features"
reads = ["context.tab", "context.hour"]
dim = 16
[task.next]
use = "retrieval"
rows = "next"
query = ["past", "viewer"]
candidate = ["video"]
[task.click]
use = "user_preference"
rows = "shown"
inputs = ["viewer", "video", "past", "visit"]
label = "click"
[train]
epochs = 1
[evaluate]
metrics = ["ndcg"]
prediction_metrics = ["auc"]
baselines = []
"""
ENGINES = ("memory", "arrow")
NOTHING = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000], help="interactions")
    parser.add_argument("--memory", type=float, default=2.0, help="GB that the engine `arrow` may take")
    parser.add_argument("--steps", type=int, default=100, help="of a round of training; 0 = nothing is trained")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of training")
    parser.add_argument("--part", choices=("prepare", "fit"), help="a part alone, as the program starts itself")
    parser.add_argument("--engine", choices=ENGINES, help="of a part")
    parser.add_argument("--directory", type=Path, help="of a part")
    options = parser.parse_args()
    if options.part:
        print(json.dumps({"prepare": _prepare, "fit": _fit}[options.part](options)))
        return
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as directory:
        for engine in ENGINES:
            found[engine] = _of_engine(options, engine, Path(directory))
        if options.steps:
            last = Path(directory) / f"memory-{options.rows[-1]}"
            found |= _alone(options, "fit", "memory", options.rows[-1], last)
    print(json.dumps({"rows": options.rows, **found}))


def _of_engine(options: argparse.Namespace, engine: str, directory: Path) -> dict[str, Any]:
    rows = [NOTHING, *options.rows]
    made = [_alone(options, "prepare", engine, count, directory / f"{engine}-{count}") for count in rows]
    first, last = made[1], made[-1]
    seconds = {name: one["seconds"] - made[0]["seconds"] for name, one in (("first", first), ("last", last))}
    exponent = math.log(seconds["last"] / seconds["first"]) / math.log(rows[-1] / rows[1]) if len(rows) > 2 else None
    return {
        "seconds": [round(one["seconds"], 2) for one in made[1:]],
        "gigabytes": [round(one["gigabytes"], 3) for one in made[1:]],
        "bytes_per_row": round((last["gigabytes"] - made[0]["gigabytes"]) * 1e9 / rows[-1], 1),
        "exponent": exponent,
    }


def _alone(options: argparse.Namespace, part: str, engine: str, rows: int, directory: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, "--part", part, "--engine", engine, "--rows", str(rows)]
    command += ["--directory", str(directory), "--memory", str(options.memory)]
    command += ["--steps", str(options.steps), "--rounds", str(options.rounds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _recipe(options: argparse.Namespace, *sets: str) -> Any:
    from mtkit.recipe.loader import load_recipe

    path = options.directory.parent / "recipe.toml"
    path.write_text(RECIPE, "utf-8")
    return load_recipe(path, [f"data.rows={options.rows[0]}", *sets])


def _prepare(options: argparse.Namespace) -> dict[str, Any]:
    from mtkit.runs.console import Reporter
    from mtkit.runs.preparing import prepare

    prepare(_recipe(options), options.directory, Reporter(verbosity=-1), options.engine, options.memory)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"seconds": used.ru_utime + used.ru_stime, "gigabytes": used.ru_maxrss * 1024 / 1e9}


def _fit(options: argparse.Namespace) -> dict[str, Any]:
    trainings = {
        "memory": _training(_recipe(options)),
        "streamed": _training(_recipe(options, f'data.prepared="{options.directory}"')),
    }
    times: dict[str, list[float]] = {name: [] for name in trainings}
    for training in trainings.values():
        _seconds(training, options.steps)  # traces
    for _ in range(options.rounds):
        for name, training in trainings.items():
            times[name].append(_seconds(training, options.steps))
    ratios = [streamed / memory for streamed, memory in zip(times["streamed"], times["memory"], strict=True)]
    steps = {f"{name}_steps_per_second": options.steps / median(of) for name, of in times.items()}
    return {"streamed_ratio": median(ratios), **steps}


def _training(recipe: Any) -> Any:
    from mtkit.data.catalogs import make_cuts
    from mtkit.data.columns import load
    from mtkit.model.assembly import assemble
    from mtkit.training.fit import Training

    dataset = load(recipe.data.source)
    return Training(assemble(recipe, dataset, make_cuts(dataset, recipe.data.split)[0]))


def _seconds(training: Any, steps: int) -> float:
    """Wall seconds of some steps, which are counted as the first of an epoch each time."""
    from mtkit.feed.step_rows import training_rows

    feed = training.pipeline.model.feed
    ahead = (16, feed.read) if feed.streamed else (training.steps_per_call,)
    seed = training.pipeline.recipe.seed
    rows = training_rows(training.pipeline.rates(), seed, 0, steps, training.pipeline.strategy, None, *ahead)
    begin = time.perf_counter()
    training.pipeline.model.fit(rows, epochs=1, steps_per_epoch=steps, verbose=0)
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
