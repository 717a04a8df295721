"""What items that training has never seen can be ranked by without a model: the data, the draw, and simple rankings.

NumPy only, and no mtkit but for reading the data. `cold_start.py` ranks the same items by models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mtkit.recipe.registry import Registry

K = 10
DISCOUNTS = 1 / np.log2(np.arange(2, K + 2))
#: A fifth of the items is for choosing settings, and never tested; another fifth of all items is drawn to be cold.
SHARE = 0.2
DEVELOPMENT = -1
#: Source, its options, and the text columns of items.
DATASETS: Mapping[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "ml-100k": ("movielens_100k", {}, ("title", "genres")),
    "quantum": ("stackexchange", {"site": "quantum"}, ("title", "tags")),
    "beer": ("stackexchange", {"site": "beer"}, ("title", "tags")),
    "complete_journey": ("complete_journey", {}, ("text",)),
}


@dataclass(frozen=True)
class Draw:
    """Which items are cold, and who has them.

    Attributes:
        seed: of the draw; `DEVELOPMENT` = the items for choosing settings.
        items: all items, `id` and `text`.
        known: pairs (user, item) of warm items: all that anything is fitted on.
        targets: pairs of cold items, of users who have a warm one.
        cold: rows of the cold items in `items`.
        past: `[users, warm items]`, 1 where the user has the item; the users are those of `targets`, in sorted order.
        relevant: `[users, cold items]`, 1 where the user has the item.
    """

    seed: int
    items: pd.DataFrame
    known: pd.DataFrame
    targets: pd.DataFrame
    cold: np.ndarray
    past: np.ndarray
    relevant: np.ndarray

    @property
    def users(self) -> np.ndarray:
        """The users of `past` and `relevant`."""
        return np.unique(self.targets["user"])

    @property
    def warm(self) -> np.ndarray:
        """Rows of the warm items in `items`."""
        return np.setdiff1d(np.arange(len(self.items)), self.cold)


def tables(name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Distinct pairs (user, item), and items (id, text)."""
    source, options, texts = DATASETS[name]
    dataset = Registry.installed().get("data_source", source).model_validate(options).load()
    events = dataset.interactions.to_pandas()
    if name == "ml-100k":
        events = events[events["liked"]]
    items = dataset.entities["item"].to_pandas()
    text = items[list(texts)].fillna("").agg(" | ".join, axis=1)
    return events[["user", "item"]].drop_duplicates(), pd.DataFrame({"id": items["id"], "text": text})


def draw(events: pd.DataFrame, items: pd.DataFrame, seed: int) -> Draw:
    """The cold items of a seed."""
    count = int(SHARE * len(items))
    order = np.random.default_rng(0).permutation(len(items))
    development, others = order[:count], order[count:]
    drawn = development if seed == DEVELOPMENT else np.random.default_rng(seed + 1).choice(others, count, replace=False)
    cold = np.sort(drawn)
    is_cold = events["item"].isin(items["id"].to_numpy()[cold])
    known = events[~is_cold]
    targets = events[is_cold & events["user"].isin(known["user"])]
    users = np.unique(targets["user"])
    warm = np.setdiff1d(np.arange(len(items)), cold)
    past, relevant = (
        _matrix(known, users, items["id"].to_numpy()[warm]),
        _matrix(targets, users, items["id"].to_numpy()[cold]),
    )
    return Draw(seed, items, known, targets, cold, past, relevant)


def _matrix(pairs: pd.DataFrame, users: np.ndarray, items: np.ndarray) -> np.ndarray:
    rows, columns = pd.Index(users).get_indexer(pairs["user"]), pd.Index(items).get_indexer(pairs["item"])
    matrix = np.zeros((len(users), len(items)), np.float32)
    matrix[rows[rows >= 0], columns[rows >= 0]] = 1
    return matrix


def ndcg(scores: np.ndarray, relevant: np.ndarray) -> float:
    """Mean NDCG@10 over users `[users, items]`."""
    top = np.argsort(-scores, axis=1, kind="stable")[:, :K]
    gains = np.take_along_axis(relevant, top, axis=1) @ DISCOUNTS[: top.shape[1]]
    return float((gains / _ideal(relevant)).mean())


def ndcg_of_any_order(relevant: np.ndarray) -> float:
    """What NDCG@10 is on average over all orders of the items."""
    count = relevant.shape[1]
    return float((relevant.mean(axis=1) * DISCOUNTS[:count].sum() / _ideal(relevant)).mean())


def _ideal(relevant: np.ndarray) -> np.ndarray:
    return np.append(0, np.cumsum(DISCOUNTS))[np.minimum(relevant.sum(axis=1).astype(int), K)]


def hindsight(draw: Draw) -> np.ndarray:
    """How many other users have each cold item, which no system knows."""
    return draw.relevant.sum(axis=0) - draw.relevant


def content_knn(draw: Draw, vectors: np.ndarray) -> np.ndarray:
    """Mean cosine of the past items' vectors with each cold item's, about the mean vector of warm items."""
    centered = vectors - vectors[draw.warm].mean(axis=0)
    unit = centered / np.maximum(np.linalg.norm(centered, axis=1, keepdims=True), 1e-12)
    return draw.past @ unit[draw.warm] @ unit[draw.cold].T


def content_ridge(draw: Draw, vectors: np.ndarray, l2: float) -> np.ndarray:
    """For each user a ridge regression, on vectors of length 1, of who has which warm item."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    warm = unit[draw.warm]
    weights = np.linalg.solve(warm.T @ warm + l2 * np.eye(warm.shape[1]), warm.T @ draw.past.T)
    return (unit[draw.cold] @ weights).T
