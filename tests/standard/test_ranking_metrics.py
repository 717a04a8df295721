import math

import numpy as np
import pytest

from mtkit.standard.ranking_metrics import Coverage, Hit, Mrr, Ndcg, Recall
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


def ndcg(hits, relevant, k):
    gain = sum(hit / math.log2(place + 2) for place, hit in enumerate(hits[:k]))
    return gain / sum(1 / math.log2(place + 2) for place in range(min(k, relevant)))


def hit(hits, relevant, k):
    return float(any(hits[:k]))


def mrr(hits, relevant, k):
    return next((1 / (place + 1) for place, hit in enumerate(hits[:k]) if hit), 0.0)


@pytest.mark.parametrize(("metric", "slow"), [(Recall(), recall), (Ndcg(), ndcg), (Hit(), hit), (Mrr(), mrr)])
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


@pytest.mark.parametrize("metric", [Recall(), Ndcg(), Hit(), Mrr()])
def test_is_1_where_everything_reachable_is_found(metric):
    ranking = Ranking(np.array([[3, 1], [2, 4]]), np.array([[True, True], [True, False]]), np.array([9, 1]), 5)
    assert metric.per_row(ranking, 2).tolist() == [1, 1]


@pytest.mark.parametrize("metric", [Recall(), Ndcg(), Hit(), Mrr(), Coverage()])
def test_is_nan_where_no_row_was_ranked(metric):
    empty = Ranking(np.zeros((0, 3), np.int32), np.zeros((0, 3), bool), np.zeros(0, np.int64), 0)
    assert math.isnan(metric.value(empty, 2))
