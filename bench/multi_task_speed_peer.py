"""The peer of multi_task_speed.py: a multi-task model of DeepCTR, fitted by Keras, in the environment of peers.txt.

    python bench/multi_task_speed_peer.py --one DIRECTORY --model shared_bottom --seed 0

Waits for a line before each epoch, and prints {"seconds": ..., "cpu": ..., "rows": ..., "auc": {task: ... after the second}}.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import pandas as pd
import tensorflow as tf
from deepctr.feature_column import SparseFeat, get_feature_names
from deepctr.models.multitask import MMOE, PLE, SharedBottom
from sklearn.metrics import roc_auc_score

TASKS = ("click", "long_view", "like")
COLUMNS = ("user", "item", "tab", "author_id", "tag", "video_type", "music_type")
DIM, UNITS, TOWER, BATCH = 16, 128, 64, 4096
EPOCHS, MEASURED = 8, 2
KINDS = {
    "shared_bottom": (SharedBottom, {"bottom_dnn_hidden_units": (UNITS,)}),
    "mmoe": (MMOE, {"num_experts": 3, "expert_dnn_hidden_units": (UNITS,)}),
    "ple": (
        PLE,
        {"num_levels": 2, "specific_expert_num": 1, "shared_expert_num": 1, "expert_dnn_hidden_units": (UNITS,)},
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", type=Path, required=True)
    parser.add_argument("--model", choices=sorted(KINDS), required=True)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()
    rows = pd.read_parquet(arguments.one / "rows.parquet")
    rows = rows.merge(pd.read_parquet(arguments.one / "videos.parquet"), left_on="item", right_on="id", how="left")
    codes = {name: pd.factorize(rows[name])[0] + 1 for name in COLUMNS}
    test = (rows["time"] == rows["time"].max()).to_numpy()
    model, names = build(
        arguments.model, {name: int(values.max()) + 1 for name, values in codes.items()}, arguments.seed
    )
    labels = [rows[task].to_numpy(np.float32) for task in TASKS]
    turn = Turn(int((~test).sum()), {name: codes[name][test] for name in names}, [values[test] for values in labels])
    model.fit(
        {name: codes[name][~test] for name in names},
        [values[~test] for values in labels],
        batch_size=BATCH,
        epochs=EPOCHS,
        verbose=0,
        callbacks=[turn],
    )


def build(kind: str, sizes: dict[str, int], seed: int) -> tuple[tf.keras.Model, list[str]]:
    """A compiled model, and the names of its inputs."""
    tf.keras.utils.set_random_seed(seed)
    columns = [SparseFeat(name, size, embedding_dim=DIM) for name, size in sizes.items()]
    make, options = KINDS[kind]
    model = make(
        columns,
        tower_dnn_hidden_units=(TOWER,),
        l2_reg_embedding=0,
        seed=seed,
        task_types=["binary"] * len(TASKS),
        task_names=TASKS,
        **options,
    )
    model.compile("adam", loss=["binary_crossentropy"] * len(TASKS))
    return model, get_feature_names(columns)


class Turn(tf.keras.callbacks.Callback):
    """Does an epoch when it is told to, and says what it took."""

    def __init__(self, rows: int, inputs: dict[str, np.ndarray], labels: list[np.ndarray]) -> None:
        super().__init__()
        self.rows, self.inputs, self.labels = rows, inputs, labels

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        sys.stdin.readline()
        self._begin = time.perf_counter(), time.process_time()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        took = [now - begin for now, begin in zip((time.perf_counter(), time.process_time()), self._begin, strict=True)]
        auc = self.auc() if epoch + 1 == MEASURED else {}
        print(json.dumps({"seconds": took[0], "cpu": took[1], "rows": self.rows, "auc": auc}), flush=True)

    def auc(self) -> dict[str, float]:
        answers = self.model.predict(self.inputs, BATCH, verbose=0)
        pairs = zip(TASKS, self.labels, answers, strict=True)
        return {task: float(roc_auc_score(labels, found[:, 0])) for task, labels, found in pairs}


if __name__ == "__main__":
    main()
