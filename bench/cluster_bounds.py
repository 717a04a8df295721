"""What bounds a recipe on more workers: bytes that a step exchanges, by its own gradients, beside the time that it takes.

One process measures the recipe's step as it is: of each variable whether its gradient is dense, and summed over all workers, or
has rows, and is gathered; and the seconds of a step. What n workers can reach with n times the batch (each with the rows of one
step) follows for some bandwidths: dense gradients take 2 (n - 1) / n of their bytes through each network card (a ring), gathered
ones n - 1 times theirs, and nothing is assumed to overlap. What heads gather of candidates comes on top.

Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from fit_speed import training_of

from mtkit.backend import tf
from mtkit.feed.step_rows import training_rows
from mtkit.training.fit import Training

WORKERS = (2, 4, 8, 16, 64)
GIGABITS = (1, 10, 100)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--recipe", type=Path, default=Path("recipes/ecommerce.toml"))
    arguments.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as of `mtkit run`")
    arguments.add_argument("--steps", type=int, default=20)
    options = arguments.parse_args()
    training = training_of(options.recipe, options.set)
    found = exchanged(training) | {"seconds": _seconds(training, options.steps)}
    bounds = {f"{gigabits}_gigabit": efficiencies(found, gigabits) for gigabits in GIGABITS}
    print(json.dumps({**found, "efficiency": bounds}))


def exchanged(training: Training) -> dict[str, float]:
    """Bytes of the gradients of one step, dense and by rows."""
    model = training.pipeline.model
    rows = next(iter(training_rows(training.rates, training.pipeline.recipe.seed, 0, 1)))

    @tf.function
    def gradients(rows: Mapping[str, tf.Tensor]) -> list[Any]:
        run = partial(model.run, model.gather(rows), training=True)
        return [gradient for gradient in model.step.gradients(run, model)[1] if gradient is not None]

    made = gradients(rows)
    by_rows = [one for one in made if isinstance(one, tf.IndexedSlices)]
    dense = [one for one in made if not isinstance(one, tf.IndexedSlices)]
    return {
        "dense_bytes": sum(map(_size, dense)),
        "row_bytes": sum(_size(one.values) + _size(one.indices) for one in by_rows),
    }


def _size(tensor: tf.Tensor) -> int:
    return int(tf.size(tensor)) * tensor.dtype.size


def _seconds(training: Training, steps: int) -> float:
    model, seed = training.pipeline.model, training.pipeline.recipe.seed
    model.fit(training_rows(training.rates, seed, 0, steps), steps_per_epoch=steps, verbose=0)
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        model.fit(training_rows(training.rates, seed, 0, steps), steps_per_epoch=steps, verbose=0)
        times.append((time.perf_counter() - begin) / steps)
    return median(times)


def efficiencies(found: Mapping[str, float], gigabits: float) -> dict[str, float]:
    """Number of workers -> share of n times the speed of one that the network leaves, where each has a step's rows."""
    bandwidth = gigabits * 1e9 / 8
    of = {}
    for n in WORKERS:
        seconds = (2 * (n - 1) / n * found["dense_bytes"] + (n - 1) * found["row_bytes"]) / bandwidth
        of[str(n)] = round(found["seconds"] / (found["seconds"] + seconds), 3)
    return of


if __name__ == "__main__":
    main()
