"""The draw of cold items, and rankings of them without a model."""

from itertools import permutations

import cold_items
import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def shop():
    """Pairs of 30 users and 40 items, each with a text."""
    rng = np.random.default_rng(3)
    events = pd.DataFrame({"user": rng.integers(30, size=300), "item": 100 + rng.integers(40, size=300)})
    items = pd.DataFrame({"id": 100 + np.arange(40), "text": [f"text {item}" for item in range(40)]})
    return events.drop_duplicates(), items


def test_what_is_known_has_no_cold_item_and_targets_have_no_other(shop):
    drawn = cold_items.draw(*shop, seed=0)
    cold = set(drawn.items["id"].iloc[drawn.cold])
    assert len(cold) == 8
    assert cold.isdisjoint(drawn.known["item"])
    assert cold.issuperset(drawn.targets["item"])
    assert set(drawn.users) <= set(drawn.known["user"])


def test_matrices_hold_the_pairs(shop):
    drawn = cold_items.draw(*shop, seed=1)
    for matrix, rows, pairs in (drawn.past, drawn.warm, drawn.known), (drawn.relevant, drawn.cold, drawn.targets):
        ids = drawn.items["id"].to_numpy()[rows]
        found = {(drawn.users[user], ids[item]) for user, item in np.argwhere(matrix)}
        assert found == {pair for pair in pairs.itertuples(index=False, name=None) if pair[0] in set(drawn.users)}


def test_items_for_choosing_settings_are_never_tested(shop):
    development = set(cold_items.draw(*shop, seed=cold_items.DEVELOPMENT).cold)
    drawn = [set(cold_items.draw(*shop, seed=seed).cold) for seed in range(20)]
    assert all(cold.isdisjoint(development) for cold in drawn)
    assert set().union(*drawn) == set(range(40)) - development


def test_ndcg_of_any_order_is_the_mean_over_all_orders():
    relevant = np.array([[1, 0, 0, 1, 0], [0, 0, 1, 0, 0], [1, 1, 1, 1, 1]], np.float32)
    values = [cold_items.ndcg(np.tile(order, (3, 1)), relevant) for order in permutations(range(5))]
    assert cold_items.ndcg_of_any_order(relevant) == pytest.approx(np.mean(values))


def test_only_the_first_ten_count():
    relevant = np.eye(1, 12, 10)
    scores = -np.arange(12.0)[None]
    assert cold_items.ndcg(scores, relevant) == 0
    assert cold_items.ndcg(scores[:, ::-1], relevant) == pytest.approx(1 / np.log2(3))


def test_hindsight_leaves_out_the_user(shop):
    drawn = cold_items.draw(*shop, seed=0)
    user, item = np.argwhere(drawn.relevant)[0]
    others = np.delete(drawn.relevant[:, item], user)
    assert cold_items.hindsight(drawn)[user, item] == others.sum()


def test_content_knn_is_the_mean_cosine_up_to_the_number_of_past_items(shop):
    drawn = cold_items.draw(*shop, seed=0)
    vectors = np.random.default_rng(0).normal(5, 1, (40, 6))
    center = vectors[drawn.warm].mean(axis=0)
    expected = [
        sum(
            (vectors[own] - center) @ (vectors[cold] - center)
            / np.linalg.norm(vectors[own] - center) / np.linalg.norm(vectors[cold] - center)
            for own in drawn.warm[drawn.past[0] > 0]
        )
        for cold in drawn.cold
    ]  # fmt: skip
    assert cold_items.content_knn(drawn, vectors)[0] == pytest.approx(expected)


def test_content_ridge_is_least_squares_with_extra_rows(shop):
    drawn = cold_items.draw(*shop, seed=0)
    vectors = np.random.default_rng(0).normal(size=(40, 6))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = np.concatenate([unit[drawn.warm], np.sqrt(2.0) * np.eye(6)])
    weights, *_ = np.linalg.lstsq(rows, np.append(drawn.past[0], np.zeros(6)), rcond=None)
    assert cold_items.content_ridge(drawn, vectors, 2.0)[0] == pytest.approx(unit[drawn.cold] @ weights)
