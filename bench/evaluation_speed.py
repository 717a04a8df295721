"""Full-catalog evaluation of MovieLens-100K: mtkit's ranking beside TFRS's FactorizedTopK, in one process, in turn.

TFRS's tutorial protocol: of 100,000 ratings 20,000, drawn, are evaluated; hit rates at 1, 5, 10, 50 and 100 over all movies,
by a user and a movie tower of 32 numbers. TFRS asks once for each rating: `dataset` is the form of its tutorial, which
embeds the catalog anew for every batch, `brute_force` its BruteForce layer; both are given `true_candidate_ids`. mtkit
scores each user once. All start from the users' embeddings, and are run once before they are timed.

`evaluate_seconds`: RecBole's protocol on the same data, all 943 users, what they rated before excluded, recall, NDCG, hit
rate and MRR at 10, from embeddings of 64 numbers to the figures. Needs MTKIT_DATA, a directory with `ml-100k`.

Prints a line of JSON: medians in seconds, ratios to mtkit, and the largest difference between the figures.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from statistics import median

import numpy as np

from mtkit.backend import tf
from mtkit.data.catalogs import make_cuts, make_fold
from mtkit.data.known_as_of import known_columns
from mtkit.evaluation.rank import rank
from mtkit.standard.ranking_metrics import Hit, Mrr, Ndcg, Recall
from mtkit.standard.rows import Windows
from mtkit.standard.splits import UserStratified
from mtkit.types import Ragged
from mtkit_datasets.movielens import Movielens100k

KS = (1, 5, 10, 50, 100)
ROWS, BATCH, CATALOG_BATCH = 20_000, 4096, 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how often each is timed")
    options = parser.parse_args()
    dataset = Movielens100k().load()
    names = ("user", "item")
    users, items = (
        np.unique(dataset.interactions[name].to_numpy(), return_inverse=True)[1].astype(np.int64) + 1 for name in names
    )
    drawn = np.random.default_rng(42).permutation(len(users))[:ROWS]
    towers = [_tower(int(ids.max()), 32, seed) for seed, ids in enumerate((users, items))]
    forms = _forms(users[drawn], items[drawn], *towers)
    figures = {name: form() for name, form in forms.items()}
    rounds = [{name: _timed(form) for name, form in forms.items()} for _ in range(options.rounds)]
    evaluate = _recbole()
    evaluate()
    results = {name: median(times[name] for times in rounds) for name in forms}
    results |= {
        f"{name}_ratio": median(times[name] / times["mtkit"] for times in rounds) for name in ("dataset", "brute_force")
    }
    differences = [abs(figures[name][k] - figures["mtkit"][k]) for name in ("dataset", "brute_force") for k in KS]
    evaluate_seconds = [_timed(evaluate) for _ in range(4 * options.rounds)]
    print(
        json.dumps(
            results
            | {"max_difference": max(differences), "hit_rates": figures["mtkit"]}
            | {"evaluate_seconds": median(evaluate_seconds), "evaluate_seconds_least": min(evaluate_seconds)}
        )
    )


def _timed(form: Callable[[], object]) -> float:
    begin = time.perf_counter()
    form()
    return time.perf_counter() - begin


def _tower(size: int, width: int, seed: int) -> np.ndarray:
    """Embeddings float32 `[size + 1, width]`; row 0 is nobody's."""
    return np.random.default_rng(seed).normal(size=(size + 1, width)).astype(np.float32)


def _forms(
    users: np.ndarray, items: np.ndarray, user_tower: np.ndarray, item_tower: np.ndarray
) -> Mapping[str, Callable[[], dict[int, float]]]:
    """Name -> a function that gives the hit rate at each k."""
    import tensorflow_recommenders as tfrs  # after mtkit.backend, which gives it Keras 2

    table = tf.constant(item_tower)
    catalog = (
        tf.data.Dataset.range(1, len(item_tower)).batch(CATALOG_BATCH).map(lambda ids: (ids, tf.gather(table, ids)))
    )
    brute_force = tfrs.layers.factorized_top_k.BruteForce(k=max(KS))
    brute_force.index(table[1:], tf.range(1, len(item_tower), dtype=tf.int64))
    return {
        "dataset": _tfrs(users, items, user_tower, item_tower, catalog),
        "brute_force": _tfrs(users, items, user_tower, item_tower, brute_force),
        "mtkit": lambda: _mtkit(users, items, user_tower, item_tower),
    }


def _tfrs(
    users: np.ndarray, items: np.ndarray, user_tower: np.ndarray, item_tower: np.ndarray, candidates: object
) -> Callable[[], dict[int, float]]:
    import tensorflow_recommenders as tfrs

    metric = tfrs.metrics.FactorizedTopK(candidates=candidates, ks=KS)
    rows = tf.data.Dataset.from_tensor_slices((user_tower[users], item_tower[items], items)).batch(BATCH).cache()

    @tf.function
    def update(query: tf.Tensor, true: tf.Tensor, ids: tf.Tensor) -> None:
        metric.update_state(query, true, true_candidate_ids=ids)

    def run() -> dict[int, float]:
        metric.reset_states()
        for batch in rows:
            update(*batch)
        return {k: float(value) for k, value in zip(KS, metric.result(), strict=True)}

    return run


def _mtkit(users: np.ndarray, items: np.ndarray, user_tower: np.ndarray, item_tower: np.ndarray) -> dict[int, float]:
    """Hit rates over ratings, with one row for each user."""
    order = np.argsort(users, kind="stable")
    distinct, first = np.unique(users[order], return_index=True)
    targets = Ragged(np.append(first, len(users)), {"item": items[order]})
    ranking, _ = rank(lambda rows: user_tower[distinct[rows]] @ item_tower.T, targets, max(KS))
    return {k: int(ranking.hits[:, :k].sum()) / len(users) for k in KS}


def _recbole() -> Callable[[], dict[str, float]]:
    fold = make_fold(*_stratified())
    table = known_columns(fold, Windows(batch_size=1).make(fold, "eval"), ["own"])
    past = table.lists["own"]
    towers = [_tower(len(fold.entities[name]) - 1, 64, seed) for seed, name in enumerate(("user", "item"))]
    users, targets = table.ids["user"], table.lists["target"]
    own = Ragged(past.offsets, {"item": past.values["id"]})
    metrics = {"recall": Recall(), "ndcg": Ndcg(), "hit": Hit(), "mrr": Mrr()}

    def run() -> dict[str, float]:
        ranking, _ = rank(lambda rows: towers[0][users[rows]] @ towers[1].T, targets, 10, own)
        return {name: metric.value(ranking, 10) for name, metric in metrics.items()}

    return run


def _stratified() -> tuple:
    dataset = Movielens100k().load()
    _, test = make_cuts(dataset, UserStratified())
    return dataset, test, {"user": 0, "item": 0}


if __name__ == "__main__":
    main()
