import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.layers import catalog_loss
from mtkit.layers.catalog_loss import NEVER, Catalog, catalog_losses

ROWS, FEATURES, DIM = 5, 3, 4


def _catalog(items, scale=1.0, level=-2.0):
    rng = np.random.default_rng(items)
    terms = rng.normal(size=(items, FEATURES)) + np.array([level, level, 0])
    terms[0, :2] = NEVER
    features = np.stack([np.arange(ROWS) % 2, 1 - np.arange(ROWS) % 2, rng.normal(size=ROWS)], 1)
    hidden = np.stack([np.repeat(np.arange(ROWS), 2), rng.integers(1, items, 2 * ROWS)], 1)
    values = scale * rng.normal(size=(ROWS, DIM)), rng.normal(size=(items, DIM)), terms, features
    return Catalog(*(tf.constant(value, tf.float32) for value in values), tf.constant(hidden, tf.int32))


def _plain(catalog, weights):
    """The same with matrices of all rows and items, in float64."""
    query, candidates, terms, features = (tf.cast(values, tf.float64) for values in catalog[:4])
    logits = query @ tf.transpose(candidates) + features @ tf.transpose(terms)
    logits = tf.tensor_scatter_nd_update(
        logits, catalog.hidden, tf.fill([len(catalog.hidden)], tf.cast(NEVER, tf.float64))
    )
    return tf.reduce_sum(tf.nn.softplus(logits), 1) + weights * tf.reduce_logsumexp(logits, 1)


def _with_gradients(function, catalog, weights, upstream):
    with tf.GradientTape() as tape:
        tape.watch(catalog[:3])
        losses = function(catalog, weights)
        total = tf.reduce_sum(losses * tf.cast(upstream, losses.dtype))
    return [losses, *map(tf.convert_to_tensor, tape.gradient(total, catalog[:3]))]


@pytest.mark.parametrize("items", [2, 41, 96])
@pytest.mark.parametrize(("scale", "level"), [(1.0, -2.0), (5.0, 4.0), (80.0, 0.0), (1.0, -60.0)])
@pytest.mark.parametrize("block", [1, 10**6])
def test_losses_and_gradients_are_those_of_whole_matrices(monkeypatch, items, scale, level, block):
    monkeypatch.setattr(catalog_loss, "_BLOCK", block)
    monkeypatch.setattr(catalog_loss, "_BLOCK_OF_GPU", block)
    catalog = _catalog(items, scale, level)
    weights, upstream = (
        np.array([0.0, 3.0, 6.0, 0.0, 15.0], np.float32),
        np.array([1.0, 0.5, -2.0, 1.0, 0.0], np.float32),
    )
    if items == 2:  # nothing is left but what is not there
        weights *= 0
    expected = _with_gradients(_plain, catalog, weights, upstream)
    for function in catalog_losses, tf.function(catalog_losses):
        for found, plain in zip(_with_gradients(function, catalog, weights, upstream), expected, strict=True):
            np.testing.assert_allclose(found, plain, rtol=2e-5, atol=2e-6 * max(1.0, scale))


def test_a_row_of_which_all_is_hidden_adds_nothing():
    catalog = _catalog(9)
    catalog = catalog._replace(hidden=tf.constant([[2, item] for item in range(9)], tf.int32))
    losses, *gradients = _with_gradients(catalog_losses, catalog, tf.zeros(ROWS), np.ones(ROWS))
    assert losses[2] == 0
    assert not gradients[0].numpy()[2].any()


def test_gradients_may_be_asked_for_again():
    catalog = _catalog(9)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(catalog.query)
        losses = catalog_losses(catalog, tf.ones(ROWS))
    one, other = (tape.gradient(losses, catalog.query, output_gradients=tf.fill([ROWS], by)) for by in (1.0, 2.0))
    np.testing.assert_allclose(2 * one, other, rtol=1e-6)


def test_there_may_be_no_rows():
    whole = _catalog(64)
    none = whole._replace(query=whole.query[:0], features=whole.features[:0], hidden=whole.hidden[:0])
    losses, *gradients = _with_gradients(catalog_losses, none, tf.zeros(0), np.zeros(0))
    assert losses.shape == (0,)
    assert not any(gradient.numpy().any() for gradient in gradients)


@pytest.mark.parametrize("level", [-8.0, -12.0, -16.0])
def test_many_small_probabilities_add_up_to_the_rounding_of_each(level):
    items = 100_000
    catalog = _catalog(items, 0.3, level)
    catalog = catalog._replace(hidden=tf.zeros([0, 2], tf.int32))
    weights = tf.fill([ROWS], 3.0)
    np.testing.assert_allclose(catalog_losses(catalog, weights), _plain(catalog, 3.0), rtol=3e-6, atol=3e-8 * items)
