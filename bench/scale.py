"""What is looked at in all interactions before training: seconds of `find_leaks` and `user_shares`, beside plain pandas.

Interactions are made up: ids of users and items, times, a category, a number and two labels. Plain pandas answers a part of the
same questions: whether a column tells a label, and how many distinct users had each item. All in one process, in turn; with
millions of rows pandas takes minutes, and can be left out.

Prints a line of JSON: medians in CPU seconds, which other processes disturb less than wall time, and ratios to pandas.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import pandas as pd
import pyarrow as pa

from mtkit import compose
from mtkit.data.catalogs import make_cuts, make_fold
from mtkit.data.leakage import find_leaks
from mtkit.evaluation.rank import user_shares
from mtkit.schema import Column, Schema
from mtkit.spec import DataSource
from mtkit.standard.encoders import Features
from mtkit.standard.heads import UserPreference
from mtkit.standard.rows import Interactions
from mtkit.standard.splits import Time
from mtkit.types import Dataset, Fold

READS, LABELS = ("context.channel", "context.price", "item.weight", "user.id", "item.id"), ("liked", "shared")


class MadeUp(DataSource):
    """Interactions in 2024, drawn."""

    rows: int = 2_000_000

    def schema(self) -> Schema:
        """Two ids, a time, a category, a number, and two labels."""
        ids = {name: Column(kind="id", entity=name) for name in ("user", "item")}
        others = {"time": Column(kind="time"), "channel": Column(kind="categorical"), "price": Column(kind="numeric")}
        labels = {name: Column(kind="label") for name in LABELS}
        return Schema(
            interactions=ids | others | labels, entities={"user": {}, "item": {"weight": Column(kind="numeric")}}
        )

    def load(self) -> Dataset:
        """The same for the same number of rows."""
        rng, rows = np.random.default_rng(0), self.rows
        users, items = rows // 20, min(100_000, rows // 10)
        columns = {
            "user": rng.integers(0, users, rows),
            "item": (items * rng.random(rows) ** 2).astype(np.int64),
            "time": 1_704_067_200 + rng.integers(0, 365 * 86_400, rows),
            "channel": np.array(list("abcde"))[rng.integers(0, 5, rows)],
            "price": rng.random(rows),
        }
        labels = {name: rng.random(rows) < share for name, share in zip(LABELS, (0.3, 0.1), strict=True)}
        entities = {
            "user": pa.table({"id": np.arange(users)}),
            "item": pa.table({"id": np.arange(items), "weight": rng.random(items)}),
        }
        return Dataset(pa.table(columns | labels), entities, self.schema())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000, help="interactions")
    parser.add_argument("--alone", action="store_true", help="without pandas")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is timed")
    options = parser.parse_args()
    source, split = MadeUp(rows=options.rows), Time(valid="2024-09-15", test="2024-10-15")
    recipe = compose(
        data=source,
        split=split,
        rows={"lines": Interactions(batch_size=8)},
        encoder={"all": Features(reads=READS, dim=4)},
        task={name: UserPreference(rows="lines", inputs=["all"], label=name) for name in LABELS},
    )
    dataset = source.load()
    valid, test = make_cuts(dataset, split)
    fold = make_fold(dataset, test, {})
    items = len(fold.catalog("item"))
    forms: dict[str, Callable[[], object]] = {
        "find_leaks": lambda: find_leaks(recipe, dataset, valid, test),
        "user_shares": lambda: user_shares(fold.events, fold.cut, items),
    }
    if not options.alone:
        forms |= _by_pandas(dataset, fold)
    rounds = [{name: _seconds(form) for name, form in forms.items()} for _ in range(options.rounds)]
    results = {name: median(times[name] for times in rounds) for name in forms}
    results |= {
        f"{name}_ratio": median(times[name] / times[f"{name}_pandas"] for times in rounds)
        for name in ("find_leaks", "user_shares")
        if f"{name}_pandas" in forms
    }
    print(json.dumps({"rows": options.rows, **results}))


def _by_pandas(dataset: Dataset, fold: Fold) -> dict[str, Callable[[], object]]:
    frame = dataset.interactions.to_pandas()
    past = pd.DataFrame({role: ids[fold.events.time < fold.cut] for role, ids in fold.events.ids.items()})
    return {
        "find_leaks_pandas": lambda: [
            frame.groupby(column)[label].nunique().max() for label in LABELS for column in ("channel", "price")
        ],
        "user_shares_pandas": lambda: past.drop_duplicates().groupby("item").size(),
    }


def _seconds(form: Callable[[], object]) -> float:
    begin = time.process_time()
    form()
    return time.process_time() - begin


if __name__ == "__main__":
    main()
