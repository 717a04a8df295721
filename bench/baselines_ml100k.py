"""Baselines on MovieLens-100K under RecBole's protocol, by mtkit's components and by an independent NumPy reference.

All ratings count as positive. Of each user's ratings, drawn at random, 80 % train, 10 % validate and 10 % test; the whole
catalog is ranked but for what the user rated before; NDCG@10, mean over two splits. Settings are those best on validation.
The reference has dense matrices and its own metric, and shares with mtkit the split, the settings, and the numbers that
iALS starts from (which move it by .003). Needs MTKIT_DATA, a directory with `ml-100k`.

Prints a line of JSON: {"mtkit": {"ease": ...}, "reference": {...}, "max_difference": ..., "cpu_seconds": {...}, ...}.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from statistics import mean

import numpy as np

from mtkit.data.catalogs import make_cuts, make_fold
from mtkit.data.known_as_of import known_columns
from mtkit.evaluation.rank import rank
from mtkit.spec import Baseline
from mtkit.standard.baselines import Popularity
from mtkit.standard.factor_baselines import Ease, Ials
from mtkit.standard.neighbor_baselines import ItemKnn
from mtkit.standard.ranking_metrics import Ndcg
from mtkit.standard.rows import Windows
from mtkit.standard.splits import UserStratified
from mtkit.types import Dataset, Fold, Ragged
from mtkit_datasets.movielens import Movielens100k

K = 10
BASELINES: Mapping[str, Baseline] = {
    "popularity": Popularity(),
    "item_knn": ItemKnn(similarities=("cosine", "jaccard"), neighbors_tried=(50, 100, 400, 2000)),
    "ials": Ials(regularizations=(0.005, 0.01, 0.02), alphas=(1, 3, 10)),
    "ease": Ease(l2s=(100, 200, 300, 500, 1000)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=2, help="how many splits, seeds from 0 on")
    options = parser.parse_args()
    dataset = Movielens100k().load()
    results = [_of_split(dataset, seed) for seed in range(options.splits)]
    means = {
        who: {name: mean(result[who][name] for result in results) for name in BASELINES}
        for who in ("mtkit", "reference", "cpu_seconds")
    }
    differences = [abs(result["mtkit"][name] - result["reference"][name]) for result in results for name in BASELINES]
    settings = [result["settings"] for result in results]
    print(json.dumps({**means, "max_difference": max(differences), "settings": settings}))


def _of_split(dataset: Dataset, seed: int) -> dict[str, dict[str, float]]:
    """NDCG@10 on test and the CPU seconds that tuning and test took, by baseline."""
    split = UserStratified(seed=seed, refit=False)
    valid, test = (make_fold(dataset, cut, {"user": 0, "item": 0}) for cut in make_cuts(dataset, split))
    found: dict[str, dict[str, float]] = {"mtkit": {}, "reference": {}, "cpu_seconds": {}, "settings": {}}
    for name, baseline in BASELINES.items():
        begin = time.process_time()
        best = max(baseline.grid(), key=lambda setting: _ndcg(setting, valid)) if name != "popularity" else baseline
        found["mtkit"][name] = _ndcg(best, test)
        found["cpu_seconds"][name] = time.process_time() - begin
        found["reference"][name] = reference_ndcg(*_matrices(test), REFERENCES[name](best))
        found["settings"][name] = best.model_dump(mode="json")
    return found


def _ndcg(baseline: Baseline, fold: Fold) -> float:
    """By mtkit: fitted on what trains, ranked without what the user has rated before."""
    table = known_columns(fold, Windows(batch_size=1).make(fold, "eval"), ["own"])
    past = table.lists["own"]
    score = baseline.rank(fold.events, fold.fit, len(fold.entities["item"]))
    assert score is not None
    users, own = table.ids["user"], Ragged(past.offsets, {"item": past.values["id"]})
    ranking, _ = rank(lambda rows: score(users[rows]), table.lists["target"], K, own)
    return Ndcg().value(ranking, K)


def _matrices(fold: Fold) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Who rated what in training, before the cut, and from the cut on: floats `[users, items]`, 0 or 1."""
    users, items = fold.events.ids["user"] - 1, fold.events.ids["item"] - 1
    shape = len(fold.entities["user"]) - 1, len(fold.entities["item"]) - 1
    train, known, relevant = np.zeros((3, *shape))
    time = fold.events.time
    for matrix, kept in ((train, time < fold.fit), (known, time < fold.cut), (relevant, time >= fold.cut)):
        matrix[users[kept], items[kept]] = 1
    return train, known, relevant


def reference_ndcg(
    train: np.ndarray, known: np.ndarray, relevant: np.ndarray, scores: Callable[[np.ndarray], np.ndarray]
) -> float:
    """NDCG@10 over users with relevant items, user by user."""
    values = []
    for row, hits, seen in zip(scores(train), relevant, known, strict=True):
        if hits.any():
            candidates = np.flatnonzero(seen == 0)
            top = candidates[np.argsort(-row[candidates], kind="stable")[:K]]
            gains = [hits[item] / np.log2(place + 2) for place, item in enumerate(top)]
            values.append(sum(gains) / sum(1 / np.log2(place + 2) for place in range(min(K, int(hits.sum())))))
    return float(np.mean(values))


def popularity(_: Popularity) -> Callable[[np.ndarray], np.ndarray]:
    return lambda train: np.tile(train.sum(axis=0), (len(train), 1))


def item_knn(setting: ItemKnn) -> Callable[[np.ndarray], np.ndarray]:
    """The `neighbors` most similar candidates of each own item vote."""
    assert setting.neighbors is not None
    count = setting.neighbors

    def scores(train: np.ndarray) -> np.ndarray:
        common, buyers = train.T @ train, train.sum(axis=0)
        either = {
            "cosine": np.sqrt(np.outer(buyers, buyers)),
            "jaccard": buyers[:, None] + buyers[None, :] - common,
        }[setting.similarity]
        similarity = np.divide(common, either, out=np.zeros_like(common), where=either > 0)
        np.fill_diagonal(similarity, 0)
        for row in similarity:
            row[np.argsort(-row, kind="stable")[count:]] = 0
        return train @ similarity

    return scores


def ease(setting: Ease) -> Callable[[np.ndarray], np.ndarray]:
    """Steck 2019, algorithm 1."""

    def scores(train: np.ndarray) -> np.ndarray:
        precision = np.linalg.inv(train.T @ train + setting.l2 * np.eye(train.shape[1]))
        weights = precision / -np.diag(precision)[None, :]
        np.fill_diagonal(weights, 0)
        return train @ weights

    return scores


def ials(setting: Ials) -> Callable[[np.ndarray], np.ndarray]:
    """Every user, then every item, by the normal equations of the weighted squares over all pairs."""

    def solve(matrix: np.ndarray, others: np.ndarray) -> np.ndarray:
        weights = 1 + setting.alpha * matrix
        strength = setting.regularization * (setting.alpha * matrix.sum(axis=1) + len(others))
        systems = np.einsum("rn,nf,ng->rfg", weights, others, others, optimize=True)
        systems += strength[:, None, None] * np.eye(others.shape[1])
        solved = np.linalg.solve(systems, (setting.alpha * matrix @ others)[:, :, None])[:, :, 0]
        return solved * (matrix.sum(axis=1, keepdims=True) > 0)

    def scores(train: np.ndarray) -> np.ndarray:
        starts = np.random.default_rng(setting.seed).normal(
            0, 0.1 / np.sqrt(setting.factors), (train.shape[1] + 1, setting.factors)
        )
        items = starts[1:]  # mtkit has a row for the unknown
        users = solve(train, items)
        for _ in range(setting.epochs):
            items = solve(train.T, users)
            users = solve(train, items)
        return users @ items.T

    return scores


REFERENCES: Mapping[str, Callable[..., Callable[[np.ndarray], np.ndarray]]] = {
    "popularity": popularity,
    "item_knn": item_knn,
    "ials": ials,
    "ease": ease,
}


if __name__ == "__main__":
    main()
