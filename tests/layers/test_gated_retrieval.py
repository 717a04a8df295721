from dataclasses import replace

import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.heads import Batch, Candidates, Lists, SharedValues
from mtkit.layers.gated_retrieval import GatedRetrieval
from mtkit.optimizers import precision_scope
from mtkit.testing import check_layer_config, check_retrieval_head

ROWS, SIZE, DIM, CHANNELS, ACTIVITY, POPULARITY = 4, 7, 3, 2, 2, 3


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def views(rng):
    query = {name: rng.normal(size=(ROWS, DIM)).astype(np.float32) for name in ("past", "user")}
    candidate = {name: rng.normal(size=(SIZE, DIM)).astype(np.float32) for name in ("item", "text")}
    return query, candidate


@pytest.fixture
def batch(rng):
    # No row has the last item as its target; row 3 has no past, and row 2 no target.
    channels = rng.normal(size=(4, CHANNELS)).astype(np.float32)
    own = {"id": np.array([1, 3, 5, 6], np.int32), "channels": channels}
    activity = rng.normal(size=(ROWS, ACTIVITY)).astype(np.float32)
    popularity = rng.normal(size=(2, SIZE, POPULARITY)).astype(np.float32)
    return Batch(
        ids={},
        lists={
            "target": Lists(np.array([0, 0, 1, 3], np.int64), {"item": np.array([1, 4, 2, 5], np.int32)}),
            "own": Lists(np.array([0, 0, 1, 2], np.int64), own),
        },
        dense={"activity": activity},
        shared={"popularity": SharedValues(np.array([0, 1, 1, 0], np.int32), popularity)},
    )


def _head(rng, discovery=3.0):
    head = GatedRetrieval(SIZE, CHANNELS, ACTIVITY, POPULARITY, discovery)
    head.set_weights([rng.normal(size=w.shape) for w in head.get_weights()])
    return head


def _slow_scores(head, query, candidate, batch):
    """The formula of the docstring, one pair at a time."""
    weights = {name: getattr(head, name).numpy() for name in (
        "bias", "prior", "prior_if_own", "pair", "pair_of_item", "pair_by_activity", "own_bias", "own_bias_of_item",
        "own_bias_by_activity", "new_bias_by_activity",
    )}  # fmt: skip
    past, popular = batch.lists["own"], batch.shared["popularity"]
    own = {
        (row, item): channels
        for row, item, channels in zip(past.row, past.values["id"], past.values["channels"], strict=True)
    }
    q, c = sum(query.values()), sum(candidate.values())
    scores = np.zeros((ROWS, SIZE))
    for row in range(ROWS):
        activity = batch.dense["activity"][row]
        for item in range(SIZE):
            popularity = popular.values[popular.index[row], item]
            score = weights["bias"][item] + weights["prior"] @ popularity
            if (row, item) in own:
                channels = own[row, item]
                by = weights["pair"] + weights["pair_of_item"][item] + activity @ weights["pair_by_activity"]
                score += weights["prior_if_own"] @ popularity + by @ channels
                score += weights["own_bias"] + weights["own_bias_of_item"][item]
                score += weights["own_bias_by_activity"] @ activity
            else:
                score += q[row] @ c[item] + weights["new_bias_by_activity"] @ activity
            scores[row, item] = score
    return scores, own


def _scores(head, views, batch):
    query, candidate = head.query(views[0]), head.candidate(views[1], tf.range(SIZE))
    return head.score(query, candidate, batch)


def test_scores_equal_a_slow_version(rng, views, batch):
    head = _head(rng)
    expected, _ = _slow_scores(head, *views, batch)
    np.testing.assert_allclose(_scores(head, views, batch), expected, rtol=1e-4, atol=1e-4)


def test_scores_of_some_items_are_those_of_the_whole(rng, views, batch):
    head = _head(rng)
    query, candidate = head.query(views[0]), head.candidate(views[1], tf.range(SIZE))
    items = np.stack([rng.permutation(SIZE)[:5] for _ in range(ROWS)]).astype(np.int32)
    items[0, :2] = 1, 3
    expected = np.take_along_axis(_slow_scores(head, *views, batch)[0], items, 1)
    np.testing.assert_allclose(head.score_some(query, candidate, items, batch), expected, rtol=1e-4, atol=1e-4)
    without = {"id": np.zeros(0, np.int32), "channels": np.zeros((0, CHANNELS), np.float32)}
    batch = replace(batch, lists={"own": Lists(np.zeros(0, np.int64), without)})
    expected = np.take_along_axis(_slow_scores(head, *views, batch)[0], items, 1)
    np.testing.assert_allclose(head.score_some(query, candidate, items, batch), expected, rtol=1e-4, atol=1e-4)


def test_loss_equals_a_slow_version(rng, views, batch):
    head = _head(rng)
    scores, own = _slow_scores(head, *views, batch)
    target = batch.lists["target"]
    targets = set(zip(target.row, target.values["item"], strict=True))
    there = np.arange(SIZE) > 0
    expected = np.zeros(ROWS)
    for row in range(ROWS):
        new = [item for item in range(SIZE) if there[item] and (row, item) not in own]
        normalizer = np.log(np.exp(scores[row, new]).sum())
        for item in range(SIZE):
            if there[item]:
                sign = 1 if (row, item) in targets else -1
                expected[row] += np.log1p(np.exp(-sign * scores[row, item]))
            if item in new and (row, item) in targets:
                expected[row] += 3.0 * (normalizer - scores[row, item])
    query, candidate = head.query(views[0]), head.candidate(views[1], tf.range(SIZE))
    candidates = Candidates(candidate, tf.range(SIZE), tf.constant(there, tf.float32))
    np.testing.assert_allclose(head.loss(query, candidates, batch), expected, rtol=1e-4)


def test_conforms(rng, views, batch):
    check_retrieval_head(_head(rng), *views, batch, candidates="catalog")


def test_computes_in_float32(rng, views, batch):
    with precision_scope("mixed_float16"):
        head = _head(rng)
    views = [{name: tf.cast(values, tf.float16) for name, values in view.items()} for view in views]
    assert _scores(head, views, batch).dtype == tf.float32


def test_config():
    check_layer_config(GatedRetrieval(SIZE, CHANNELS, ACTIVITY, POPULARITY, 1.5, name="next"))
