from types import SimpleNamespace

import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.feed.batch import Batch
from mtkit.layers.pairwise_head import PairwiseHead
from mtkit.runtime.collectives import global_sum
from mtkit.standard.heads import Pairwise
from mtkit.testing import check_layer_config

SPEC = Pairwise(rows="lines", inputs=("line",), label="liked", weight_by="price")
USERS = np.array([1, 1, 1, 2, 2, 2, 3, 1], np.int32)
LABELS = np.array([1, 0, 0, 1, 1, 0, 1, 1], np.float32)
WEIGHTS = np.array([1, 1, 2, 1, 1, 1, 1, 0], np.float32)
PRICES = np.array([1, 1, 3, 1, 1, 2, 1, 1], np.float32)
STATES = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
KERNEL = np.array([[0.5], [-1.0], [2.0]], np.float32)


def task_pass(rows):
    """The rows as a task sees them."""
    batch = Batch(
        ids={"user": tf.gather(USERS, rows)},
        present=tf.ones_like(rows, tf.float32),
        labels={"liked": tf.gather(LABELS, rows)},
        weights={"liked": tf.gather(WEIGHTS, rows)},
        dense={"price": tf.gather(PRICES, rows)},
    )
    view = {"line": tf.gather(STATES, rows)}
    return SimpleNamespace(spec=SPEC, batch=batch, training=True, embeddings=lambda names: view)


def head():
    made = PairwiseHead(["line"])
    made({"line": tf.zeros([1, 3])})
    made.dense.set_weights([KERNEL])
    return made


def by_hand():
    """Losses and weights of all rows, pair by pair, in float64."""
    scores = STATES.astype(float) @ KERNEL[:, 0]
    losses, weights = np.zeros(8), np.zeros(8)
    for row in range(8):
        others = [j for j in range(8) if USERS[j] == USERS[row] and LABELS[j] == 0 and WEIGHTS[j] > 0]
        if LABELS[row] == 1 and others:
            count = (WEIGHTS * PRICES)[others]
            losses[row] = np.average(np.log1p(np.exp(scores[others] - scores[row])), weights=count)
            weights[row] = WEIGHTS[row]
    return losses, weights


def test_config():
    check_layer_config(PairwiseHead(["line"], name="liked"))


def test_losses_are_those_of_pairs_of_a_user():
    losses, weights = head().losses(task_pass(np.arange(8)))
    expected, counted = by_hand()
    np.testing.assert_array_equal(weights, counted)
    there = counted > 0
    np.testing.assert_allclose(losses.numpy()[there], expected[there], rtol=1e-5)
    assert np.count_nonzero(there) == 3


def test_two_replicas_see_the_pairs_of_the_global_batch(two_replicas):
    def step(made, rows):
        with tf.GradientTape() as tape:
            losses, weights = made.losses(task_pass(rows))
            total = tf.reduce_sum(losses * weights)
        return losses, weights, global_sum(tape.gradient(total, made.dense.kernel))

    whole = step(head(), np.arange(8))
    with two_replicas.scope():
        made = head()
    halves = two_replicas.experimental_distribute_values_from_function(
        lambda context: tf.constant([[0, 3, 5, 7], [1, 2, 4, 6]][context.replica_id_in_sync_group])
    )
    found = two_replicas.run(tf.function(lambda rows: step(made, rows), autograph=False), (halves,))
    losses, weights, gradients = map(two_replicas.experimental_local_results, found)
    order = [0, 3, 5, 7, 1, 2, 4, 6]
    np.testing.assert_allclose(np.concatenate(losses), whole[0].numpy()[order], rtol=1e-5)
    np.testing.assert_array_equal(np.concatenate(weights), whole[1].numpy()[order])
    np.testing.assert_allclose(gradients[0], whole[2], rtol=1e-4)


@pytest.mark.parametrize("score", [-80.0, 80.0])
def test_gradients_are_finite_at_extreme_scores(score):
    made = head()
    made.dense.set_weights([KERNEL * score])
    with tf.GradientTape() as tape:
        losses, weights = made.losses(task_pass(np.arange(8)))
        total = tf.reduce_sum(losses * weights)
    assert np.isfinite(losses).all()
    assert np.isfinite(tape.gradient(total, made.dense.kernel)).all()
