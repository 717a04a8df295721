"""What ranks items that training has never seen: popularity, ids, texts without a model, and text encoders by mode.

A fifth of the items is cold, drawn by the seed: training sees none of their interactions. For each user with a past, the
cold items are ranked; those that the user has are relevant. NDCG@10, mean over the users who have some.

- `popularity`: nobody has a cold item yet, so it is any order, and its value is the mean over all orders;
- `hindsight`: by how many other users have the item, which no system knows;
- `content_knn`, `content_ridge`: frozen text vectors in NumPy, see `cold_items.py`;
- `ids`: a two-tower model, the user's past beside the item's id;
- `frozen`, `delta`, `lora`, `full`: the same with a text encoder (MiniLM) of the item, and the texts of the past.

Settings (`DEFAULTS`, `SETTINGS`) were chosen with `--seeds -1`: other items are cold then, which are in no test.

Data: `ml-100k` (ratings from 4 on; title, genres), `quantum` and `beer` (Stack Exchange; title, tags), `complete_journey`
(baskets; category, type). The first three are read from the directory of the variable MTKIT_DATA.

Prints a line of JSON for each value, and in the end {"methods": {method: {"mean", "half_width", "values"}}, "above":
{method without a model: {model: the same of the differences}}, "text_above_popularity"}; the half width is that of the
interval of 95 percent by Student's t over the seeds, `text_above_popularity` the lower end of the interval of the best
text encoder's difference.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from cold_items import (
    DATASETS,
    Draw,
    content_knn,
    content_ridge,
    draw,
    hindsight,
    ndcg,
    ndcg_of_any_order,
    tables,
)
from scipy.stats import t as student

import mtkit
from mtkit.backend import keras
from mtkit.files import cache_directory
from mtkit.recipe.settings import Catalog, Evaluate, Train
from mtkit.schema import Column
from mtkit.standard.encoders import Features
from mtkit.standard.past_encoders import History
from mtkit.standard.ranking_metrics import Ndcg
from mtkit.standard.rows import Interactions, Windows
from mtkit.standard.sources import Frames
from mtkit.standard.splits import Time
from mtkit.training.fit import Training
from mtkit_bert import Bert
from mtkit_bert.derive import text_vectors
from mtkit_bert.reading import Reading
from mtkit_bert.spec import DEFAULT_CHECKPOINT
from mtkit_tfrs import TfrsRetrieval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mtkit.recipe.loader import Recipe

DAY, DAYS = 86_400, 100
CUT = date(2024, 6, 1)
TEXT = ("frozen", "delta", "lora", "full")
BASELINES, MODELS = ("popularity", "content_knn", "content_ridge"), ("ids", *TEXT)
METHODS = ("hindsight", *BASELINES, *MODELS)
MAX_TOKENS = 24
#: Of all data and methods, unless the data or, before them, the method have their own.
DEFAULTS = {"steps": 300, "batch": 128, "learning_rate": 3e-4, "components": 64, "l2": 10.0}
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    # A step of theirs takes as long as dozens of the others'.
    "lora": {"steps": 100, "factor": 1.0},
    "full": {"steps": 100, "factor": 0.03},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=DATASETS, default="ml-100k")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--seeds", nargs="+", type=int, default=(0, 1, 2), help="-1: the items for choosing settings")
    parser.add_argument("--set", type=json.loads, default={}, help='settings for all methods, as in {"steps": 40}')
    options = parser.parse_args()
    events, items = tables(options.data)
    values: dict[str, list[float]] = {method: [] for method in options.methods}
    for seed in options.seeds:
        drawn = draw(events, items, seed)
        for method in options.methods:
            settings = DEFAULTS | SETTINGS.get(options.data, {}) | SETTINGS.get(method, {}) | options.set
            begin = time.process_time()
            values[method].append(measured(method, drawn, settings))
            told = {"data": options.data, "method": method, "seed": seed, "ndcg@10": values[method][-1]}
            print(json.dumps(told | {"cpu_seconds": round(time.process_time() - begin)} | settings), flush=True)
    print(json.dumps({"data": options.data, **report(values)}))


def measured(method: str, drawn: Draw, settings: Mapping[str, Any]) -> float:
    """NDCG@10 of a method on the cold items."""
    if method == "popularity":
        return ndcg_of_any_order(drawn.relevant)
    if method == "hindsight":
        return ndcg(hindsight(drawn), drawn.relevant)
    if method == "content_knn":
        return ndcg(content_knn(drawn, vectors(drawn.items)), drawn.relevant)
    if method == "content_ridge":
        return ndcg(content_ridge(drawn, vectors(drawn.items), settings["l2"]), drawn.relevant)
    return ndcg(model_scores(method, drawn, settings), drawn.relevant)


def vectors(items: pd.DataFrame) -> np.ndarray:
    """The vectors `[items, width]` that a frozen encoder begins with."""
    return text_vectors(
        items["text"].to_numpy(object),
        DEFAULT_CHECKPOINT,
        reading=Reading("mean", MAX_TOKENS),
        components=None,
        cache_dir=cache_directory(),
        counters={},
    )


def model_scores(method: str, drawn: Draw, settings: Mapping[str, Any]) -> np.ndarray:
    """Scores `[users, cold items]` by a model that was trained on what is known."""
    keras.backend.clear_session()
    pipeline = mtkit.build(composed(method, drawn, settings), fold="test")
    Training(pipeline).fit()
    row_of = {name: pd.Index(entity.ids) for name, entity in pipeline.fold.entities.items()}
    users = row_of["user"].get_indexer(drawn.users)
    rows = pd.Index(pipeline.tables["windows"]["eval"].ids["user"]).get_indexer(users)
    scores = pipeline.model.predict(pipeline.eval_data("windows"), verbose=0)["next"][rows]
    return scores[:, row_of["item"].get_indexer(drawn.items["id"].to_numpy()[drawn.cold])]


def composed(method: str, drawn: Draw, settings: Mapping[str, Any]) -> Recipe:
    """The recipe of a method. What is known lies, shuffled, in the days before the cut."""
    begin, seed, count = int(pd.Timestamp(CUT).timestamp()), max(drawn.seed, 0), len(drawn.known)
    times = begin - 1 - np.random.default_rng(seed).permutation(count) * DAYS * DAY // count
    moments = np.append(times, np.full(len(drawn.targets), begin))
    rows = min(settings["steps"] * settings["batch"], count)
    return mtkit.compose(
        data=Frames(
            interactions=pd.concat([drawn.known, drawn.targets], ignore_index=True).assign(time=moments),
            entities={"item": drawn.items},
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
            "lines": Interactions(sample=rows, seed=seed, batch_size=settings["batch"]),
            "windows": Windows(length=timedelta(days=10), count=1, batch_size=128),
        },
        encoder=encoders(method, settings),
        task={"next": TfrsRetrieval(rows="lines", evaluate="windows", query=["past"], candidate=["item"])},
        train=Train(
            epochs=max(1, round(settings["steps"] * settings["batch"] / rows)),
            learning_rate=settings["learning_rate"],
            warmup_steps=settings["steps"] // 10,
        ),
        evaluate=Evaluate(metrics={"ndcg": Ndcg()}),
        seed=seed,
        deterministic=False,
    )


def encoders(method: str, settings: Mapping[str, Any]) -> dict[str, Features | History | Bert]:
    """Of the past, and of the item."""
    if method == "ids":
        return {"past": History(reads=["history.item"]), "item": Features(reads=["item.id"])}
    texts = {"reads": ["item.text"], "max_tokens": MAX_TOKENS, "components": settings["components"]}
    if method in ("frozen", "delta"):
        item = Bert(**texts, delta=method == "delta")
    else:
        item = Bert(**texts, mode=method, learning_rate_factor=settings["factor"])
    return {
        "words": Bert(**texts),
        "past": History(reads=["history.item"], items="words"),
        "item": item,
    }


def report(values: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Means and intervals of the methods, and of how far they are above those without a model."""
    told: dict[str, Any] = {"methods": {method: summary(found) for method, found in values.items()}}
    told["above"] = {
        other: {method: summary(np.subtract(values[method], values[other])) for method in values if method in MODELS}
        for other in BASELINES
        if other in values
    }
    texts = [found for method, found in told["above"].get("popularity", {}).items() if method in TEXT]
    if texts and texts[0]["half_width"] is not None:
        best = max(texts, key=lambda found: found["mean"])
        told["text_above_popularity"] = best["mean"] - best["half_width"]
    return told


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Mean, half of the interval of 95 percent (None of one value), values."""
    count = len(values)
    width = float(student.ppf(0.975, count - 1) * np.std(values, ddof=1) / np.sqrt(count)) if count > 1 else None
    return {"mean": float(np.mean(values)), "half_width": width, "values": [float(value) for value in values]}


if __name__ == "__main__":
    main()
