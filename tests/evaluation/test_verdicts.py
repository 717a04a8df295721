import math
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from mtkit.evaluation.user_sums import MODEL, UserSums
from mtkit.evaluation.verdicts import verdicts
from mtkit.recipe.plan import Plan
from mtkit.recipe.settings import Evaluate
from mtkit.spec import RetrievalTask
from mtkit.standard.heads import Regression, UserPreference
from mtkit.standard.order_metrics import Auc
from mtkit.standard.prediction_metrics import Brier, LogLoss, Mae, Rmse
from mtkit.standard.ranking_metrics import Ndcg, Recall

USERS = 200


class Next(RetrievalTask):
    candidates: ClassVar = "catalog"


PLAN = Plan(
    {},
    {},
    {
        "next": Next(rows="windows", query=("user",), candidate=("item",)),
        "click": UserPreference(rows="lines", inputs=("user",), label="click"),
        "rating": Regression(rows="lines", inputs=("user",), label="rating"),
    },
)
SETTINGS = Evaluate(
    k=(3, 10),
    metrics={"recall": Recall(), "ndcg": Ndcg()},
    prediction_metrics={"auc": Auc(), "brier": Brier(), "log_loss": LogLoss(), "mae": Mae(), "rmse": Rmse()},
    main="next/ndcg@10",
)


def sums(shift, noise, seed=0, keys=("ndcg@10",)):
    values = np.random.default_rng(seed).normal(0.5, 0.1, USERS) + np.random.default_rng(seed + 1).normal(
        shift, noise, USERS
    )
    weights = np.ones(USERS)
    return UserSums("user", np.arange(USERS), weights, dict.fromkeys(keys, values), dict.fromkeys(keys, weights))


def mean(of, key="ndcg@10"):
    return float(of.totals[key].mean())


def test_a_task_is_judged_by_what_decides_and_a_prediction_by_a_score_and_an_order():
    measured = ["next/recall@3", "next/ndcg@3", "next/ndcg@10", "next/new/ndcg@10"]
    assert SETTINGS.judged("next", PLAN.tasks["next"], measured) == ("next/ndcg@10",)
    assert SETTINGS.judged("next", PLAN.tasks["next"], measured[:2]) == ("next/recall@3",)
    of_click = [f"click/{name}" for name in ("auc", "brier", "log_loss")]
    assert SETTINGS.judged("click", PLAN.tasks["click"], of_click) == ("click/brier", "click/auc")
    preferring = SETTINGS.model_copy(update={"main": "click/log_loss"})
    assert preferring.judged("click", PLAN.tasks["click"], of_click) == ("click/log_loss", "click/auc")
    assert SETTINGS.judged("rating", PLAN.tasks["rating"], ["rating/mae", "rating/rmse"]) == ("rating/rmse",)
    assert SETTINGS.judged("rating", PLAN.tasks["rating"], ["rating/mae"]) == ("rating/mae",)


def test_the_baseline_is_chosen_on_validation_though_another_is_better_on_the_test():
    one, other, model = sums(0, 0.01, 1), sums(0.2, 0.01, 2), sums(0.1, 0.01, 3)
    baselines = {"one": {"next/ndcg@10": mean(one)}, "other": {"next/ndcg@10": mean(other)}}
    valid = {"one": {"next/ndcg@10": 0.7}, "other": {"next/ndcg@10": 0.6}}
    by_user = {MODEL: {"next/": model}, "one": {"next/": one}, "other": {"next/": other}}
    (line,) = verdicts(PLAN, SETTINGS, {"next/ndcg@10": mean(model)}, baselines, valid, by_user)
    assert (line["baseline"], line["verdict"]) == ("one", "better")
    assert line["difference"] == pytest.approx(mean(model) - mean(one))
    assert line["interval"][0] < line["difference"] < line["interval"][1]
    assert line["p_holm"] == line["p"]


@pytest.mark.parametrize(("shift", "word"), [(0.05, "worse"), (-0.05, "better"), (0.0, "not told apart")])
def test_less_may_be_better(shift, word):
    base = sums(0, 0, 1, ("rmse",))
    model = replace(base, totals={"rmse": base.totals["rmse"] + np.random.default_rng(5).normal(shift, 0.1, USERS)})
    by_user = {MODEL: {"rating/": model}, "mean": {"rating/": base}}
    known = {"mean": {"rating/rmse": 0.5}}
    (line,) = verdicts(PLAN, SETTINGS, {"rating/rmse": 0.5}, known, known, by_user)
    assert line["verdict"] == word


def test_p_is_adjusted_for_all_lines_of_the_run():
    base, model = (sums(shift, 0.1, seed, ("auc", "brier")) for shift, seed in ((0, 1), (0.02, 9)))
    next_base, next_model = sums(0, 0.01, 1), sums(0.3, 0.01, 3)
    by_user = {
        MODEL: {"next/": next_model, "click/": model},
        "one": {"next/": next_base, "click/": base},
    }
    figures = {"next/ndcg@10": 0.5, "click/auc": 0.5, "click/brier": 0.5}
    lines = verdicts(PLAN, SETTINGS, figures, {"one": figures}, {"one": figures}, by_user)
    assert [(line["task"], line["metric"]) for line in lines] == [
        ("next", "ndcg@10"),
        ("click", "brier"),
        ("click", "auc"),
    ]
    order = sorted(lines, key=lambda line: line["p"])
    assert order[0]["p_holm"] == pytest.approx(min(1, 3 * order[0]["p"]))
    assert all(line["p_holm"] >= line["p"] for line in lines)


def test_what_cannot_be_tested_is_said():
    model = {"next/ndcg@10": {"mean": 0.5, "std": 0.1, "values": [0.4, 0.6]}, "click/auc": 0.6, "rating/rmse": None}
    known = {"one": {"next/ndcg@10": 0.4, "click/auc": math.nan}}
    lines = verdicts(PLAN, SETTINGS, model, known, known, {})
    assert [(line["task"], line["baseline"], line["verdict"]) for line in lines] == [
        ("next", "one", "not tested"),
        ("click", None, "no baseline"),
    ]
    assert lines[0]["difference"] == pytest.approx(0.1)
    assert lines[0]["interval"] is lines[0]["p"] is lines[0]["p_holm"] is None
