import dataclasses
import math

import numpy as np
import pytest

from mtkit.standard.ranking_metrics import (
    Coverage,
    Gini,
    Hit,
    Map,
    Mrr,
    Ndcg,
    Novelty,
    PopularityBias,
    Precision,
    Recall,
)
from mtkit.types import Ranking


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
