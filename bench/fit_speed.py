"""Speed of `fit` through the data layer against the same compiled step fed one batch that was gathered before.

Both run in one process, in turn, on the recipe's model. Prints one JSON line: the device, the median ratio of the pairs, and
medians of steps and of rows a second.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from mtkit.backend import tf
from mtkit.data.catalogs import make_cuts
from mtkit.data.columns import load
from mtkit.feed.step_rows import training_rows
from mtkit.model.assembly import assemble
from mtkit.recipe.loader import load_recipe
from mtkit.runtime.strategies import prepare
from mtkit.training.fit import Training


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--recipe", type=Path, default=Path("recipes/ecommerce.toml"))
    arguments.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as of `mtkit run`")
    arguments.add_argument("--steps", type=int, default=200)
    arguments.add_argument("--pairs", type=int, default=3)
    options = arguments.parse_args()
    training = training_of(options.recipe, options.set)
    rows = sum(rate.batch_size for rate in training.rates.values())
    through_fit, prebuilt = _fit(training, options.steps), _prebuilt(training, options.steps)
    pairs = [(_timed(prebuilt), _timed(through_fit)) for _ in range(options.pairs + 1)][1:]
    print(
        json.dumps(
            {
                "device": "GPU" if tf.config.list_physical_devices("GPU") else "CPU",
                "speed_ratio": median(bare / fit for bare, fit in pairs),
                "fit_steps_per_second": median(options.steps / fit for _, fit in pairs),
                "fit_rows_per_second": median(options.steps * rows / fit for _, fit in pairs),
                "steps_per_call": training.steps_per_call,
                "prebuilt_steps_per_second": median(options.steps / bare for bare, _ in pairs),
            }
        )
    )


def training_of(path: Path, sets: Sequence[str]) -> Training:
    recipe = load_recipe(path, sets)
    dataset = load(recipe.data.source)
    _, test = make_cuts(dataset, recipe.data.split)
    pipeline = assemble(recipe, dataset, test, strategy=prepare(recipe))
    return Training(pipeline, None)


def _fit(training: Training, steps: int) -> Callable[[], None]:
    model, seed = training.pipeline.model, training.pipeline.recipe.seed

    def run() -> None:
        model.fit(training_rows(training.rates, seed, 0, steps), steps_per_epoch=steps, verbose=0)

    return run


def _prebuilt(training: Training, steps: int) -> Callable[[], None]:
    model = training.pipeline.model
    rows = next(iter(training_rows(training.rates, training.pipeline.recipe.seed, 0, 1)))
    batches = model.gather(rows)
    block = training.steps_per_call

    @tf.function(autograph=True)
    def several(count: tf.Tensor) -> None:
        for _ in tf.range(count):
            model.train_on(batches)

    def run() -> None:
        for begin in range(0, steps, block):
            several(tf.constant(min(block, steps - begin)))

    return run


def _timed(run: Callable[[], None]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
