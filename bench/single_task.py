"""Whether the tasks help one another: the recipe as it is against the same model trained for one task at a time.

A task is trained alone by giving the others weight 0, so that model, rows and steps are the same. Everything is fitted
before the test and measured on it, with several seeds. Prints one JSON line: metric -> values by seed, joint and alone.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from mtkit.backend import keras
from mtkit.data.catalogs import make_cuts
from mtkit.model.assembly import assemble
from mtkit.model.model_evaluation import evaluate
from mtkit.recipe.loader import load_recipe
from mtkit.training.fit import Training
from mtkit.types import Dataset

METRICS = {
    "next": ("next/ndcg@10", "next/new/ndcg@10"),
    "two_tower": ("two_tower/ndcg@10",),
    "discounted": ("discounted/auc",),
    "coupon": ("coupon/auc",),
    "multiple": ("multiple/auc",),
    "preference": ("preference/auc",),
    "department": ("department/accuracy",),
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--recipe", type=Path, default=Path("recipes/ecommerce.toml"))
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--tasks", nargs="+", choices=list(METRICS), default=list(METRICS))
    options = arguments.parse_args()
    recipe = load_recipe(options.recipe)
    dataset = recipe.data.source.load()
    seeds = range(recipe.seed, recipe.seed + options.seeds)
    joint = [_measured(options.recipe, dataset, seed, []) for seed in seeds]
    result = {}
    for task in options.tasks:
        others = [f"task.{name}.weight=0.0" for name in recipe.task if name != task]
        alone = [_measured(options.recipe, dataset, seed, others) for seed in seeds]
        result |= {
            key: {"joint": [run[key] for run in joint], "alone": [run[key] for run in alone]} for key in METRICS[task]
        }
    print(json.dumps(result))


def _measured(path: Path, dataset: Dataset, seed: int, sets: list[str]) -> dict[str, float]:
    keras.backend.clear_session()
    recipe = load_recipe(path, [f"seed={seed}", *sets])
    _, test = make_cuts(dataset, recipe.data.split)
    pipeline = assemble(recipe, dataset, test)
    Training(pipeline).fit()
    return evaluate(pipeline)


if __name__ == "__main__":
    main()
