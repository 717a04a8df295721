"""What ranks items that training has never seen: popularity, ids, frozen texts, a residual on them, LoRA, full fine-tuning.

A fifth of the items is cold: nothing of them is known before the test. A tenth of the interactions, drawn, is the test.
Each method ranks the cold items for each user with a past who has some of them in the test, under a two-tower model
trained with in-batch candidates; NDCG@10 over these users. Popularity knows nothing of cold items, so it is any order;
`hindsight` is the order by their interactions that are hidden before the test, which no system has.

Data: `ml-100k` (ratings from 4 on; title, genres), `quantum` and `beer` (Stack Exchange; title, tags), `complete_journey`
(baskets; category, type). The first three are read from the directory of the variable MTKIT_DATA.

Prints a line of JSON: {"methods": {method: {"mean", "half_width", "values"}}, "text_beats_popularity": ...}; the half
width is that of the interval of 95 percent by Student's t over the seeds.
"""

from __future__ import annotations

import argparse
import json
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

import mtkit
from mtkit.backend import keras
from mtkit.evaluate import model_scorer
from mtkit.registry import Registry
from mtkit.schema import Column
from mtkit.sections import Catalog, Evaluate, Train
from mtkit.standard.encoders import Features, History
from mtkit.standard.ranking_metrics import Ndcg
from mtkit.standard.rows import Interactions, Windows
from mtkit.standard.sources import Frames
from mtkit.standard.splits import Time
from mtkit.train import Training
from mtkit_bert import Bert
from mtkit_tfrs import TfrsRetrieval

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mtkit.recipe import Recipe

K, DAY, DAYS = 10, 86_400, 100
CUT = date(2024, 6, 1)
COLD, TEST = 0.2, 0.1
#: Source, text columns of items, and which interactions count.
DATASETS: Mapping[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "ml-100k": ("movielens_100k", {}, ("title", "genres")),
    "quantum": ("stackexchange", {"site": "quantum"}, ("title", "tags")),
    "beer": ("stackexchange", {"site": "beer"}, ("title", "tags")),
    "complete_journey": ("complete_journey", {}, ("text",)),
}
TEXT = ("frozen", "delta", "lora", "full")
METHODS = ("popularity", "hindsight", "ids", *TEXT)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=DATASETS, default="ml-100k")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--sample", type=int, default=20_000, help="training interactions, drawn")
    parser.add_argument("--max-tokens", type=int, default=24)
    options = parser.parse_args()
    events, items = tables(options.data)
    values = {
        method: [ndcg(method, seed, events, items, options) for seed in range(options.seeds)]
        for method in options.methods
    }
    report = {"data": options.data, "methods": {method: summary(found) for method, found in values.items()}}
    if "popularity" in values and (texts := [m for m in TEXT if m in values]):
        best = max(np.mean(values[method]) for method in texts)
        report["text_beats_popularity"] = bool(best > np.mean(values["popularity"]))
    print(json.dumps(report))


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


def ndcg(method: str, seed: int, events: pd.DataFrame, items: pd.DataFrame, options: argparse.Namespace) -> float:
    """NDCG@10 of cold items; which items are cold, and what is tested, depends on the seed."""
    rng = np.random.default_rng(seed)
    cold = set(rng.choice(items["id"], int(COLD * len(items)), replace=False))
    test = rng.random(len(events)) < TEST
    is_cold = events["item"].isin(cold).to_numpy()
    known, hidden = events[~test & ~is_cold], events[~test & is_cold]
    targets = events[test & is_cold & events["user"].isin(known["user"]).to_numpy()]
    wanted = targets.groupby("user")["item"].agg(set)
    order = sorted(cold)
    if method in ("popularity", "hindsight"):
        counts = hidden["item"].value_counts() if method == "hindsight" else {}
        scores = np.array([counts.get(item, 0) for item in order], float)
        rows = np.tile(scores, (len(wanted), 1)) + 1e-6 * rng.random((len(wanted), len(order)))
    else:
        rows = model_scores(method, seed, known, targets, items, order, wanted.index, options)
    return float(
        np.mean([_ndcg(row, [item in found for item in order]) for row, found in zip(rows, wanted, strict=True)])
    )


def model_scores(
    method: str,
    seed: int,
    known: pd.DataFrame,
    targets: pd.DataFrame,
    items: pd.DataFrame,
    cold: list[Any],
    users: pd.Index,
    options: argparse.Namespace,
) -> np.ndarray:
    """Scores `[users, cold]` by a model that was trained on what is known."""
    keras.backend.clear_session()
    recipe = composed(method, seed, known, targets, items, options)
    pipeline = mtkit.build(recipe, fold="test")
    Training(pipeline).fit()
    catalogs = {
        name: {key: row for row, key in enumerate(entity.ids)} for name, entity in pipeline.fold.entities.items()
    }
    table = pipeline.tables["windows"]["eval"]
    row_of = {user: row for row, user in enumerate(table.ids["user"])}
    rows = np.array([row_of[catalogs["user"][user]] for user in users])
    scores = model_scorer(pipeline.model, "next", pipeline.eval_rows["windows"])(rows)
    return np.asarray(scores)[:, [catalogs["item"][item] for item in cold]]


def composed(
    method: str, seed: int, known: pd.DataFrame, targets: pd.DataFrame, items: pd.DataFrame, options: argparse.Namespace
) -> Recipe:
    """The recipe of a method. What is known lies, shuffled, in the days before the cut, and its last day validates."""
    begin = int(pd.Timestamp(CUT).timestamp())
    times = begin - 1 - np.random.default_rng(seed).permutation(len(known)) * DAYS * DAY // len(known)
    moments = np.append(times, np.full(len(targets), begin))
    return mtkit.compose(
        data=Frames(
            interactions=pd.concat([known, targets], ignore_index=True).assign(time=moments),
            entities={"item": items},
            columns={
                "user": Column(kind="id", entity="user"),
                "item": Column(kind="id", entity="item"),
                "time": Column(kind="time"),
            },
            entity_columns={"item": {"text": Column(kind="text")}},
        ),
        split=Time(valid=CUT - timedelta(days=1), test=CUT),
        catalog={"item": Catalog(min_count=0)},
        rows={
            "lines": Interactions(sample=options.sample, seed=seed, batch_size=128),
            "windows": Windows(length=timedelta(days=10), count=1, batch_size=128),
        },
        encoder={
            "user": Features(reads=["user.id"]),
            "past": History(reads=["history.item"], length=50),
            "item": encoder(method, options.max_tokens),
        },
        task={"next": TfrsRetrieval(rows="lines", evaluate="windows", query=["user", "past"], candidate=["item"])},
        train=Train(epochs=options.epochs, learning_rate=1e-3, warmup_steps=50),
        evaluate=Evaluate(metrics={"ndcg": Ndcg()}),
        seed=seed,
        deterministic=False,
    )


def encoder(method: str, max_tokens: int) -> Features | Bert:
    """Of items, by method."""
    if method == "ids":
        return Features(reads=["item.id"])
    mode = {"lora": {"mode": "lora", "learning_rate_factor": 1.0}, "full": {"mode": "full", "layer_decay": 0.8}}
    return Bert(reads=["item.text"], max_tokens=max_tokens, **mode.get(method, {"delta": method == "delta"}))


def summary(values: list[float]) -> dict[str, Any]:
    count = len(values)
    width = student.ppf(0.975, count - 1) * np.std(values, ddof=1) / np.sqrt(count) if count > 1 else None
    return {"mean": float(np.mean(values)), "half_width": width, "values": values}


def _ndcg(scores: np.ndarray, relevant: list[bool]) -> float:
    discounts = 1 / np.log2(np.arange(2, K + 2))
    top = np.array(relevant)[np.argsort(-scores, kind="stable")[:K]]
    return float((top * discounts[: len(top)]).sum() / discounts[: min(K, sum(relevant))].sum())


if __name__ == "__main__":
    main()
