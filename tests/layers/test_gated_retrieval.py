from dataclasses import replace

import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.heads import Batch, Candidates, Lists, SharedValues
from mtkit.heads.retrieval import Positives
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


def _head(rng, discovery=3.0, **options):
    head = GatedRetrieval(SIZE, CHANNELS, ACTIVITY, POPULARITY, discovery, **options)
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


def _slow_loss(head, views, batch, stands_for):
    """The formula of the docstring; of items of no past, and no targets, each stands for so many."""
    scores, own = _slow_scores(head, *views, batch)
    target = batch.lists["target"]
    targets = set(zip(target.row, target.values["item"], strict=True))
    losses = np.zeros(ROWS)
    for row in range(ROWS):
        counts = [
            1.0 if (row, item) in targets or (row, item) in own else stands_for.get(item, 0.0) for item in range(SIZE)
        ]
        new = [item for item in range(1, SIZE) if (row, item) not in own]
        normalizer = np.log(sum(counts[item] * np.exp(scores[row, item]) for item in new))
        for item in range(1, SIZE):
            sign = 1 if (row, item) in targets else -1
            losses[row] += counts[item] * np.log1p(np.exp(-sign * scores[row, item]))
            if item in new and (row, item) in targets:
                losses[row] += head.discovery * (normalizer - scores[row, item])
    return losses


def _of_catalog(head, views, batch):
    query, candidate = head.query(views[0]), head.candidate(views[1], tf.range(SIZE))
    return head.loss(query, Candidates(candidate, tf.range(SIZE), tf.cast(tf.range(SIZE) > 0, tf.float32)), batch)


def _of_drawn(head, views, batch, drawn):
    def candidates(ids):
        return head.candidate({name: tf.gather(values, ids) for name, values in views[1].items()}, ids)

    target = batch.lists["target"]
    positives = Positives(target.row, target.values["item"], candidates(target.values["item"]))
    return head.loss(
        head.query(views[0]), Candidates(candidates(drawn), drawn, tf.ones(len(drawn)), positives=positives), batch
    )


def test_loss_equals_a_slow_version(rng, views, batch):
    head = _head(rng)
    expected = _slow_loss(head, views, batch, dict.fromkeys(range(SIZE), 1.0))
    np.testing.assert_allclose(_of_catalog(head, views, batch), expected, rtol=1e-4)


@pytest.mark.parametrize("drawn", [[2, 3, 6], [1, 4, 5], [3, 4, 6]])
def test_loss_of_what_is_drawn_equals_a_slow_version(rng, views, batch, drawn):
    head = _head(rng, negatives="uniform", number=3)
    expected = _slow_loss(head, views, batch, dict.fromkeys(drawn, 2.0))
    np.testing.assert_allclose(_of_drawn(head, views, batch, tf.constant(drawn)), expected, rtol=1e-4)


@pytest.mark.parametrize("number", [SIZE - 1, 1000])
def test_loss_and_gradients_are_those_of_the_catalog_where_all_of_it_is_drawn(rng, views, batch, number):
    whole = _head(rng)
    head = GatedRetrieval(SIZE, CHANNELS, ACTIVITY, POPULARITY, negatives="uniform", number=number)
    head.set_weights(whole.get_weights())
    drawn = head._drawn(tf.constant([1, 2], tf.int64))
    np.testing.assert_array_equal(drawn, range(1, SIZE))
    with tf.GradientTape(persistent=True) as tape:
        losses = [_of_catalog(whole, views, batch), _of_drawn(head, views, batch, drawn)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
    for one, other in zip(whole.trainable_variables, head.trainable_variables, strict=True):
        expected, found = tape.gradient(losses[0], one), tape.gradient(losses[1], other)
        np.testing.assert_allclose(*map(tf.convert_to_tensor, (found, expected)), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_sums_over_what_is_drawn_are_in_the_mean_those_over_the_catalog(rng, views, batch):
    """The cross-entropy, and the sum of exponentials in the softmax, of which its logarithm is taken."""
    weights = _head(rng).get_weights()

    def losses(discovery, negatives):
        head = GatedRetrieval(SIZE, CHANNELS, ACTIVITY, POPULARITY, discovery, negatives=negatives, number=2)
        head.set_weights(weights)
        if negatives == "catalog":
            return _of_catalog(head, views, batch).numpy()[None]
        of_seed = tf.function(lambda seed: _of_drawn(head, views, batch, head._drawn(seed)))
        return np.stack([of_seed(tf.constant([3, step], tf.int64)) for step in range(4000)])

    entropy, both = ([losses(discovery, of) for of in ("catalog", "uniform")] for discovery in (0.0, 1.0))
    deviation = entropy[1].std(0) / np.sqrt(len(entropy[1]))
    np.testing.assert_array_less(abs(entropy[1].mean(0) - entropy[0][0]), 4 * deviation + 1e-5)
    softmax = [np.exp(with_it - without) for with_it, without in zip(both, entropy, strict=True)]
    few = [1, 3]  # rows of one new target
    deviation = softmax[1].std(0) / np.sqrt(len(softmax[1]))
    np.testing.assert_array_less(abs(softmax[1].mean(0) - softmax[0][0])[few], 4 * deviation[few])


def test_draws_are_of_all_items_alike_and_of_none_twice():
    head = GatedRetrieval(41, CHANNELS, ACTIVITY, POPULARITY, negatives="uniform", number=10)
    draw = tf.function(head._drawn)
    counts, steps = np.zeros(41), 1000
    for step in range(steps):
        drawn = draw(tf.constant([5, step], tf.int64)).numpy()
        assert len(drawn) == 10
        assert (np.diff(drawn) > 0).all()
        counts[drawn] += 1
    assert counts[0] == 0
    np.testing.assert_allclose(counts[1:] / steps, 0.25, atol=5 * np.sqrt(0.25 * 0.75 / steps))


@pytest.mark.parametrize("scale", [1.0, 100.0, 10_000.0])
def test_losses_of_what_is_drawn_are_finite(rng, views, batch, scale):
    head = _head(rng, negatives="uniform", number=3)
    views = [{name: scale * values for name, values in view.items()} for view in views]
    with tf.GradientTape() as tape:
        loss = _of_drawn(head, views, batch, tf.constant([1, 3, 6]))
    gradients = map(tf.convert_to_tensor, tape.gradient(loss, head.trainable_variables))
    assert all(np.isfinite(values).all() for values in (loss, *gradients))


def test_conforms(rng, views, batch):
    check_retrieval_head(_head(rng), *views, batch, candidates="catalog")


def test_computes_in_float32(rng, views, batch):
    with precision_scope("mixed_float16"):
        head = _head(rng)
    views = [{name: tf.cast(values, tf.float16) for name, values in view.items()} for view in views]
    assert _scores(head, views, batch).dtype == tf.float32


def test_config():
    check_layer_config(GatedRetrieval(SIZE, CHANNELS, ACTIVITY, POPULARITY, 1.5, name="next"))
    check_layer_config(GatedRetrieval(SIZE, CHANNELS, ACTIVITY, POPULARITY, negatives="uniform", number=5))
