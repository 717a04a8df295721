from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from pydantic import Field, PrivateAttr

from mtkit.conditions import Where
from mtkit.data.catalogs import make_fold
from mtkit.evaluation.baseline_tuning import Comparison, as_tuned, at_edges, labeled_rows
from mtkit.evaluation.metrics import RankingProtocol
from mtkit.recipe.plan import Plan
from mtkit.recipe.settings import Evaluate
from mtkit.spec import Baseline, Cut, EventsBaseline, RetrievalTask
from mtkit.standard.baselines import FadingPopularity
from mtkit.standard.factor_baselines import Ease
from mtkit.standard.order_metrics import Auc
from mtkit.standard.prediction_metrics import LogLoss
from mtkit.standard.ranking_metrics import Ndcg, Recall
from mtkit.standard.rows import Windows

VALID, TEST = Cut("valid", 60 * 86400, 80 * 86400), Cut("test", 80 * 86400, 100 * 86400)


class Oracle(Baseline):
    """Knows what is bought at random, as often as `share` says, and notes what it was shown."""

    form = "retrieval"
    share: float = 0.0
    seen: list[tuple[int, int]] = Field([])

    def grid(self):
        return [self.model_copy(update={"share": share}) for share in (0.1, 0.9, 0.5)]

    def rank(self, events, cut, items):
        self.seen.append((cut, int(events.time.max())))
        bought = np.zeros((len(events.offsets) - 1, items))
        future = events.time >= cut
        user, item = (values[future] for values in list(events.ids.values())[:2])
        told = np.random.default_rng(0).random(len(user)) < self.share
        bought[user[told], item[told]] = 1
        return lambda users: bought[users]


class Constant(Baseline):
    """Gives every row the same probability."""

    form = "prediction"
    probability: float = 0.5

    def grid(self):
        return [self.model_copy(update={"probability": p}) for p in (0.1, 0.6, 0.9)]

    def predict(self, train, rows):
        return np.full(len(rows.labels), self.probability) if rows.classes == 2 else None


class Nothing(Baseline):
    form = "retrieval"
    size: int = 1

    def grid(self):
        return [self, self.model_copy(update={"size": 2})]

    def rank(self, events, cut, items):
        return None


@pytest.fixture
def valid(shop):
    fold = make_fold(shop, VALID, {})
    windows = Windows(batch_size=8)
    return fold, {"windows": {part: replace(windows.make(fold, part), name="windows") for part in ("train", "eval")}}


class Next(RetrievalTask):
    candidates: ClassVar = "catalog"


@pytest.fixture
def comparison(valid):
    """`comparison(main)` of two retrieval tasks on the same windows."""
    tasks = {name: Next(rows="windows", query=("user",), candidate=("item",)) for name in ("next", "again")}
    metrics = {"ndcg": Ndcg(), "recall": Recall()}

    def make(main="next/recall@3"):
        settings = Evaluate(k=(3,), metrics=metrics, main=main)
        return Comparison(Plan({}, {}, tasks), *valid, settings, RankingProtocol(metrics, [3], [], 100))

    return make


@pytest.fixture
def predicting(tiny_pipeline):
    """`predicting(main)`: the prediction tasks of the tiny shop."""
    plan = tiny_pipeline.plan
    plan = Plan(plan.encoders, plan.correlations, plan.predictions())
    metrics = {"auc": Auc(), "log_loss": LogLoss()}

    def make(main):
        settings = Evaluate(prediction_metrics=metrics, main=main)
        return Comparison(plan, tiny_pipeline.fold, tiny_pipeline.tables, settings, RankingProtocol({}, [3], [], 100))

    return make


class SeesEvents(EventsBaseline):
    """Ranks by what will be had most, if it is given some events alone, and else by what will be had least."""

    _seen: list = PrivateAttr(default_factory=list)

    def rank(self, events, cut, items):
        self._seen.append(len(events))
        later = np.bincount(events.ids["item"][events.time >= cut], minlength=items) * (1.0 if self.where else -1.0)
        return lambda users: np.tile(later, (len(users), 1))


def test_events_of_the_targets_and_all_events_are_tried(comparison, valid):
    """What is best on validation is kept; a condition that the recipe sets stays."""
    where, other = (Where.model_validate({"store": store}) for store in ("north", "south"))
    rows = {"windows": Windows(batch_size=8, where=where)}
    compared, counting = replace(comparison(), rows=rows), SeesEvents()
    tuned = compared.tune({"counting": counting})["counting"]
    assert {task: baseline.where for task, baseline in tuned.items()} == {"next": where, "again": where}
    events = valid[0].events
    assert counting._seen == [len(events), events.columns["store"].to_pylist().count("north")]
    assert {b.where for b in compared.tune({"set": SeesEvents(where=other)})["set"].values()} == {other}
    assert {b.where for b in comparison().tune({"counting": SeesEvents()})["counting"].values()} == {None}


def test_tuning_takes_the_best_setting_of_validation_and_sees_nothing_later(comparison):
    oracle = Oracle()
    tuned = comparison().tune({"oracle": oracle})
    assert {task: baseline.share for task, baseline in tuned["oracle"].items()} == {"next": 0.9, "again": 0.9}
    assert len(oracle.seen) == 3  # each setting once, for all tasks
    assert all(cut == VALID.cut and latest < VALID.end <= TEST.cut for cut, latest in oracle.seen)


def test_each_task_is_decided_by_the_metric_of_main_or_its_own_first(comparison, predicting):
    assert comparison()._deciding("again")[0] == "again/recall@3"
    assert comparison("next/ndcg@3")._deciding("again")[0] == "again/ndcg@3"
    assert comparison("other/mrr@3")._deciding("again")[0] == "again/ndcg@3"
    assert predicting("gift/log_loss")._deciding("discounted")[0] == "discounted/log_loss"


def test_a_loss_is_best_where_it_is_lowest_and_what_is_undefined_never_wins(predicting):
    rate = {}
    for task in ("gift", "discounted"):
        table = predicting("gift/auc").tables[predicting("gift/auc").plan.tasks[task].rows]["eval"]
        rate[task] = np.average(table.labels[task], weights=table.weights[task])
    expected = {
        task: min((0.1, 0.6, 0.9), key=lambda p, r=r: -r * np.log(p) - (1 - r) * np.log(1 - p))
        for task, r in rate.items()
    }
    tuned = predicting("gift/log_loss").tune({"constant": Constant()})["constant"]
    assert {task: tuned[task].probability for task in expected} == expected
    assert tuned["department"].probability == 0.1  # it does not apply: nothing decides


def test_settings_are_kept_as_plain_values(comparison, predicting):
    for made, baselines in (
        (comparison(), {"oracle": Oracle(seen=[])}),
        (predicting("gift/auc"), {"constant": Constant()}),
    ):
        plain, judged = made.results(baselines)
        tuned = as_tuned(baselines, plain)
        assert made.results(baselines, tuned) == (plain, judged)
        assert made.judge(tuned) == judged


def test_equal_settings_are_fitted_once(comparison):
    oracle = Oracle(share=0.5)
    results = comparison().judge({"oracle": dict.fromkeys(("next", "again"), oracle)})["oracle"]
    assert len(oracle.seen) == 1
    assert results["next/recall@3"] == results["again/recall@3"] > 0
    other = Oracle(share=0.1)
    results = comparison().judge({"oracle": {"next": oracle, "again": other}})["oracle"]
    assert results["next/recall@3"] > results["again/recall@3"]


def test_a_baseline_that_does_not_apply_has_no_values(comparison):
    tuned = comparison().tune({"nothing": Nothing()})
    assert tuned["nothing"]["next"].size == 1
    assert comparison().judge(tuned) == {"nothing": {}}


def test_the_test_fold_does_not_change_what_validation_sees(shop, make_shop):
    """Whatever comes after validation: the fold that tunes is the same."""
    from mtkit.types import Dataset

    time = shop.interactions["when"].to_numpy()
    early = Dataset(shop.interactions.filter(time < VALID.end), shop.entities, shop.schema)
    one, other = (make_fold(dataset, VALID, {}).events for dataset in (shop, early))
    np.testing.assert_array_equal(one.time, other.time)


def test_judged_are_all_tasks_that_a_baseline_fits(tiny_pipeline):
    recipe, plan = tiny_pipeline.recipe, tiny_pipeline.plan
    fold, tables, settings = tiny_pipeline.fold, tiny_pipeline.tables, recipe.evaluate
    comparison = Comparison(plan, fold, tables, settings, tiny_pipeline.protocol())
    _, results = comparison.results(settings.baselines)
    assert results.keys() == {"popularity", "own_frequency", "majority"}
    assert {key.split("/")[0] for key in results["popularity"]} == {"next"}
    assert {key.split("/")[0] for key in results["majority"]} == {"discounted", "gift", "department"}
    events, users = tiny_pipeline.fold.events, tiny_pipeline.fold.events.ids["user"]
    known = events.time < tiny_pipeline.fold.cut
    table = tiny_pipeline.tables["windows"]["eval"]
    counts = [len(set(users[known & (events.ids["item"] == item)])) for item in range(41)]
    top = sorted(range(1, 41), key=lambda item: (-counts[item], item))[:3]
    recalls = []
    for row in range(len(table)):
        targets = set(table.lists["target"].values["item"][slice(*table.lists["target"].offsets[row : row + 2])])
        recalls.append(len(targets & set(top)) / min(3, len(targets)))
    assert results["popularity"]["next/recall@3"] == pytest.approx(np.mean(recalls))


def test_rows_have_the_features_that_the_task_reads(tiny_pipeline):
    fold, plan = tiny_pipeline.fold, tiny_pipeline.plan
    table = tiny_pipeline.tables["lines"]["eval"]
    features = ("user.id", "user.age", "item.color", "context.hour", "history.item", "history.channel", "history.price")
    rows = labeled_rows(fold, table, "gift", features)
    assert rows.kinds == {
        "item.text": "text",
        "user.id": "id",
        "user.age": "numeric",
        "item.color": "categorical",
        "context.hour": "numeric",
    }
    assert rows.columns.keys() == rows.kinds.keys()
    item = fold.entities["item"].columns["color"].to_pylist()
    assert rows.columns["item.color"].tolist() == [item[i] for i in table.ids["item"]]
    np.testing.assert_array_equal(rows.columns["user.id"], table.ids["user"])
    np.testing.assert_array_equal(rows.columns["context.hour"], table.context["hour"])
    assert {"item.color", "context.channel"} <= set(plan.features("gift"))


def test_settings_at_the_edge_of_a_grid_are_told():
    baselines = {"ease": Ease(l2s=(1, 2, 3)), "two": Ease(l2s=(1, 2)), "fading": FadingPopularity(half_lives=(0, 5, 9))}
    chosen = {
        "ease": {"a": Ease(l2=3), "b": Ease(l2=2), "c": Ease(l2=1)},
        "two": {"a": Ease(l2=2)},
        "fading": {"a": FadingPopularity(half_life=0), "b": FadingPopularity(half_life=9)},
    }
    assert at_edges(baselines, chosen) == {"ease": {"a": ["l2"], "c": ["l2"]}, "fading": {"b": ["half_life"]}}
