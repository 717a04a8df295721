"""The scores and the order of candidates, beside those of the head and of NumPy."""

import numpy as np
import pytest
from asking import ids_of

from mtkit.backend import tf
from mtkit.feed.batch import Batch, Lists
from mtkit.heads import RetrievalHead
from mtkit.serving.candidates import Candidates, best
from mtkit.serving.servable import Servable


def nothing():
    """No items of one row."""
    return tf.zeros([1, 0], tf.int32)


MOST = np.finfo(np.float32).max


def dot(embeddings):
    return Candidates(RetrievalHead(), tf.constant(embeddings, tf.float32), Batch({}))


@pytest.fixture
def drawn():
    rng = np.random.default_rng(0)
    return rng.normal(size=(4, 6)).astype(np.float32), rng.normal(size=(30, 6)).astype(np.float32)


def test_factored_scores_are_those_of_the_head(tiny_pipeline):
    """Weights are drawn, for those of an untrained head would leave out parts of its scores."""
    head = tiny_pipeline.model.heads["next"]
    before, rng = head.get_weights(), np.random.default_rng(0)
    try:
        head.set_weights([rng.normal(size=weights.shape) for weights in before])
        servable = Servable(tiny_pipeline, "next", unseen=False)
        batch = servable.known("user").batch({"user_id": tf.constant([*ids_of(tiny_pipeline, "user"), "nobody"])})
        rows = servable.request("next", batch)
        expected = head.score(head.queries(rows), head.catalog(rows), batch)
        assert head.factored
        np.testing.assert_allclose(
            servable.candidates.scores(head.queries(rows), batch), expected, rtol=1e-4, atol=1e-4
        )
    finally:
        head.set_weights(before)


def test_the_best_are_those_of_a_stable_sort(drawn):
    query, items = drawn
    items[7:20] = items[7]
    excluded = np.array([[3, 9, 0], [0, 0, 0], [29, 29, 7], [1, 2, 3]], np.int32)
    candidates = dot(items)
    top, items_of = best(candidates.scores(tf.constant(query), Batch({})), tf.constant(12), tf.constant(excluded))
    for row, out, scores, found in zip(query @ items.T, excluded, top.numpy(), items_of.numpy(), strict=True):
        left = [item for item in np.argsort(-row.round(4), kind="stable") if item not in {0, *out}]
        assert found.tolist() == left[:12]
        np.testing.assert_allclose(scores, row[found], rtol=1e-5)


def test_queries_that_are_no_numbers_have_scores(drawn):
    query, items = drawn
    query[0, 2], query[1], query[2, 0] = np.nan, MOST, -np.inf
    scores = dot(items).scores(tf.constant(query), Batch({})).numpy()
    assert np.isfinite(scores[scores != np.inf]).all()
    np.testing.assert_allclose(scores[3], query[3] @ items.T, rtol=1e-4, atol=1e-5)
    top, _ = best(tf.constant(scores), tf.constant(30), nothing())
    assert np.isfinite(top).all()
    assert dot(items).scores(tf.zeros([0, 6]), Batch({})).shape == (0, 30)


def test_among_finds_what_is_in_the_lists_of_a_row(drawn):
    own = Lists(tf.constant([0, 0, 3], tf.int64), {"id": tf.constant([2, 29, 1])})
    items = tf.constant([[29, 1, 2], [2, 29, 1], [0, 0, 0], [1, 0, 29]])
    expected = [[True, False, True], [False] * 3, [False] * 3, [True, False, False]]
    assert dot(drawn[1]).among(own, items).numpy().tolist() == expected
    empty = Lists(tf.zeros([0], tf.int64), {"id": tf.zeros([0], tf.int32)})
    assert not dot(drawn[1]).among(empty, items).numpy().any()
