"""Whether the tasks help one another: the recipe as it is against the recipe of one task at a time (`mtkit run --alone`).

A task alone has the row tables, encoders and correlations that it needs, and as many epochs, which are passes over a table of
its own. Everything is fitted before the test and measured on it, with several seeds. Prints one JSON line: metric -> values
by seed, joint and alone.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from mtkit.backend import keras
from mtkit.data.catalogs import make_cuts
from mtkit.model.assembly import assemble
from mtkit.model.model_evaluation import evaluate
from mtkit.recipe.alone import alone
from mtkit.recipe.loader import Recipe, load_recipe
from mtkit.training.fit import Training
from mtkit.types import Dataset, MetricKey


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--recipe", type=Path, default=Path("recipes/ecommerce.toml"))
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--tasks", nargs="+", help="default: all")
    options = arguments.parse_args()
    recipe = load_recipe(options.recipe)
    dataset = recipe.data.source.load()
    seeds = range(recipe.seed, recipe.seed + options.seeds)
    joint = [_measured(recipe, dataset, seed) for seed in seeds]
    result = {}
    for task in options.tasks or recipe.task:
        single = [_measured(alone(recipe, task), dataset, seed) for seed in seeds]
        keys = [key for key in single[0] if MetricKey.parse(key).task == task]
        result |= {key: {"joint": [run[key] for run in joint], "alone": [run[key] for run in single]} for key in keys}
    print(json.dumps(result))


def _measured(recipe: Recipe, dataset: Dataset, seed: int) -> dict[str, float]:
    keras.backend.clear_session()
    recipe = recipe.model_copy(update={"seed": seed})
    _, test = make_cuts(dataset, recipe.data.split)
    pipeline = assemble(recipe, dataset, test)
    Training(pipeline).fit()
    return dict(evaluate(pipeline))


if __name__ == "__main__":
    main()
