"""What the texts of items are worth: the recipe as it is against the same recipe with the texts of items permuted.

Refits the model with several seeds on everything before the test, with true and with permuted texts (one permutation for each
seed), and prints one JSON line: both values of each metric by seed, and the smallest fall of the first metric over the seeds.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from mtkit.backend import keras
from mtkit.data.columns import seconds
from mtkit.evaluate import evaluate
from mtkit.pipeline import build_pipeline
from mtkit.recipe import Recipe, load_recipe
from mtkit.run import cache_directory, make_strategy
from mtkit.train import Training
from mtkit.types import Dataset

RETRIEVAL, CONTENT = "next/new/ndcg@10", "department/accuracy"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--recipe", type=Path, default=Path("recipes/ecommerce.toml"))
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--set", dest="sets", action="append", default=[])
    options = arguments.parse_args()
    recipe = load_recipe(options.recipe, options.sets)
    dataset = recipe.data.source.load()
    seeds = range(recipe.seed, recipe.seed + options.seeds)
    true = [_measured(recipe, dataset, seed) for seed in seeds]
    permuted = [_measured(recipe, _permuted(dataset, seed), seed) for seed in seeds]
    falls = [before[RETRIEVAL] - after[RETRIEVAL] for before, after in zip(true, permuted, strict=True)]
    table = permuted[0]
    print(
        json.dumps(
            {
                "true": true,
                "permuted": permuted,
                "smallest_fall": min(falls),
                "content_above_majority": max(run[CONTENT] - run["majority"] for run in permuted),
                "majority": table["majority"],
            }
        )
    )


def _permuted(dataset: Dataset, seed: int) -> Dataset:
    items = dataset.entities["item"]
    order = np.random.default_rng(seed).permutation(len(items))
    position = items.column_names.index("text")
    moved = items.set_column(position, "text", items["text"].take(order))
    return replace(dataset, entities={**dataset.entities, "item": moved})


def _measured(recipe: Recipe, dataset: Dataset, seed: int) -> dict[str, float]:
    keras.backend.clear_session()
    seeded = recipe.model_copy(update={"seed": seed})
    _, test = recipe.data.split.cuts(seconds(dataset.interactions[dataset.schema.time]))
    pipeline = build_pipeline(seeded, dataset, test, make_strategy(seeded), cache_directory(), {})
    Training(pipeline).fit()
    values = evaluate(pipeline)
    rows = pipeline.tables[recipe.task["department"].rows]
    label = recipe.task["department"].label
    majority = np.bincount(rows["train"].labels[label]).argmax()
    return {
        "next/ndcg@10": values["next/ndcg@10"],
        RETRIEVAL: values[RETRIEVAL],
        CONTENT: values[CONTENT],
        "majority": float((rows["eval"].labels[label] == majority).mean()),
    }


if __name__ == "__main__":
    main()
