from types import SimpleNamespace

import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.feed.batch import Batch
from mtkit.layers.listwise_head import ListwiseHead
from mtkit.layers.query_losses import LOSSES
from mtkit.runtime.collectives import global_sum
from mtkit.standard.query_heads import Listwise
from mtkit.testing import check_layer_config

SPEC = Listwise(rows="lines", inputs=("line",), label="liked", by="session", weight_by="price")
QUERIES = np.array([1, 1, 1, 2, 2, 2, 3, 1], np.int32)
LABELS = np.array([1, 0, 0, 1, 1, 0, 0, 1], np.float32)
WEIGHTS = np.array([1, 1, 2, 1, 1, 1, 1, 0], np.float32)
PRICES = np.array([1, 1, 3, 1, 1, 2, 1, 1], np.float32)
STATES = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
KERNEL = np.array([[0.5], [-1.0], [2.0]], np.float32)


def task_pass(rows):
    """The rows as a task sees them."""
    batch = Batch(
        ids={"user": tf.zeros_like(rows, tf.int32)},
        present=tf.ones_like(rows, tf.float32),
        labels={"liked": tf.gather(LABELS, rows)},
        weights={"liked": tf.gather(WEIGHTS, rows)},
        dense={"price": tf.gather(PRICES, rows), "query session": tf.gather(QUERIES, rows)},
    )
    view = {"line": tf.gather(STATES, rows)}
    return SimpleNamespace(spec=SPEC, batch=batch, training=True, embeddings=lambda names: view)


def head(of_query):
    made = ListwiseHead(["line"], of_query)
    made({"line": tf.zeros([1, 3])})
    made.dense.set_weights([KERNEL])
    return made


def test_config():
    check_layer_config(ListwiseHead(["line"], "approx_ndcg", name="liked"))


def test_each_query_counts_1_by_what_its_rows_weigh():
    losses, weights = head("listnet").losses(task_pass(np.arange(8)))
    counted = weights * PRICES
    scores, there = STATES.astype(float) @ KERNEL[:, 0], WEIGHTS * PRICES
    for number, total in ((1, 1.0), (2, 1.0), (3, 0.0)):
        rows = np.flatnonzero(number == QUERIES)
        assert counted.numpy()[rows].sum() == pytest.approx(total)
        if total:
            log_of_sum = np.log(there[rows] @ np.exp(scores[rows]))
            positive = there[rows] * LABELS[rows]
            expected = positive @ (log_of_sum - scores[rows]) / positive.sum()
            assert (losses * counted).numpy()[rows].sum() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("of_query", LOSSES)
def test_two_replicas_see_the_queries_of_the_global_batch(two_replicas, of_query):
    def step(made, rows):
        with tf.GradientTape() as tape:
            losses, weights = made.losses(task_pass(rows))
            total = tf.reduce_sum(losses * weights)
        return losses, weights, global_sum(tape.gradient(total, made.dense.kernel))

    whole = step(head(of_query), np.arange(8))
    with two_replicas.scope():
        made = head(of_query)
    halves = two_replicas.experimental_distribute_values_from_function(
        lambda context: tf.constant([[0, 3, 5, 7], [1, 2, 4, 6]][context.replica_id_in_sync_group])
    )
    parts = two_replicas.run(tf.function(lambda rows: step(made, rows), autograph=False), [halves])
    for found, expected in zip(parts[:2], whole[:2], strict=True):
        both = tf.concat(two_replicas.experimental_local_results(found), 0)
        np.testing.assert_allclose(both, tf.gather(expected, [0, 3, 5, 7, 1, 2, 4, 6]), rtol=1e-5, atol=1e-6)
    for gradient in two_replicas.experimental_local_results(parts[2]):
        np.testing.assert_allclose(gradient, whole[2], rtol=1e-4, atol=1e-6)
