from dataclasses import replace

import numpy as np
import pytest
from pydantic import Field

from mtkit.compare import best_of, judge, tune
from mtkit.data.fold import make_fold
from mtkit.measure import RankingProtocol
from mtkit.plan import Plan
from mtkit.spec import Baseline, Cut
from mtkit.standard.ranking_metrics import Ndcg
from mtkit.standard.rows import Windows

VALID, TEST = Cut("valid", 60 * 86400, 80 * 86400), Cut("test", 80 * 86400, 100 * 86400)
PROTOCOL = RankingProtocol({"ndcg": Ndcg()}, [3], ["new"], 100)
KEY = "next/ndcg@3"


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


@pytest.fixture
def valid(shop):
    fold = make_fold(shop, VALID, {})
    windows = Windows(batch_size=8)
    return fold, {"windows": {part: replace(windows.make(fold, part), name="windows") for part in ("train", "eval")}}


def test_tuning_takes_the_best_setting_of_validation_and_sees_nothing_later(valid):
    fold, tables = valid
    oracle = Oracle()
    tuned = tune({"oracle": oracle}, "next", fold, tables["windows"]["eval"], PROTOCOL, KEY)
    assert tuned["oracle"].share == 0.9
    assert len(oracle.seen) == 3
    assert all(cut == VALID.cut and latest < VALID.end <= TEST.cut for cut, latest in oracle.seen)


def test_the_test_fold_does_not_change_what_validation_sees(shop, make_shop):
    """Whatever comes after validation: the fold that tunes is the same."""
    from mtkit.types import Dataset

    time = shop.interactions["when"].to_numpy()
    early = Dataset(shop.interactions.filter(time < VALID.end), shop.entities, shop.schema)
    one, other = (make_fold(dataset, VALID, {}).events for dataset in (shop, early))
    np.testing.assert_array_equal(one.time, other.time)


def test_judged_are_all_tasks_that_a_baseline_fits(tiny_pipeline):
    recipe, plan = tiny_pipeline.recipe, tiny_pipeline.plan
    results = judge(
        recipe.evaluate.baselines,
        Plan(plan.encoders, plan.correlations, plan.tasks),
        tiny_pipeline.fold,
        tiny_pipeline.tables,
        RankingProtocol.of(recipe.evaluate, tiny_pipeline.fold),
        recipe.evaluate.prediction_metrics,
    )
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
        targets = set(table.targets.values["item"][slice(*table.targets.offsets[row : row + 2])])
        recalls.append(len(targets & set(top)) / min(3, len(targets)))
    assert results["popularity"]["next/recall@3"] == pytest.approx(np.mean(recalls))


def test_best_of_passes_over_what_is_undefined():
    results = {"a": {KEY: 0.2}, "b": {KEY: float("nan")}, "c": {KEY: 0.3}, "d": {}}
    assert best_of(results, KEY) == ("c", 0.3)
    assert best_of(results, "other") is None
