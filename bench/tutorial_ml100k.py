"""The recipe of the multi-task tutorial beside the tutorial's own model, on the same ratings of MovieLens-100K.

The tutorial's joint model is built from TensorFlow Recommenders alone, as it stands there: embeddings of 32, a network of
256 and 128 for the rating, both losses weighed 1, Adagrad at .1, batches of 8,192, three epochs, with its metrics in training.
mtkit's is `recipes/benchmarks/ml100k_tutorial.toml`, settings as validation chose them, fitted anew on the 80,000 ratings. Each
seed draws other ratings and is a process of either, one after another; the seconds of both fits hold tracing.
Accuracy is the share of the 20,000 test ratings whose movie is among the first 100, with what the user rated before among the
candidates (`kept`), and without (`excluded`). Needs MTKIT_DATA, a directory with `ml-100k`.

Prints a line of JSON: of both the means of kept, excluded, rmse and seconds, the least and the greatest of each, and the
median ratio of the seconds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

RECIPE = Path(__file__).parent.parent / "recipes" / "benchmarks" / "ml100k_tutorial.toml"
K = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44], help="of the splits, and of the models")
    parser.add_argument("--one", choices=["tutorial", "mtkit"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps({"tutorial": of_tutorial, "mtkit": of_mtkit}[options.one](options.seeds[0])))
        return
    found = {one: [_in_process(one, seed) for seed in options.seeds] for one in ("tutorial", "mtkit")}
    report = {one: _summary(runs) for one, runs in found.items()}
    ratio = np.median(
        [ours["seconds"] / theirs["seconds"] for ours, theirs in zip(*reversed(found.values()), strict=True)]
    )
    print(json.dumps({**report, "ratio": float(ratio), "seeds": options.seeds}))


def _in_process(one: str, seed: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--one", one, "--seeds", str(seed)]
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    found: dict[str, float] = json.loads(printed.splitlines()[-1])
    return found


def _summary(runs: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    columns = {key: [run[key] for run in runs] for key in runs[0]}
    return {key: {"mean": float(np.mean(v)), "least": min(v), "most": max(v)} for key, v in columns.items()}


def _pipeline(seed: int) -> Any:
    """What the recipe is on the test's fold."""
    from mtkit.data.catalogs import make_cuts
    from mtkit.data.columns import load
    from mtkit.model.assembly import assemble
    from mtkit.recipe.loader import load_recipe
    from mtkit.runtime.strategies import prepare

    recipe = load_recipe(RECIPE, [f"seed={seed}", f"data.split.seed={seed}"])
    strategy, dataset = prepare(recipe), load(recipe.data.source)
    _, test = make_cuts(dataset, recipe.data.split)
    return assemble(recipe, dataset, test, cache_dir=Path(tempfile.mkdtemp()), strategy=strategy)


def of_mtkit(seed: int) -> dict[str, float]:
    """Fits and measures the recipe's model."""
    from mtkit.model.model_evaluation import evaluate
    from mtkit.training.fit import Training

    pipeline = _pipeline(seed)
    begin = time.perf_counter()
    Training(pipeline).fit()
    seconds, found = time.perf_counter() - begin, evaluate(pipeline)
    accuracy = {name: found[f"next/{key}pooled_recall@{K}"] for name, key in (("kept", ""), ("excluded", "new/"))}
    return {**accuracy, "rmse": found["rating/rmse"], "seconds": seconds}


def of_tutorial(seed: int) -> dict[str, float]:
    """Fits and measures the tutorial's model."""
    from mtkit.backend import keras, tf

    rows = _pipeline(seed).tables["ratings"]
    train, test = ({**table.ids, "rating": table.labels["rating"]} for table in (rows["train"], rows["eval"]))
    sizes = {name: int(max(train[name].max(), test[name].max())) + 1 for name in ("user", "item")}
    keras.utils.set_random_seed(seed)
    model = _tutorial(sizes)
    data = tf.data.Dataset.from_tensor_slices(train).shuffle(100_000, seed).batch(8192).cache()
    begin = time.perf_counter()
    model.compile(keras.optimizers.legacy.Adagrad(0.1))
    model.fit(data, epochs=3, verbose=0)
    seconds = time.perf_counter() - begin
    scores = np.array(model.users(np.arange(sizes["user"]))) @ np.array(model.items(np.arange(sizes["item"]))).T
    scores[:, 0] = -np.inf  # no item
    errors = np.array(model((tf.constant(test["user"]), tf.constant(test["item"]))))[:, 0] - test["rating"]
    kept = _accuracy(scores, test)
    scores[train["user"], train["item"]] = -np.inf
    excluded = _accuracy(scores, test)
    return {"kept": kept, "excluded": excluded, "rmse": float(np.sqrt((errors**2).mean())), "seconds": seconds}


def _accuracy(scores: np.ndarray, test: dict[str, np.ndarray]) -> float:
    """How many of the test's ratings of known movies have their movie among the first 100."""
    known = test["item"] > 0
    first = np.argpartition(-scores, K, axis=1)[:, :K][test["user"][known]]
    return float((first == test["item"][known][:, None]).any(1).mean())


def _tutorial(sizes: dict[str, int]) -> Any:
    """The joint model of TensorFlow Recommenders' tutorial "Multi-task recommenders"."""
    from mtkit.backend import keras, tf

    # isort: split
    import tensorflow_recommenders as tfrs

    class Model(tfrs.models.Model):
        """Two towers of an embedding each, and a network on both."""

        def __init__(self) -> None:
            super().__init__()
            self.users, self.items = (keras.layers.Embedding(sizes[name], 32) for name in ("user", "item"))
            self.network = keras.Sequential(
                [keras.layers.Dense(256, "relu"), keras.layers.Dense(128, "relu"), keras.layers.Dense(1)]
            )
            candidates = tf.data.Dataset.range(sizes["item"]).batch(128).map(self.items)
            self.retrieval = tfrs.tasks.Retrieval(metrics=tfrs.metrics.FactorizedTopK(candidates=candidates))
            self.ranking = tfrs.tasks.Ranking(
                loss=keras.losses.MeanSquaredError(), metrics=[keras.metrics.RootMeanSquaredError()]
            )

        def call(self, pair: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            return self.network(tf.concat([self.users(pair[0]), self.items(pair[1])], 1))

        def compute_loss(self, features: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
            users, items = features["user"], features["item"]
            ranking = self.ranking(features["rating"][:, None], self((users, items)))
            return ranking + self.retrieval(self.users(users), self.items(items))

    return Model()


if __name__ == "__main__":
    main()
