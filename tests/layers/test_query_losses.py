import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.layers.query_losses import APPROXIMATION, LOSSES, Query, rows_of_queries

RNG = np.random.default_rng(0)
QUERIES = np.array([4, 1, 4, 7, 1, 4, 1, 1, 9, 4], np.int32)
SCORES = RNG.normal(size=10).astype(np.float32)
GRADED = np.array([0, 2, 1, 1, 0, 3, 0, 1, 0, 0], np.float32)
BINARY = np.minimum(GRADED, 1)
THERE = np.array([1, 1, 1, 1, 1, 1, 0, 1, 1, 1], np.float32)


def query(labels, weights=THERE, scores=SCORES):
    places, exist = rows_of_queries(QUERIES, QUERIES)
    of = [tf.gather(tf.convert_to_tensor(values), places) for values in (scores, labels, weights)]
    return Query(tf.convert_to_tensor(scores), tf.constant(labels), *of[:2], tf.where(exist, of[2], 0.0))


def members(number):
    return np.flatnonzero((number == QUERIES) & (THERE > 0))


def dcg(labels, ranks):
    return np.sum((2.0**labels - 1) / np.log2(1 + ranks))


def listnet(s, y):
    return -np.sum(y / y.sum() * (s - np.log(np.exp(s).sum())))


def lambdarank(s, y):
    ranks, ideal = 1 + np.argsort(np.argsort(-s)), dcg(np.sort(y)[::-1], 1 + np.arange(len(y)))
    total = 0
    for i in range(len(s)):
        for j in range(len(s)):
            if y[i] > y[j]:
                swapped = ranks.copy()
                swapped[i], swapped[j] = ranks[j], ranks[i]
                total += abs(dcg(y, ranks) - dcg(y, swapped)) / ideal * np.log1p(np.exp(s[j] - s[i]))
    return total


def approx_ndcg(s, y):
    ranks = [
        1 + sum(1 / (1 + np.exp((s[i] - s[j]) / APPROXIMATION)) for j in range(len(s)) if j != i) for i in range(len(s))
    ]
    return 1 - dcg(y, np.array(ranks)) / dcg(np.sort(y)[::-1], 1 + np.arange(len(y)))


SLOW = {"listnet": listnet, "lambdarank": lambdarank, "approx_ndcg": approx_ndcg}


def test_all_rows_of_a_query_are_found():
    places, exist = rows_of_queries(QUERIES[:3], QUERIES)
    for row, number in enumerate(QUERIES[:3]):
        assert set(places[row].numpy()[exist[row]]) == set(np.flatnonzero(number == QUERIES))
    assert places.shape == (3, 4)


@pytest.mark.parametrize("labels", [BINARY, GRADED], ids=["binary", "graded"])
@pytest.mark.parametrize("name", LOSSES)
def test_rows_add_up_to_the_loss_of_each_query(name, labels):
    losses, shares = (values.numpy() for values in LOSSES[name](query(labels)))
    shares = shares * THERE
    for number in np.unique(QUERIES):
        rows = members(number)
        if labels[rows].any():
            assert shares[rows].sum() == pytest.approx(1, abs=1e-6)
            expected = SLOW[name](SCORES[rows].astype(float), labels[rows].astype(float))
            assert (losses * shares)[rows].sum() == pytest.approx(expected, rel=1e-5, abs=1e-6)
        else:
            assert not shares[rows].any()
    assert np.isfinite(losses).all()


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_the_loss_of_all_rows_together(name):
    scores = tf.Variable(SCORES)
    with tf.GradientTape() as tape:
        losses, shares = LOSSES[name](query(GRADED, scores=scores))
        total = tf.reduce_sum(losses * shares * THERE)
    found = tape.gradient(total, scores).numpy()
    for number in (1, 4):
        rows, step = members(number), 1e-4
        s, y = SCORES[rows].astype(float), GRADED[rows].astype(float)
        for place, row in enumerate(rows):
            moved = [s + sign * step * (np.arange(len(s)) == place) for sign in (1, -1)]
            slope = (SLOW[name](moved[0], y) - SLOW[name](moved[1], y)) / (2 * step)
            assert found[row] == pytest.approx(slope, abs=2e-4)
    assert not found[QUERIES == 9].any()


@pytest.mark.parametrize("name", LOSSES)
def test_rows_of_weight_0_are_not_there(name):
    moved = np.where(THERE > 0, SCORES, 50).astype(np.float32)
    labels = np.where(THERE > 0, GRADED, 5).astype(np.float32)
    for found, expected in zip(LOSSES[name](query(labels, scores=moved)), LOSSES[name](query(GRADED)), strict=True):
        np.testing.assert_allclose(found[THERE > 0], expected[THERE > 0], rtol=1e-5, atol=1e-6)


def test_a_better_order_costs_less():
    best = np.where(GRADED > 0, GRADED, -1).astype(np.float32)
    for name, loss in LOSSES.items():
        costs = [tf.reduce_sum(tf.multiply(*loss(query(GRADED, scores=s))) * THERE) for s in (best, -best)]
        assert costs[0] < costs[1], name
