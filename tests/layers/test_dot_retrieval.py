"""The layer against loops of NumPy, and the kit."""

import numpy as np
import pytest

from mtkit.backend import keras, tf
from mtkit.distribute import gather_rolled
from mtkit.errors import WiringError
from mtkit.heads import Batch, Candidates
from mtkit.heads.retrieval import Positives
from mtkit.layers.dot_retrieval import DotRetrieval, hits
from mtkit.runtime.collectives import own_rows
from mtkit.testing import check_layer_config, check_retrieval_head

SIZE = 9


def _normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _head(**options):
    return DotRetrieval(["user", "past"], ["item"], SIZE, **options)


@pytest.mark.parametrize("loss", ["softmax", "squared", "binary", "bpr", "hinge"])
@pytest.mark.parametrize("negatives", ["catalog", "batch"])
def test_layer_conforms(loss, negatives):
    # In a batch what a bias does to margins may cancel, where all are smaller than 1.
    keras.utils.set_random_seed(0)
    head = _head(loss=loss, negatives=negatives, bias=negatives == "catalog", dim=3, hidden=(8,))
    query = {"user": 5 * _normal(6, 4), "past": _normal(6, 3, seed=1)}
    count = 6 if negatives == "batch" else SIZE
    check_retrieval_head(head, query, {"item": _normal(count, 4, seed=2)}, candidates=negatives)


def test_config():
    check_layer_config(_head(loss="bpr", negatives="uniform", number=3, shared=False, bias=True))
    options = {"normalize": True, "temperature": 0.1, "remove_accidental_hits": False, "correct_sampling": False}
    check_layer_config(_head(negatives="popularity", power=0.5, hard=2, dim=4, hidden=(8,), **options))
    check_layer_config(_head(loss="squared", others=0.1))
    check_layer_config(_head(negatives="batch", queue=5))


def test_towers_begin_as_sums_and_scores_have_biases():
    views = {name: tf.constant(_normal(5, 4, seed=seed)) for seed, name in enumerate(["user", "past", "item"])}
    ids, sums = tf.constant([1, 2, 8, 0, 3]), views["user"] + views["past"]
    for options in ({}, {"dim": 4}):
        head = _head(bias=True, **options)
        head.bias.assign(_normal(SIZE, seed=9))
        found = head.score(head.query(views), head.candidate(views, ids), Batch({}))
        expected = sums @ tf.transpose(views["item"]) + tf.gather(head.bias, ids)[None]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    head = _head(normalize=True)
    lengths = np.linalg.norm(head.query(views), axis=1), np.linalg.norm(head.candidate(views, ids), axis=1)
    np.testing.assert_allclose(lengths, np.ones((2, 5)), rtol=1e-6)


def test_embeddings_of_several_widths_need_towers():
    views = {"user": tf.ones([2, 3]), "past": tf.ones([2, 4])}
    with pytest.raises(WiringError, match=r"need one width, got user 3, past 4; give their encoders one `dim`, or"):
        _head(name="next").query(views)
    assert _head(dim=5).query(views).shape == (2, 5)


def _slow_softmax(query, candidates, temperature=1.0, remove=True):
    """Loss of each row by a loop: its own candidate, and those of other items, by what they stand for."""
    losses = []
    for row in range(len(query)):
        scores = candidates.embeddings.numpy().astype(np.float64) @ query[row] / temperature
        total, ids = np.exp(scores[row]), candidates.ids.numpy()
        for c in range(len(ids)):
            hit = ids[c] == ids[row] if remove else c == row
            if candidates.weights[c] > 0 and not hit:
                total += np.exp(scores[c]) / float(candidates.expected[c])
        losses.append(np.log(total) - scores[row])
    return losses


@pytest.mark.parametrize("remove", [True, False])
def test_the_loss_of_a_batch_is_corrected_and_leaves_out_hits(remove):
    query = _normal(4, 3)
    candidates = Candidates(
        tf.constant(_normal(7, 3, seed=1)),
        tf.constant([3, 5, 3, 1, 5, 8, 9]),
        tf.constant([1.0, 1, 1, 0, 1, 0, 1]),
        expected=tf.constant(np.float32([0.2, 1.5, 0.2, 0.7, 1.5, 3, 0.1])),
    )
    head = _head(negatives="batch", temperature=0.7, remove_accidental_hits=remove)
    loss = head.loss(tf.constant(query), candidates, Batch({}))
    np.testing.assert_allclose(loss, _slow_softmax(query, candidates, 0.7, remove), rtol=1e-5)
    if remove:
        plain = _head(negatives="batch", temperature=0.7, correct_sampling=False)
        alike = candidates._replace(expected=tf.ones(7))
        loss = plain.loss(tf.constant(query), candidates, Batch({}))
        np.testing.assert_allclose(loss, _slow_softmax(query, alike, 0.7), rtol=1e-5)


def test_rows_may_have_draws_of_their_own():
    query, own, drawn = _normal(2, 3), _normal(2, 3, seed=1), _normal(6, 3, seed=2)
    positives = Positives(tf.range(2), tf.constant([4, 2]), tf.constant(own))
    ids = tf.constant([4, 1, 2, 3, 2, 5])
    candidates = Candidates(tf.constant(drawn), ids, tf.ones(6), positives=positives, expected=tf.ones(6))
    loss = _head(loss="bpr", negatives="uniform", number=3, shared=False).loss(
        tf.constant(query), candidates, Batch({})
    )
    for row, rivals in ((0, (1, 2)), (1, (3, 5))):
        margins = [query[row] @ own[row] - query[row] @ drawn[rival] for rival in rivals]
        np.testing.assert_allclose(loss[row], np.mean([np.log1p(np.exp(-m)) for m in margins]), rtol=1e-5)


def test_squared_errors_of_large_catalogs_are_those_of_small_ones(monkeypatch):
    query, catalog = _normal(3, 4), _normal(SIZE, 4, seed=1)
    positives = Positives(tf.constant([0, 0, 2]), tf.constant([1, 5, 3]))
    there = tf.constant(np.float32([0, *[1] * (SIZE - 1)]))
    candidates = Candidates(tf.constant(catalog), tf.range(SIZE), there, positives=positives)
    head = _head(loss="squared", others=0.3)
    found = head.loss(tf.constant(query), candidates, Batch({}))
    monkeypatch.setattr("mtkit.layers.dot_retrieval.SCORED", 1)
    np.testing.assert_allclose(head.loss(tf.constant(query), candidates, Batch({})), found, rtol=1e-5)
    scores, target = query @ catalog.T, np.zeros((3, SIZE))
    target[[0, 0, 2], [1, 5, 3]] = 1
    errors = np.where(target > 0, 1, 0.3) * (scores - target) ** 2
    np.testing.assert_allclose(found, errors[:, 1:].sum(1), rtol=1e-5)


def test_hits_are_found_among_lists():
    rng = np.random.default_rng(0)
    lists = [[1, 4, 8], [], [2], [4, 5]]
    row = np.repeat(range(4), [len(one) for one in lists]).astype(np.int32)
    positives = Positives(tf.constant(row), tf.constant(np.concatenate(lists), tf.int32), tf.zeros([6, 1]))
    for ids in (rng.integers(0, SIZE, (1, 20)), rng.integers(0, SIZE, (4, 20))):
        found = hits(positives, tf.constant(ids, tf.int32), tf.constant(4), SIZE)
        expected = [[item in one for item in np.broadcast_to(ids, (4, 20))[n]] for n, one in enumerate(lists)]
        np.testing.assert_array_equal(found, expected)
        own = Positives(tf.range(4), tf.constant([1, 1, 5, 8]))
        given = tf.constant(ids, tf.int32), tf.constant(4), SIZE
        np.testing.assert_array_equal(hits(own._replace(single=True), *given), hits(own, *given))


def test_two_replicas_have_the_losses_of_one(two_replicas):
    query, embeddings = _normal(6, 3), _normal(6, 3, seed=1)
    ids, weights = np.array([3, 5, 3, 1, 5, 8]), np.float32([1, 1, 1, 0, 1, 1])
    shares = np.float32([0.1, 0.2, 0.1, 0.3, 0.2, 0.1])
    head = _head(negatives="batch")

    def local(context):
        share = slice(3 * context.replica_id_in_sync_group, 3 * context.replica_id_in_sync_group + 3)
        return tuple(tf.constant(values[share]) for values in (query, embeddings, ids, weights, shares))

    @tf.function
    def losses(rows):
        def of(own, *rest):
            found = Candidates(*map(gather_rolled, rest))
            return head.loss(own, found._replace(expected=found.shares), Batch({})), own_rows(tf.range(6))

        return two_replicas.run(of, rows)

    found, rows = losses(two_replicas.experimental_distribute_values_from_function(local))
    found, rows = (np.concatenate(two_replicas.experimental_local_results(values)) for values in (found, rows))
    whole = Candidates(*map(tf.constant, (embeddings, ids, weights, shares)), expected=tf.constant(shares))
    np.testing.assert_allclose(found, _slow_softmax(query, whole), rtol=1e-5)
    np.testing.assert_array_equal(rows, range(6))
