"""The recipe of MovieLens-100K beside EASE, by RecBole's protocol to the letter: both learn from 80 %, and know no more.

Of each user's ratings, drawn at random, 80 % train, 10 % validate and 10 % test. The model stops by its NDCG@10 on
validation, EASE's λ is chosen by the same; then both are asked, by what trained alone, for the test, without what the user
rated in training or validation. (`mtkit run` trains both anew on 90 % before the test.) The seed of a split is also that of
the model. Intervals are those of a bootstrap over the users of all splits, each user with all of his or her splits.
Needs MTKIT_DATA, a directory with `ml-100k`.

Prints a line of JSON: NDCG@10, recall@10 and hit@10 of both, their difference and its interval, seconds by split.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from mtkit.backend import keras
from mtkit.data.catalogs import make_cuts
from mtkit.evaluation.rank import rank
from mtkit.model.assembly import Pipeline, assemble
from mtkit.recipe.loader import load_recipe
from mtkit.standard.factor_baselines import Ease
from mtkit.standard.ranking_metrics import Hit, Ndcg, Recall
from mtkit.training.fit import Training
from mtkit.types import Dataset, Ragged
from mtkit_datasets.movielens import Movielens100k

K, LAMBDAS = 10, (100, 200, 300, 500, 1000)
METRICS = {"ndcg": Ndcg(), "recall": Recall(), "hit": Hit()}
RECIPE = Path(__file__).parent.parent / "recipes" / "benchmarks" / "ml100k.toml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    parser.add_argument("--splits", type=int, nargs="+", default=[2, 3, 4, 5, 6], help="seeds of the splits")
    parser.add_argument("--set", action="append", default=[], dest="sets", help="as of mtkit run")
    parser.add_argument("--valid", action="store_true", help="measure on validation alone: to choose by")
    options = parser.parse_args()
    dataset = Movielens100k().load()
    found = [_of_split(options.recipe, options.sets, dataset, seed, test=not options.valid) for seed in options.splits]
    print(json.dumps(_summary(found)))


def _of_split(path: Path, sets: list[str], dataset: Dataset, seed: int, *, test: bool) -> dict[str, Any]:
    """Values by user of both, and what they took."""
    keras.backend.clear_session()
    recipe = load_recipe(path, [*sets, f"seed={seed}", f"data.split.seed={seed}"])
    valid, _ = make_cuts(dataset, recipe.data.split)
    with tempfile.TemporaryDirectory() as cache:
        pipeline = assemble(recipe, dataset, valid, cache_dir=Path(cache))
    begin = time.perf_counter()
    training = Training(pipeline, validates=True)
    training.fit()
    seconds = time.perf_counter() - begin
    table = recipe.task["next"].evaluated_on
    users = pipeline.tables[table]["eval"].ids["user"]
    truth = Truth(pipeline, dataset, users)
    model = pipeline.model.predict(pipeline.eval_data(table), verbose=0)["next"]
    eases = [ease for l2 in LAMBDAS if (ease := Ease(l2=l2).rank(*_learned(pipeline))) is not None]
    ease = max((score(users) for score in eases), key=lambda scores: truth.of_valid(scores)["ndcg"].mean())
    measured = truth.of_test if test else truth.of_valid
    return {
        "users": users,
        "seconds": seconds,
        "epochs": training.epoch,
        "model": measured(model),
        "ease": measured(ease),
    }


def _learned(pipeline: Pipeline) -> tuple[Any, int, int]:
    return pipeline.fold.events, pipeline.fold.fit, len(pipeline.fold.entities["item"])


class Truth:
    """What users rated in each part, by the validation fold's numbers."""

    def __init__(self, pipeline: Pipeline, dataset: Dataset, users: np.ndarray) -> None:
        fold = pipeline.fold
        number = {name: {str(one): n for n, one in enumerate(fold.entities[name].ids)} for name in ("user", "item")}
        shape = len(fold.entities["user"]), len(fold.entities["item"])
        known, every = np.zeros(shape, bool), np.zeros(shape, bool)
        train = fold.events.time < fold.fit
        known[fold.events.ids["user"][train], fold.events.ids["item"][train]] = True
        valid = np.zeros(shape, bool)
        valid[fold.events.ids["user"][~train], fold.events.ids["item"][~train]] = True
        pairs = zip(*(dataset.interactions[name].to_pylist() for name in ("user", "item")), strict=True)
        for user, item in pairs:
            every[number["user"][str(user)], number["item"].get(str(item), 0)] = True
        self.train, self.valid = known[users], valid[users]
        self.test = every[users] & ~self.train & ~self.valid
        self.test[:, 0] = False

    def of_valid(self, scores: np.ndarray) -> dict[str, np.ndarray]:
        """Values by user, ranked without what trained."""
        return _values(scores, self.valid, self.train)

    def of_test(self, scores: np.ndarray) -> dict[str, np.ndarray]:
        """Values by user, ranked without what trained or validated."""
        return _values(scores, self.test, self.train | self.valid)


def _values(scores: np.ndarray, relevant: np.ndarray, seen: np.ndarray) -> dict[str, np.ndarray]:
    ranking, _ = rank(lambda rows: scores[rows], _lists(relevant), K, _lists(seen))
    found = {name: metric.per_row(ranking, K) for name, metric in METRICS.items()}
    return {name: np.where(relevant.any(1), values, np.nan) for name, values in found.items()}


def _lists(pairs: np.ndarray) -> Ragged:
    offsets = np.append(0, np.cumsum(pairs.sum(1)))
    return Ragged(offsets, {"item": pairs.nonzero()[1].astype(np.int32)})


def _summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    means = {
        who: {name: float(np.mean([np.nanmean(of[who][name]) for of in found])) for name in METRICS}
        for who in ("model", "ease")
    }
    size = max(of["users"].max() for of in found) + 1
    gains = np.full((len(found), size), np.nan)
    for row, of in zip(gains, found, strict=True):
        row[of["users"]] = of["model"]["ndcg"] - of["ease"]["ndcg"]
    gain, counted = np.nansum(gains, 0), np.isfinite(gains).sum(0)
    weights = np.random.default_rng(0).multinomial(size, np.full(size, 1 / size), 2000)
    low, high = np.quantile(weights @ gain / (weights @ counted), [0.025, 0.975])
    return means | {
        "difference": means["model"]["ndcg"] - means["ease"]["ndcg"],
        "interval_low": float(low),
        "interval_high": float(high),
        "differences": [float(np.nanmean(row)) for row in gains],
        "seconds": [of["seconds"] for of in found],
        "most_seconds": max(of["seconds"] for of in found),
        "epochs": [of["epochs"] for of in found],
    }


if __name__ == "__main__":
    main()
