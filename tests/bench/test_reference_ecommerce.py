"""The reference and mtkit, written apart, agree on made-up purchases."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from baselines_equal import compare, cutoffs
from reference_ecommerce import END, MIN_LINES, TEST, VALID, Cut, read, reference

from mtkit.evaluation.rank import rank
from mtkit.standard import baselines, ranking_metrics
from mtkit.standard.factor_baselines import Ease
from mtkit.standard.neighbor_baselines import ItemKnn
from mtkit.types import Events, Ragged

EPOCH = pd.Timestamp(0)
METRICS = {
    "recall": ranking_metrics.Recall(),
    "ndcg": ranking_metrics.Ndcg(),
    "hit": ranking_metrics.Hit(),
    "mrr": ranking_metrics.Mrr(),
    "coverage": ranking_metrics.Coverage(),
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Files of 90 households with tastes of their own, and 40 products of which some are rare or lack a type."""
    generator = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("data")
    basket = np.repeat(np.arange(2500), 4)
    household = generator.integers(0, 90, 2500)[basket]
    days = generator.integers(0, 365, 2500)[basket]
    taste = generator.dirichlet(np.full(40, 0.2), 90) * np.linspace(0.05, 1, 40) ** 2
    product = np.array([generator.choice(40, p=taste[h] / taste[h].sum()) for h in household])
    pd.DataFrame(
        {
            "household_id": household,
            "basket_id": basket,
            "product_id": product,
            "quantity": generator.integers(0, 4, len(basket)),
            "transaction_timestamp": pd.Timestamp("2017-01-01") + pd.to_timedelta(days, unit="D"),
        }
    ).to_parquet(path / "transactions.parquet")
    kinds = [None if number == 7 else f"kind {number // 2}" for number in range(40)]
    products = {"product_id": range(40), "product_category": ["food", "other"] * 20, "product_type": kinds}
    pd.DataFrame(products).to_parquet(path / "products.parquet")
    return path


@pytest.fixture(scope="module")
def lines(directory):
    return read(directory)


def test_lines_have_a_quantity_and_an_item(directory, lines):
    raw = pd.read_parquet(directory / "transactions.parquet")
    assert len(lines) == ((raw["quantity"] > 0) & (raw["product_id"] != 7)).sum()
    assert "food | kind 4" in set(lines["item"])


def test_the_catalog_counts_lines_before_the_cut_only():
    before, after = TEST - pd.Timedelta("1s"), TEST
    lines = [("enough", before)] * 20 + [("too few", before)] * 19 + [("too few", after)] * 5 + [("enough", after)]
    frame = pd.DataFrame(lines, columns=["item", "time"]).assign(household=1, basket=lambda frame: frame.index)
    cut = Cut.make(frame, TEST, END)
    assert cut.binary.tolist() == [[1]]
    assert cut.future.tolist() == [[True]]


def by_ids(lines):
    """The catalog as of the test's cut, and what mtkit's baselines and ranking need."""
    count = lines[lines["time"] < TEST]["item"].value_counts()
    items = ["", *sorted(count.index[count >= MIN_LINES])]
    lines = lines[lines["item"].isin(items)].sort_values(["household", "time"], kind="stable")
    user, item = lines["household"].to_numpy(), np.array([items.index(name) for name in lines["item"]])
    time = np.array([(moment - EPOCH) // pd.Timedelta("1s") for moment in lines["time"]])
    offsets = np.searchsorted(user, np.arange(user.max() + 2))
    return Events({"user": user, "item": item}, time, lines["basket"].to_numpy(), pa.table({}), offsets), len(items)


def ragged(events, part):
    counts = np.bincount(events.ids["user"][part], minlength=len(events.offsets) - 1)
    return Ragged(np.append(0, np.cumsum(counts)), {"item": events.ids["item"][part]})


def measured(events, items, baseline, k):
    cut = (TEST - EPOCH) // pd.Timedelta("1s")
    score = baseline.rank(events, cut, items)
    past, future = ragged(events, events.time < cut), ragged(events, events.time >= cut)
    values = {}
    for name, excluded in {"": None, "new/": past}.items():
        ranking, _ = rank(score, future, k, excluded, block=16)
        values |= {f"next/{name}{m}@{k}": metric.value(ranking, k) for m, metric in METRICS.items()}
    return values


@pytest.mark.parametrize("k", [3, 10])
def test_mtkit_equals_the_reference(lines, k):
    found = reference(lines, [k])
    events, items = by_ids(lines)
    assert 20 < found["items"] == items - 1 < 39
    of_name = {
        "popularity": baselines.Popularity(),
        "own_frequency": baselines.OwnFrequency(),
        "own_recency": baselines.OwnRecency(half_life=found["tuned"]["own_recency"]),
        "item_knn": ItemKnn(),
        "ease": Ease(l2=found["tuned"]["ease"]),
    }
    values = {name: measured(events, items, baseline, k) for name, baseline in of_name.items()}
    differences = compare(values, found["test"])
    assert len(differences) == 5 * 2 * len(METRICS)
    assert max(differences.values()) < 1e-12


def test_settings_are_those_best_on_validation(lines):
    found = reference(lines, [5])
    each = {h: reference(lines, [5], [h])["valid"]["own_recency"]["next/ndcg@5"] for h in (15, 30, 60, 120, 240, 480)}
    assert found["tuned"]["own_recency"] == max(each, key=each.get)
    assert found["valid"]["own_recency"]["next/ndcg@5"] == max(each.values())


def test_what_comes_after_the_test_cut_changes_no_setting(lines):
    before = reference(lines[lines["time"] < TEST + pd.Timedelta("5D")], [5])
    whole = reference(lines, [5])
    assert before["tuned"] == whole["tuned"]
    assert before["valid"] == whole["valid"]
    assert VALID < TEST
    json.dumps(whole)


def test_differences_count_what_a_run_lacks():
    expected = {"ease": {"next/ndcg@10": 0.5, "next/hit@10": 0.7}}
    run = {"ease": {"next/ndcg@10": {"mean": 0.25, "std": 0, "values": [0.25]}}}
    assert compare(run, expected) == {"ease next/ndcg@10": 0.25, "ease next/hit@10": float("inf")}
    assert cutoffs({"next/ndcg@10": 0, "next/new/ndcg@5": 0, "next/hit@50": 0, "coupon/auc": 0}) == [10, 50]
