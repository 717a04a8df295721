"""Examples per second and AUC of multi-task models beside DeepCTR's, on KuaiRand-Pure.

Both read the same seven columns (16 numbers each, side by side) and predict click, long_view and like: the first 80 % of
the rows by time train, the rest test. Layers have the same sizes: 128 for the bottom or an expert, 64 for each task. Adam,
batches of 4,096, no regularization. mtkit trains as `mtkit run` does. Each seed is a process of either library, whose epochs
alternate; AUC is measured after the second one, and the first one, which traces, does not count for speed.
DeepCTR's process (multi_task_speed_peer.py) has an environment of its own: `make peers`. Needs MTKIT_DATA.

Prints a line of JSON: {"ratio": ..., "cpu_ratio": ..., "mtkit": ..., "deepctr": ..., "auc": {task: {"mtkit": ..., "deepctr": ...,
"difference": ..., "lower": ..., "upper": ...}}}: the median ratio of the seconds of two epochs in turn, the same of CPU seconds,
which other jobs disturb less, medians of examples a second, and the 95 % interval of the difference, paired by seed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import t

if TYPE_CHECKING:
    from mtkit.recipe.loader import Recipe

BENCH = Path(__file__).resolve().parent
TASKS = ("click", "long_view", "like")
VIDEO = ("author_id", "tag", "video_type", "music_type")
COLUMNS = ("user", "item", "tab", *VIDEO)
MODELS = ("shared_bottom", "mmoe", "ple")
DIM, UNITS, TOWER, BATCH = 16, 128, 64, 4096
STDDEV = 0.001  # of embeddings at the start, chosen on validation; DeepCTR begins with 0.0001
EPOCHS, MEASURED = 8, 2
PARTS = {"train": date(2022, 1, 1), "valid": date(2022, 1, 2), "test": date(2022, 1, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, default="shared_bottom")
    parser.add_argument("--precision", choices=["float32", "mixed_bfloat16"], default="float32", help="mtkit's")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--peer", type=Path, default=BENCH.parent / ".venv-peers/bin/python", help="the peer's Python")
    parser.add_argument("--one", type=Path, metavar="DIRECTORY", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        train(arguments.one, arguments.model, arguments.precision, arguments.seed)
        return
    if not arguments.peer.is_file():
        sys.exit(f"there is no {arguments.peer}: make it with `make peers`, or name another Python with --peer")
    with tempfile.TemporaryDirectory() as directory:
        write(Path(os.environ["MTKIT_DATA"]) / "kuairand-pure-slice", Path(directory))
        ours = [sys.executable, __file__, "--one", directory, "--precision", arguments.precision]
        theirs = [str(arguments.peer), str(BENCH / "multi_task_speed_peer.py"), "--one", directory]
        runs = []
        for seed in range(arguments.seeds):
            rest = ["--model", arguments.model, "--seed", str(seed)]
            runs.append(in_turn([*ours, *rest], [*theirs, *rest]))
    print(json.dumps({"model": arguments.model, "precision": arguments.precision, **report(runs)}))


def write(source: Path, directory: Path) -> None:
    """Writes rows and videos as both libraries read them, each part of the rows on a day of its own."""
    names = {"user_id": "user", "video_id": "item", "is_click": "click", "is_like": "like"}
    rows = pd.read_parquet(source / "interactions.parquet").sort_values("time_ms", kind="stable").rename(columns=names)
    videos = pd.read_parquet(source / "videos.parquet").rename(columns={"video_id": "id"})[["id", *VIDEO]]
    videos["music_type"] = videos["music_type"].astype("Int64")
    share = np.arange(len(rows)) / len(rows)
    rows["time"] = np.select([share < 0.72, share < 0.8], [_moment("train"), _moment("valid")], _moment("test"))
    rows[["user", "item", "time", "tab", *TASKS]].to_parquet(directory / "rows.parquet")
    videos.to_parquet(directory / "videos.parquet")


def _moment(part: str) -> int:
    return int(datetime.combine(PARTS[part], datetime.min.time(), UTC).timestamp())


def train(directory: Path, model: str, precision: str, seed: int) -> None:
    """Trains a model of mtkit: waits for a line before each epoch, and prints what it took, and AUC after the second."""
    from mtkit.backend import keras
    from mtkit.data.catalogs import make_cuts
    from mtkit.data.columns import load
    from mtkit.model.assembly import assemble
    from mtkit.model.model_evaluation import evaluate
    from mtkit.runtime.strategies import prepare
    from mtkit.training.fit import Training

    recipe = recipe_of(directory, model, precision, seed)
    dataset = load(recipe.data.source)
    pipeline = assemble(recipe, dataset, make_cuts(dataset, recipe.data.split)[1], strategy=prepare(recipe))
    rows = pipeline.rates()["shown"].rows

    class Turn(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            sys.stdin.readline()
            self.begin = time.perf_counter(), time.process_time()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            took = [
                now - begin for now, begin in zip((time.perf_counter(), time.process_time()), self.begin, strict=True)
            ]
            measured = evaluate(pipeline) if epoch + 1 == MEASURED else {}
            auc = {task: measured[f"{task}/auc"] for task in TASKS if measured}
            print(json.dumps({"seconds": took[0], "cpu": took[1], "rows": rows, "auc": auc}), flush=True)

    Training(pipeline).fit([Turn()])


def recipe_of(directory: Path, model: str, precision: str, seed: int) -> Recipe:
    """The recipe, composed in Python, since the heads have a hidden layer here."""
    import mtkit
    from mtkit.recipe.settings import Catalog, Evaluate, Train
    from mtkit.schema import Column
    from mtkit.standard.correlations import Mmoe, Ple, SharedBottom
    from mtkit.standard.encoders import Features
    from mtkit.standard.heads import UserPreference
    from mtkit.standard.order_metrics import Auc
    from mtkit.standard.rows import Interactions
    from mtkit.standard.sources import Files
    from mtkit.standard.splits import Time

    class Tower(UserPreference):
        """A head with a hidden layer of its own."""

        def build(self, context: Any) -> Any:
            return _tower()(self.inputs, name=context.name)

    addresses = {"user": "user.id", "item": "item.id", "tab": "context.tab"} | {n: f"item.{n}" for n in VIDEO}
    encoder = {
        name: Features(reads=[address], dim=DIM, id_dropout=0.0, stddev=STDDEV) for name, address in addresses.items()
    }
    shared: dict[str, Any] = {"apply": "pair", "on": list(encoder), "units": UNITS}
    kinds = {
        "shared_bottom": lambda: SharedBottom(**shared),
        "mmoe": lambda: Mmoe(experts=3, **shared),
        "ple": lambda: Ple(levels=2, own=1, shared=1, **shared),
    }
    category = Column(kind="categorical")
    return mtkit.compose(
        data=Files(
            interactions=directory / "rows.parquet",
            entities={"item": directory / "videos.parquet"},
            columns={
                "user": Column(kind="id", entity="user"),
                "item": Column(kind="id", entity="item"),
                "time": Column(kind="time"),
                "tab": category,
                **dict.fromkeys(TASKS, Column(kind="label")),
            },
            entity_columns={"item": dict.fromkeys(VIDEO, category)},
        ),
        split=Time(valid=PARTS["valid"], test=PARTS["test"], end=PARTS["test"] + timedelta(days=1)),
        catalog={name: Catalog(unlisted="unknown") for name in ("user", "item")},
        rows={"shown": Interactions(labels=TASKS, batch_size=BATCH)},
        encoder=encoder,
        correlation={"shared": kinds[model]()},
        task={name: Tower(rows="shown", inputs=["shared"], label=name) for name in TASKS},
        train=Train(epochs=EPOCHS, learning_rate=0.001, precision=precision),
        evaluate=Evaluate(prediction_metrics={"auc": Auc()}),
        seed=seed,
    )


def _tower() -> Any:
    from mtkit.backend import keras
    from mtkit.layers.joined import joined
    from mtkit.layers.reference_heads import LinearHead

    class TowerHead(LinearHead):
        def __init__(self, inputs: Sequence[str], **options: Any) -> None:
            super().__init__(["tower"], **options)
            self.read, self.tower = tuple(inputs), keras.layers.Dense(TOWER, "relu", name="tower")

        def call(self, view: Mapping[str, Any], training: bool = False) -> Any:
            return super().call({"tower": self.tower(joined(view, self.read))}, training)

    return TowerHead


Epochs = list[dict[str, Any]]


def in_turn(*commands: Sequence[str]) -> tuple[Epochs, ...]:
    """What the epochs of processes took, of which one at a time computes."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for command in commands]
    found = tuple([] for _ in processes)
    for _ in range(EPOCHS):
        for process, epochs in zip(processes, found, strict=True):
            with suppress(BrokenPipeError):
                process.stdin.write("\n")
                process.stdin.flush()
            # DeepCTR says on its own whether there is a later version.
            line = next((line for line in process.stdout if line.startswith("{")), None)
            if line is None:
                sys.exit(f"{' '.join(process.args)} ended with status {process.wait()}")
            epochs.append(json.loads(line))
    for process in processes:
        process.communicate()
    return found


def report(runs: Sequence[tuple[Epochs, Epochs]]) -> dict[str, Any]:
    """Ratios over pairs of epochs, medians of speed, and AUC with the differences by seed."""
    pairs = [pair for ours, theirs in runs for pair in zip(ours[1:], theirs[1:], strict=True)]
    auc = {}
    for task in TASKS:
        ours, theirs = np.array([[epochs[MEASURED - 1]["auc"][task] for epochs in run] for run in runs]).T
        auc[task] = {"mtkit": float(ours.mean()), "deepctr": float(theirs.mean()), **paired(ours - theirs)}
    return {
        "ratio": median(theirs["seconds"] / ours["seconds"] for ours, theirs in pairs),
        "cpu_ratio": median(theirs["cpu"] / ours["cpu"] for ours, theirs in pairs),
        "mtkit": median(ours["rows"] / ours["seconds"] for ours, _ in pairs),
        "deepctr": median(theirs["rows"] / theirs["seconds"] for _, theirs in pairs),
        "auc": auc,
    }


def paired(differences: np.ndarray) -> dict[str, float]:
    """The mean of differences, and the ends of its 95 % interval by Student's t; nan of a single one."""
    count = len(differences)
    half = t.ppf(0.975, count - 1) * differences.std(ddof=1) / np.sqrt(count) if count > 1 else np.nan
    mean = float(differences.mean())
    return {"difference": mean, "lower": float(mean - half), "upper": float(mean + half)}


if __name__ == "__main__":
    main()
