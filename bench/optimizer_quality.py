"""AUC of one model trained with Keras' Adam, and with mtkit's as it comes and by rows, on KuaiRand-Pure.

The model is written by hand: the embeddings of multi_task_speed.py side by side, a shared layer of 128, a layer of 64 for each
task. Initial values and batches are those of the seed, so that only the optimizer differs. Needs MTKIT_DATA.

Prints a line of JSON: optimizer -> {task: {"auc": ..., "difference": ..., "lower": ..., "upper": ...}, "ms": ...}: the
difference from Keras' Adam with its 95 % interval, paired by seed, and the fastest step.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import pandas as pd
from multi_task_speed import BATCH, COLUMNS, DIM, TASKS, TOWER, UNITS, VIDEO, paired
from scipy.stats import rankdata

from mtkit.backend import keras, tf
from mtkit.runtime import optimizers

KINDS: dict[str, tuple[Callable[..., Any], int]] = {
    "keras": (keras.optimizers.Adam, 0),
    "mtkit": (optimizers.Adam, optimizers.DENSE_ROWS),
    "by_rows": (optimizers.Adam, 4096),
}


class Data(NamedTuple):
    """Numbers of the columns `[rows, columns]`, labels `[rows, tasks]`, how many rows train, and how many numbers there are."""

    columns: np.ndarray
    labels: np.ndarray
    train: int
    sizes: list[int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=2)
    arguments = parser.parse_args()
    data = read(Path(os.environ["MTKIT_DATA"]) / "kuairand-pure-slice")
    runs: dict[str, list[tuple[np.ndarray, float]]] = {kind: [] for kind in KINDS}
    for seed in range(arguments.seeds):
        for kind in KINDS:
            runs[kind].append(train(kind, seed, arguments.epochs, data))
    print(json.dumps({kind: report(found, runs["keras"]) for kind, found in runs.items()}))


def read(folder: Path) -> Data:
    """The first 80 % of the rows by time train; what they do not know is 0."""
    rows = pd.read_parquet(folder / "interactions.parquet").sort_values("time_ms", kind="stable")
    rows = rows.merge(pd.read_parquet(folder / "videos.parquet")[["video_id", *VIDEO]], on="video_id", how="left")
    rows = rows.rename(columns={"user_id": "user", "video_id": "item", "is_click": "click", "is_like": "like"})
    count, numbers, sizes = int(0.8 * len(rows)), [], []
    for name in COLUMNS:
        known = pd.Index(rows[name][:count].dropna().unique())
        numbers.append(known.get_indexer(rows[name]) + 1)
        sizes.append(len(known) + 1)
    return Data(np.stack(numbers, 1).astype(np.int32), rows[list(TASKS)].to_numpy(np.float32), count, sizes)


def train(kind: str, seed: int, epochs: int, data: Data) -> tuple[np.ndarray, float]:
    """AUC of the tasks after training, and the seconds of the fastest step."""
    keras.utils.set_random_seed(seed)
    model, (make, dense_rows) = network(data.sizes), KINDS[kind]
    rng, seconds = np.random.default_rng(seed), []
    with mock.patch.object(optimizers, "DENSE_ROWS", dense_rows):
        step = steps(model, make(0.001), data)
        for _ in range(epochs):
            order = rng.permutation(data.train)
            for begin in range(0, data.train - BATCH + 1, BATCH):
                start = time.perf_counter()
                step(tf.constant(order[begin : begin + BATCH])).numpy()
                seconds.append(time.perf_counter() - start)
    answers = model.predict(data.columns[data.train :], 8192, verbose=0)
    auc = [area(data.labels[data.train :, task], answers[:, task]) for task in range(len(TASKS))]
    return np.array(auc), min(seconds)


def steps(model: keras.Model, optimizer: Any, data: Data) -> Callable[[tf.Tensor], tf.Tensor]:
    """What trains on some rows."""
    columns, labels, variables = tf.constant(data.columns), tf.constant(data.labels), model.trainable_variables
    optimizer.build(variables)

    @tf.function
    def step(rows: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            losses = tf.nn.sigmoid_cross_entropy_with_logits(tf.gather(labels, rows), model(tf.gather(columns, rows)))
            loss = tf.reduce_sum(tf.reduce_mean(losses, 0))
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    return step


def network(sizes: list[int]) -> keras.Model:
    inputs = keras.Input([len(sizes)], dtype=tf.int32)
    small = keras.initializers.RandomNormal(stddev=0.01)
    embedded = [keras.layers.Embedding(size, DIM, small)(inputs[:, n]) for n, size in enumerate(sizes)]
    shared = keras.layers.Dense(UNITS, "relu")(tf.concat(embedded, 1))
    logits = [keras.layers.Dense(1)(keras.layers.Dense(TOWER, "relu")(shared)) for _ in TASKS]
    return keras.Model(inputs, tf.concat(logits, 1))


def area(labels: np.ndarray, scores: np.ndarray) -> float:
    positives = labels.sum()
    above = rankdata(scores)[labels > 0].sum() - positives * (positives + 1) / 2
    return float(above / (positives * (len(labels) - positives)))


def report(found: list[tuple[np.ndarray, float]], of_keras: list[tuple[np.ndarray, float]]) -> dict[str, Any]:
    auc, base = (np.array([areas for areas, _ in each]) for each in (found, of_keras))
    tasks = {
        task: {"auc": float(auc[:, number].mean()), **paired(auc[:, number] - base[:, number])}
        for number, task in enumerate(TASKS)
    }
    return {**tasks, "ms": 1e3 * min(seconds for _, seconds in found)}


if __name__ == "__main__":
    main()
