import numpy as np
import pytest

from mtkit.evaluation.constants import below_chance, below_popularity, constant_metrics
from mtkit.recipe.plan import Plan
from mtkit.recipe.settings import Evaluate
from mtkit.standard.baselines import Popularity
from mtkit.standard.encoders import Features
from mtkit.standard.factor_baselines import Ease
from mtkit.standard.heads import MultiLabel, Regression, UserPreference
from mtkit.standard.order_metrics import Auc, PrAuc
from mtkit.standard.prediction_metrics import Brier, LogLoss, Mae, Rmse
from mtkit.standard.ranking_metrics import Ndcg
from mtkit.standard.retrieval import Retrieval
from mtkit.types import ROW_WEIGHT, RowTable

NONE = np.zeros(0, np.int64)
METRICS = {
    "auc": Auc(),
    "pr_auc": PrAuc(),
    "log_loss": LogLoss(),
    "brier": Brier(),
    "rmse": Rmse(),
    "mae": Mae(),
}
SETTINGS = Evaluate(prediction_metrics=METRICS)
HEADS = {
    "click": UserPreference(rows="lines", inputs=("user",), label="click"),
    "kind": UserPreference(rows="lines", inputs=("user",), label="kind"),
    "rating": Regression(rows="lines", inputs=("user",), label="rating"),
    "topics": MultiLabel(rows="lines", inputs=("user",), label="topics"),
}
PLAN = Plan({}, {}, HEADS)
RANKED = {name: Features(reads=(f"{name}.id",), dim=4) for name in ("user", "item")}


def table(labels, weights, row_weight):
    size = len(row_weight)
    return RowTable(
        "lines",
        {"user": np.arange(size, dtype=np.int32)},
        NONE,
        np.zeros((0, 2), np.int64),
        NONE,
        labels=labels,
        weights=weights,
        dense={ROW_WEIGHT: np.float32(row_weight)},
        classes={"kind": ("a", "b", "c"), "topics": ("x", "y")},
    )


@pytest.fixture
def tables():
    weights = dict.fromkeys(HEADS, np.float32([1, 1, 1, 0]))
    train = {
        "click": np.float32([1, 0, 0, np.nan]),
        "kind": np.int32([0, 1, 1, 9]),
        "rating": np.float32([1, 2, 4, np.nan]),
        "topics": np.float32([[1, 0], [0, 0], [1, 1], [np.nan, np.nan]]),
    }
    held = {
        "click": np.float32([1, 0]),
        "kind": np.int32([0, 1]),
        "rating": np.float32([3, 3]),
        "topics": np.float32([[1, 1], [1, 0]]),
    }
    eval_ = table(held, dict.fromkeys(HEADS, np.ones(2, np.float32)), [1, 1])
    return {"lines": {"train": table(train, weights, [2, 1, 1, 1]), "eval": eval_}}


def test_the_constant_is_the_mean_of_training_by_weight_without_rows_that_have_no_label(tables):
    found = constant_metrics(PLAN, tables, SETTINGS)
    assert found["click/log_loss"] == pytest.approx(-(np.log(0.5) + np.log(0.5)) / 2)
    assert found["kind/log_loss"] == pytest.approx(-(np.log(0.5) + np.log(0.5)) / 2)
    assert found["rating/rmse"] == pytest.approx(3 - (2 * 1 + 2 + 4) / 4)
    shares = np.array([3 / 4, 1 / 4])
    expected = -np.mean([np.log(shares), np.log([shares[0], 1 - shares[1]])])
    assert found["topics/log_loss"] == pytest.approx(expected)
    assert not {key.rpartition("/")[2] for key in found} & {"mae", "auc", "pr_auc"}


def test_worse_than_a_constant_or_than_chance_is_said_with_what_to_do():
    constants = {"click/log_loss": 0.5, "click/brier": 0.2, "rating/rmse": 1.0}
    model = {
        "click/log_loss": 0.6,
        "click/brier": 0.2,
        "click/auc": 0.4,
        "click/pr_auc": 0.01,
        "click/new/log_loss": 9.0,
        "rating/rmse": 1.5,
        "rating/mae": 9.0,
    }
    lines = below_chance(PLAN, SETTINGS, model, constants)
    assert [line.partition("; try ")[0] for line in lines] == [
        "task click: click/auc is 0.4000, worse than that of an order by chance 0.5000",
        "task click: click/log_loss is 0.6000, worse than a constant's 0.5000",
        "task rating: rating/rmse is 1.5000, worse than a constant's 1.0000",
    ]
    assert all("epochs" in line and "calibrate" in line for line in lines)


def test_undefined_figures_and_rounding_are_no_news():
    constants = {"click/log_loss": 0.5, "rating/rmse": None}
    assert below_chance(PLAN, SETTINGS, {"click/log_loss": 0.5 + 1e-8, "click/auc": None}, constants) == []
    assert below_chance(PLAN, SETTINGS, {"rating/rmse": 3.0}, constants) == []


def test_a_ranking_worse_than_one_order_for_everyone_is_said_and_batches_have_a_remedy():
    sources = {"query": ("user",), "candidate": ("item",)}
    heads = {
        "whole": Retrieval(rows="lines", **sources),
        "batch": Retrieval(rows="lines", negatives="batch", **sources),
        "fine": Retrieval(rows="lines", negatives="batch", **sources),
    }
    baselines = {"popularity": Popularity(), "ease": Ease(), "mine": Popularity()}
    settings = Evaluate(metrics={"ndcg": Ndcg()}, baselines=baselines, main="whole/new/ndcg@10", slices=("new",))
    values = {f"{name}/new/ndcg@10": 0.141 for name in heads} | {f"{name}/ndcg@10": 0.5 for name in heads}
    model = {"whole/new/ndcg@10": 0.14, "batch/new/ndcg@10": 0.002, "fine/new/ndcg@10": 0.141, "fine/ndcg@10": 0.1}
    found = below_popularity(
        Plan(RANKED, {}, heads), settings, model, {"popularity": values, "ease": dict.fromkeys(values, 1)}
    )
    assert [line.partition("; ")[0] for line in found] == [
        "task batch: batch/new/ndcg@10 is 0.0020, worse than 0.1410 of popularity",
    ]
    assert 'try correct_sampling = true, larger batches, or the head `retrieval` with negatives = "uniform"' in found[0]
    undefined = below_popularity(Plan(RANKED, {}, heads), settings, {"batch/new/ndcg@10": None}, {"popularity": values})
    assert undefined == []
