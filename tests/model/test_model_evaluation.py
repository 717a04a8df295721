from dataclasses import replace

import numpy as np
import pytest
from passes import answers, scorer

from mtkit.evaluation.metrics import RankingProtocol, rank_metrics
from mtkit.model.model_evaluation import evaluate
from mtkit.types import MetricKey


@pytest.fixture(scope="module")
def results(tiny_pipeline):
    return evaluate(tiny_pipeline)


def sets(ragged, name, row):
    return set(ragged.values[name][ragged.offsets[row] : ragged.offsets[row + 1]].tolist())


def brute_force(scores, table, k, *, new):
    """Recall and NDCG at k of each row, sorted by hand."""
    recalls, gains = [], []
    for row, values in enumerate(scores):
        own = sets(table.lists["own"], "id", row) if new else set()
        relevant = sets(table.lists["target"], "item", row) - own
        if not relevant:
            continue
        candidates = [item for item in range(1, len(values)) if item not in own]
        top = sorted(candidates, key=lambda item: (-values[item], item))[:k]
        hits = [item in relevant for item in top]
        best = min(k, len(relevant))
        recalls.append(sum(hits) / best)
        gains.append(sum(h / np.log2(i + 2) for i, h in enumerate(hits)) / sum(1 / np.log2(i + 2) for i in range(best)))
    return np.mean(recalls), np.mean(gains)


@pytest.mark.parametrize("new", [False, True])
def test_rankings_equal_brute_force(tiny_pipeline, results, new):
    table = tiny_pipeline.tables["windows"]["eval"]
    scores = scorer(tiny_pipeline.model, "next", tiny_pipeline.model.feed.rows["windows/eval"])(np.arange(len(table)))
    for k in (3, 10):
        recall, ndcg = brute_force(scores, table, k, new=new)
        part = "new/" if new else ""
        assert results[f"next/{part}recall@{k}"] == pytest.approx(recall)
        assert results[f"next/{part}ndcg@{k}"] == pytest.approx(ndcg)


def test_against_a_sample_the_catalog_is_not_scored(tiny_pipeline, monkeypatch):
    protocol = replace(tiny_pipeline.protocol(), sampled=7)
    score = scorer(tiny_pipeline.model, "next", tiny_pipeline.model.feed.rows["windows/eval"])
    expected = rank_metrics("next", score, tiny_pipeline.tables["windows"]["eval"], protocol)
    monkeypatch.setattr(tiny_pipeline.model.heads["next"], "score", None)
    found = evaluate(tiny_pipeline, protocol, tasks=["next"])
    assert found == pytest.approx(expected)
    assert "next/new/ndcg@3" in found


def test_predictions_do_not_depend_on_the_block(tiny_pipeline, results):
    rows = tiny_pipeline.model.feed.rows["lines/eval"]
    whole = answers(tiny_pipeline.model, ["discounted", "gift"], rows, 10_000)
    parts = answers(tiny_pipeline.model, ["discounted", "gift"], rows, 7)
    for task in whole:
        np.testing.assert_allclose(parts[task], whole[task], atol=1e-6)
    labels = tiny_pipeline.tables["lines"]["eval"].labels["discounted"]
    assert results["discounted/accuracy"] == pytest.approx(np.mean((whole["discounted"] >= 0.5) == labels))


def test_every_task_is_measured(tiny_pipeline, results):
    settings = tiny_pipeline.recipe.evaluate
    keys = [key for name, task in tiny_pipeline.plan.tasks.items() for key in settings.keys(name, task)]
    assert results.keys() <= set(keys)
    told = {key for key in keys if not key.startswith("department/new/")}  # rows of items, which are new to nobody
    assert results.keys() <= told
    assert {key for key in told if not key.endswith("auc")} <= results.keys()


def test_the_block_of_a_ranking_does_not_matter(tiny_pipeline, results):
    table = tiny_pipeline.tables["windows"]["eval"]
    score = scorer(tiny_pipeline.model, "next", tiny_pipeline.model.feed.rows["windows/eval"])
    settings = tiny_pipeline.recipe.evaluate
    protocol = RankingProtocol(settings.metrics, settings.k, settings.slices, 5)
    for key, value in rank_metrics("next", score, table, protocol).items():
        assert value == pytest.approx(results[key])
    only = protocol.only(MetricKey("next", "new", "ndcg", 3))
    assert rank_metrics("next", score, table, only)["next/new/ndcg@3"] == pytest.approx(results["next/new/ndcg@3"])
