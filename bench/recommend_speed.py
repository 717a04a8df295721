"""Exact `recommend` of an export beside TensorFlow's bare matrix product and top_k, in one process and in turn.

A made-up shop with `--items` items is exported untrained, for a head that is a dot product and for one with a pair term
(`gated_retrieval`). The bare form is `tf.math.top_k(tf.matmul(query, candidates, transpose_b=True), k)` of as many items
and of embeddings as wide as the head's, given the queries; `recommend` also looks up ids, encodes the query, leaves out the
unknown, and says what was seen.

Prints a line of JSON: medians in ms, and `ratio`, the median of what `recommend` took over what the bare form took just
before it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

import mtkit
from mtkit.backend import tf
from mtkit.schema import Column, Schema
from mtkit.serving.export import save
from mtkit.spec import BuildContext, DataSource, RetrievalTask
from mtkit.standard.encoders import Features
from mtkit.standard.past_encoders import History
from mtkit.standard.retrieval import GatedRetrieval
from mtkit.standard.rows import Windows
from mtkit.standard.splits import Time
from mtkit.types import Dataset

K, DIM, USERS, LENGTH = 10, 64, 2000, 50
DAY, BEGIN = 86_400, 1_704_067_200
ROUNDS = {1: 200, 64: 30}


class Shop(DataSource):
    """Interactions in 2024, drawn; each item has one at least."""

    items: int

    def schema(self) -> Schema:
        """Two ids and a time."""
        ids = {name: Column(kind="id", entity=name) for name in ("user", "item")}
        return Schema(interactions=ids | {"time": Column(kind="time")}, entities={"user": {}, "item": {}})

    def load(self) -> Dataset:
        """The same for the same number of items."""
        rng, rows = np.random.default_rng(0), self.items + USERS * LENGTH
        items = np.arange(rows) % self.items
        columns = {
            "user": rng.integers(0, USERS, rows),
            "item": items,
            "time": BEGIN + rng.integers(0, 366 * DAY, rows),
        }
        # Before the cut, so that all of them are in the catalog.
        columns["time"][: self.items] = BEGIN + rng.integers(0, 200 * DAY, self.items)
        entities = {"user": pa.table({"id": np.arange(USERS)}), "item": pa.table({"id": np.arange(self.items)})}
        return Dataset(pa.table(columns), entities, self.schema())


class Dot(RetrievalTask):
    """The dot product of two sums, which is not trained."""

    candidates: ClassVar[Literal["batch", "catalog"]] = "catalog"

    def build(self, context: BuildContext) -> Any:
        """A head that is asked and not trained."""
        from mtkit.heads import RetrievalHead

        class Sums(RetrievalHead):
            def query(self, view: Any, training: bool = False) -> Any:
                return tf.add_n(list(view.values()))

            def candidate(self, view: Any, ids: Any, training: bool = False) -> Any:
                return tf.add_n(list(view.values()))

            def loss(self, query: Any, candidates: Any, batch: Any, training: bool = False) -> Any:
                return tf.reduce_sum(query, 1)

        return Sums(name=context.name)


def exported(items: int, head: type[RetrievalTask], directory: Path) -> Any:
    """The signature `recommend` of an untrained model, loaded as a server would."""
    recipe = mtkit.compose(
        data=Shop(items=items),
        split=Time(valid="2024-10-01", test="2024-11-01"),
        rows={"windows": Windows(length="30d", count=2, batch_size=8)},
        encoder={
            "past": History(reads=["history.item"], items="item", dim=DIM),
            "item": Features(reads=["item.id"], dim=DIM),
        },
        task={"next": head(rows="windows", query=["past"], candidate=["item"])},
    )
    return tf.saved_model.load(str(save(mtkit.build(recipe, fold="test"), directory, unseen=False))).signatures[
        "recommend"
    ]


def bare(items: int, rows: int) -> Callable[[], Any]:
    """The matrix product and top_k alone."""
    rng = np.random.default_rng(0)
    query = tf.constant(rng.standard_normal((rows, DIM)), tf.float32)
    candidates = tf.Variable(rng.standard_normal((items, DIM)), dtype=tf.float32)

    @tf.function(autograph=False)
    def best() -> Any:
        return tf.math.top_k(tf.matmul(query, candidates, transpose_b=True), K)

    return best


def seconds(function: Callable[[], Any]) -> float:
    """Of one call."""
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def measured(items: int, rows: int, recommend: Any) -> dict[str, float]:
    """Medians of both, and of their ratio."""
    asked = {
        "user_id": tf.constant([str(user) for user in range(rows)]),
        "k": tf.constant(K),
        "exclude_ids": tf.zeros([1, 0], tf.string),
    }
    forms: list[Callable[[], Any]] = [bare(items, rows), lambda: recommend(**asked)]
    pairs = [[seconds(form) for form in forms] for _ in range(ROUNDS[rows] + 5)][5:]
    bares, served = zip(*pairs, strict=True)
    return {
        "bare_ms": round(median(bares) * 1e3, 3),
        "recommend_ms": round(median(served) * 1e3, 3),
        "ratio": round(median(own / alone for alone, own in pairs), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    options = parser.parse_args()
    found: dict[str, Any] = {}
    for name, head in (("dot", Dot), ("gated", GatedRetrieval)):
        with tempfile.TemporaryDirectory() as directory:
            recommend = exported(options.items, head, Path(directory))
        found[name] = {f"rows_{rows}": measured(options.items, rows, recommend) for rows in ROUNDS}
    print(json.dumps({"items": options.items, **found}))


if __name__ == "__main__":
    main()
