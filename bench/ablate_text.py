"""What the texts of items are worth: the recipe as it is against the same recipe with the texts of items permuted.

For each of several seeds a model is fitted on everything before the test, and measured three times: as it is; with the vectors
of the texts permuted after training, which tells whether the model uses them; and fitted anew on permuted texts, which tells
whether they are worth more than features that mean nothing. Prints one JSON line: the metrics of each, and the smallest fall
over the seeds.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from mtkit.backend import keras
from mtkit.data.catalogs import make_cuts
from mtkit.model.assembly import Pipeline, assemble
from mtkit.model.model_evaluation import evaluate
from mtkit.recipe.loader import Recipe, load_recipe
from mtkit.training.fit import Training
from mtkit.types import Dataset

RETRIEVAL, CONTENT = "next/new/ndcg@10", "department/accuracy"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--recipe", type=Path, default=Path("recipes/ecommerce.toml"))
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--no-refit", dest="refit", action="store_false", help="leave out fits on permuted texts")
    arguments.add_argument("--set", dest="sets", action="append", default=[])
    options = arguments.parse_args()
    recipe = load_recipe(options.recipe, options.sets)
    dataset = recipe.data.source.load()
    seeds = range(recipe.seed, recipe.seed + options.seeds)
    fitted = [_fitted(recipe, dataset, seed, permuted_too=True) for seed in seeds]
    again = [_fitted(recipe, _permuted(dataset, seed), seed)[0] for seed in seeds] if options.refit else []
    true, after = zip(*fitted, strict=True)
    results = {"true": true, "permuted_after": after, "permuted_before": again}
    for name, runs in (("after", after), ("before", again)):
        if runs:
            falls = [run[RETRIEVAL] - other[RETRIEVAL] for run, other in zip(true, runs, strict=True)]
            results[f"smallest_fall_{name}"] = min(falls)
            results[f"mean_fall_{name}"] = float(np.mean(falls))
            results[f"content_above_majority_{name}"] = max(run[CONTENT] - run["majority"] for run in runs)
    print(json.dumps(results))


def _permuted(dataset: Dataset, seed: int) -> Dataset:
    items = dataset.entities["item"]
    order = np.random.default_rng(seed).permutation(len(items))
    position = items.column_names.index("text")
    moved = items.set_column(position, "text", items["text"].take(order))
    return replace(dataset, entities={**dataset.entities, "item": moved})


def _fitted(recipe: Recipe, dataset: Dataset, seed: int, permuted_too: bool = False) -> list[dict[str, float]]:
    """Metrics of a model, and of the same one with permuted vectors."""
    keras.backend.clear_session()
    seeded = recipe.model_copy(update={"seed": seed})
    _, test = make_cuts(dataset, recipe.data.split)
    pipeline = assemble(seeded, dataset, test)
    Training(pipeline).fit()
    measured = [_measured(pipeline)]
    if permuted_too:
        _permute_vectors(pipeline, seed)
        measured.append(_measured(pipeline))
    return measured


def _permute_vectors(pipeline: Pipeline, seed: int) -> None:
    """Gives every item the text vectors of another; the unknown keeps its own."""
    items = pipeline.model.feed.entities["item"]
    order = np.append(0, 1 + np.random.default_rng(seed).permutation(items.rows - 1))
    for column, values in items.columns.items():
        if column.startswith("text/"):
            values.assign(values.numpy()[order])


def _measured(pipeline: Pipeline) -> dict[str, float]:
    values = evaluate(pipeline)
    task = pipeline.recipe.task["department"]
    rows = pipeline.tables[task.rows]
    majority = np.bincount(rows["train"].labels[task.label]).argmax()
    return {
        "next/ndcg@10": values["next/ndcg@10"],
        RETRIEVAL: values[RETRIEVAL],
        CONTENT: values[CONTENT],
        "majority": float((rows["eval"].labels[task.label] == majority).mean()),
    }


if __name__ == "__main__":
    main()
