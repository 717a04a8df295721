import dataclasses
import math

import numpy as np
import pytest

from mtkit.standard.ranking_metrics import (
    Auc,
    Coverage,
    DebiasedNdcg,
    Diversity,
    Gini,
    Hit,
    Map,
    Miscalibration,
    Mrr,
    Ndcg,
    Novelty,
    PooledRecall,
    PopularityBias,
    Precision,
    Recall,
    Serendipity,
)
from mtkit.testing import check_spec
from mtkit.types import Ragged, Ranking


@pytest.fixture
def ranking():
    """Rows with more and with fewer relevant items than k; the last one had three candidates only."""
    generator = np.random.default_rng(0)
    items = np.array([generator.permutation(np.arange(1, 31))[:8] for _ in range(50)], np.int32)
    hits = generator.random(items.shape) < generator.random((50, 1)) ** 2
    items[-1, 3:], hits[-1, 3:] = 0, False
    relevant = np.maximum(hits.sum(axis=1), 1) + generator.integers(0, 12, 50)
    return Ranking(items, hits, relevant, catalog=30)


def recall(hits, relevant, k):
    return sum(hits[:k]) / min(k, relevant)


def precision(hits, relevant, k):
    return sum(hits[:k]) / k


def average_precision(hits, relevant, k):
    return sum(sum(hits[: place + 1]) / (place + 1) for place in range(k) if hits[place]) / min(k, relevant)


def ndcg(hits, relevant, k):
    gain = sum(hit / math.log2(place + 2) for place, hit in enumerate(hits[:k]))
    return gain / sum(1 / math.log2(place + 2) for place in range(min(k, relevant)))


def hit(hits, relevant, k):
    return float(any(hits[:k]))


def mrr(hits, relevant, k):
    return next((1 / (place + 1) for place, hit in enumerate(hits[:k]) if hit), 0.0)


SLOW = [
    (Recall(), recall),
    (Precision(), precision),
    (Map(), average_precision),
    (Ndcg(), ndcg),
    (Hit(), hit),
    (Mrr(), mrr),
]


@pytest.mark.parametrize(("metric", "slow"), SLOW)
@pytest.mark.parametrize("k", [1, 5, 8])
def test_equals_plain_loops(metric, slow, k, ranking):
    expected = [slow(list(map(bool, hits)), n, k) for hits, n in zip(ranking.hits, ranking.relevant, strict=True)]
    values = metric.per_row(ranking, k)
    assert values.dtype == np.float64
    np.testing.assert_allclose(values, expected, rtol=1e-12)
    assert metric.value(ranking, k) == pytest.approx(np.mean(expected))


def test_pooled_recall_counts_each_relevant_item_as_a_row(ranking):
    found = sum(sum(row[:3]) for row in ranking.hits)
    assert PooledRecall().value(ranking, 3) == found / sum(ranking.relevant)
    twice = np.arange(50) % 2 + 1
    rows = np.repeat(np.arange(50), twice)
    repeated = dataclasses.replace(
        ranking, items=ranking.items[rows], hits=ranking.hits[rows], relevant=ranking.relevant[rows]
    )
    assert PooledRecall().value(dataclasses.replace(ranking, weights=twice), 3) == PooledRecall().value(repeated, 3)


@pytest.mark.parametrize("k", [1, 8])
def test_coverage_counts_the_distinct_items_shown(k, ranking):
    shown = {item for row in ranking.items.tolist() for item in row[:k]} - {0}
    assert Coverage().value(ranking, k) == pytest.approx(len(shown) / 30)


@pytest.mark.parametrize("k", [1, 8])
def test_gini_is_half_the_mean_difference_over_the_mean(k, ranking):
    shown = [sum(row[:k].count(item) for row in ranking.items.tolist()) for item in range(1, 31)]
    difference = np.mean([abs(a - b) for a in shown for b in shown])
    assert Gini().value(ranking, k) == pytest.approx(difference / 2 / np.mean(shown))


def test_gini_of_equal_and_of_single_items():
    equal = Ranking(np.array([[1, 2], [3, 4]]), np.zeros((2, 2), bool), np.array([1, 1]), 4)
    assert Gini().value(equal, 2) == 0
    single = Ranking(np.array([[1], [1]]), np.zeros((2, 1), bool), np.array([1, 1]), 4)
    assert Gini().value(single, 1) == pytest.approx(3 / 4)


@pytest.mark.parametrize(
    ("metric", "of_share"), [(Novelty(), lambda s: -math.log2(s)), (PopularityBias(), lambda s: s)]
)
@pytest.mark.parametrize("k", [1, 8])
def test_popularity_of_the_items_shown(metric, of_share, k, ranking):
    shares = np.random.default_rng(1).uniform(0.01, 1, 31)
    known = dataclasses.replace(ranking, shares=shares)
    expected = [np.mean([of_share(shares[item]) for item in row[:k] if item]) for row in ranking.items.tolist()]
    np.testing.assert_allclose(metric.per_row(known, k), expected)
    assert metric.value(known, k) == pytest.approx(np.mean(expected))
    assert math.isnan(metric.value(ranking, k))


@pytest.mark.parametrize("metric", [Gini(), Novelty(), PopularityBias()])
def test_is_nan_where_nothing_was_recommended(metric):
    nothing = Ranking(np.zeros((1, 2), np.int32), np.zeros((1, 2), bool), np.array([1]), 2, np.ones(3))
    assert math.isnan(metric.value(nothing, 2))


@pytest.mark.parametrize("metric", [Recall(), Map(), Ndcg(), Hit(), Mrr()])
def test_is_1_where_everything_reachable_is_found(metric):
    ranking = Ranking(np.array([[3, 1], [2, 4]]), np.array([[True, True], [True, False]]), np.array([9, 1]), 5)
    assert metric.per_row(ranking, 2).tolist() == [1, 1]


@pytest.mark.parametrize("metric", [*dict(SLOW), Coverage(), Gini(), Novelty(), PopularityBias()])
def test_is_nan_where_no_row_was_ranked(metric):
    empty = Ranking(np.zeros((0, 3), np.int32), np.zeros((0, 3), bool), np.zeros(0, np.int64), 0)
    assert math.isnan(metric.value(empty, 2))


@pytest.mark.parametrize("k", [1, 8])
def test_serendipity_leaves_out_what_is_popular(k, ranking):
    shares = np.random.default_rng(1).integers(1, 9, 31) / 10
    popular = sorted(range(1, 31), key=lambda item: (-shares[item], item))[:k]
    expected = [
        sum(hit and item not in popular for item, hit in zip(items[:k], hits[:k], strict=True)) / k
        for items, hits in zip(ranking.items.tolist(), ranking.hits.tolist(), strict=True)
    ]
    known = dataclasses.replace(ranking, shares=shares)
    np.testing.assert_allclose(Serendipity().per_row(known, k), expected)
    assert 0 < Serendipity().value(known, 8) < Hit().value(ranking, 8)
    assert math.isnan(Serendipity().value(ranking, k))


@pytest.mark.parametrize("k", [1, 2, 8])
def test_diversity_is_over_pairs(k, ranking):
    """Unit vectors, of which some are null."""
    from scipy.sparse import csr_array

    vectors = np.random.default_rng(2).random((31, 4)) * (np.random.default_rng(3).random((31, 4)) < 0.5)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    assert not vectors.any(axis=1).all()
    expected = []
    for items in ranking.items[:, :k].tolist():
        shown = [item for item in items if item]
        pairs = [(a, b) for a in shown for b in shown if a < b]
        expected.append(np.mean([1 - vectors[a] @ vectors[b] for a, b in pairs]) if pairs else 0)
    known = dataclasses.replace(ranking, vectors={"item.x": csr_array(vectors)})
    metric = Diversity(by="item.x")
    check_spec(metric)
    assert metric.reads == ("item.x",)
    np.testing.assert_allclose(metric.per_row(known, k), expected)
    known = dataclasses.replace(ranking, vectors={"text": vectors})
    np.testing.assert_allclose(Diversity(by="text").per_row(known, k), expected)


def test_auc_is_the_mean_over_relevant_items():
    targets = Ragged(np.array([0, 2, 3]), {"item": np.array([1, 4, 2]), "above": np.array([1, 0.5, 0.25])})
    ranking = Ranking(np.zeros((2, 1), int), np.zeros((2, 1), bool), np.array([2, 1]), 5, targets=targets)
    assert Auc().per_row(ranking, 1).tolist() == [0.75, 0.25]
    assert Auc().keys("auc", [1, 5]) == {"auc": 5}
    assert Recall().keys("recall", [1, 5]) == {"recall@1": 1, "recall@5": 5}


def test_metrics_without_values_per_row():
    assert [metric.by_row for metric in (Coverage(), Gini(), Ndcg(), Auc())] == [False, False, True, True]
    assert [metric.lower_is_better for metric in (Gini(), PopularityBias(), Ndcg())] == [True, True, False]


@pytest.fixture
def known(ranking):
    """The same with all relevant items, those that are not in the top k too, and how popular items are."""
    generator = np.random.default_rng(3)
    shown = [items[hits].tolist() for items, hits in zip(ranking.items, ranking.hits, strict=True)]
    others = [generator.permutation(np.setdiff1d(np.arange(1, 31), items)).tolist() for items in ranking.items]
    relevant = [a + b[: n - len(a)] for a, b, n in zip(shown, others, ranking.relevant, strict=True)]
    offsets = np.append(0, np.cumsum(ranking.relevant))
    targets = Ragged(offsets, {"item": np.concatenate(relevant).astype(np.int32)})
    return dataclasses.replace(ranking, targets=targets, shares=generator.integers(1, 90, 31) / 100)


@pytest.mark.parametrize("k", [1, 3, 8])
@pytest.mark.parametrize("power", [0.5, 1.0])
def test_debiased_ndcg_equals_a_loop(known, k, power):
    found = DebiasedNdcg(power=power).per_row(known, k)
    for row, (items, hits) in enumerate(zip(known.items, known.hits, strict=True)):
        relevant = known.targets.values["item"][known.targets.offsets[row] : known.targets.offsets[row + 1]]
        best = sorted((known.shares[item] ** -power for item in relevant), reverse=True)
        gain = sum(known.shares[i] ** -power / math.log2(n + 2) for n, i in enumerate(items[:k]) if hits[n])
        assert found[row] == pytest.approx(gain / sum(w / math.log2(n + 2) for n, w in enumerate(best[:k])))


def test_debiased_ndcg_is_ndcg_where_popularity_does_not_matter_and_1_at_best(known):
    np.testing.assert_allclose(DebiasedNdcg(power=0).per_row(known, 8), Ndcg().per_row(known, 8))
    alike = dataclasses.replace(known, shares=np.full(31, 0.2))
    np.testing.assert_allclose(DebiasedNdcg().per_row(alike, 8), Ndcg().per_row(known, 8))
    one = Ranking(
        np.array([[2, 1]], np.int32), np.array([[True, True]]), np.array([2]), 2, np.array([1, 0.5, 0.01]),
        Ragged(np.array([0, 2]), {"item": np.array([1, 2], np.int32)}),
    )  # fmt: skip
    assert DebiasedNdcg().value(one, 2) == 1
    assert DebiasedNdcg().value(dataclasses.replace(one, items=one.items[:, ::-1]), 2) < 0.7
    assert math.isnan(DebiasedNdcg().value(dataclasses.replace(known, shares=None), 8))


def test_miscalibration_is_the_divergence_of_shares():
    """Items 1 and 2 are comedies, 3 is crime, 4 is both, 5 is nothing."""
    from scipy.sparse import csr_array

    vectors = csr_array(np.array([[0, 0], [1, 0], [1, 0], [0, 1], [0.5**0.5, 0.5**0.5], [0, 0]]))
    items = np.array([[1, 2], [1, 3], [4, 5], [5, 0]], np.int32)
    relevant = np.array([2, 1, 1, 1])
    targets = Ragged(np.array([0, 2, 3, 4, 5]), {"item": np.array([1, 3, 4, 3, 1])})
    found = Miscalibration(by="item.genre").per_row(
        Ranking(items, np.zeros((4, 2), bool), relevant, 5, targets=targets, vectors={"item.genre": vectors}), 2
    )
    half, certain = 0.5 * math.log(0.5 / 0.995) + 0.5 * math.log(0.5 / 0.005), math.log(1 / (0.99 * 0.5 + 0.01))
    np.testing.assert_allclose(found[:3], [half, 0.0, certain], atol=1e-12)
    assert np.isnan(found[3])
