"""Losses against loops of NumPy, in float64."""

import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.layers.retrieval_losses import LOSSES, Scores, hardest, squared_of_catalog

ROW = np.int32([0, 0, 1, 2, 2, 2])
POSITIVE = np.float32([0.3, -1.2, 2.0, 0.1, 0.7, -0.4])
OTHERS = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
WEIGHTS = np.float32([[2, 0.5, 0, 7, 1], [0, 0.5, 3, 7, 1], [2, 0.5, 3, 0, 0]])


def _scores(weights=WEIGHTS, within=False):
    return Scores(*map(tf.constant, (ROW, POSITIVE, OTHERS, weights)), within)


def _slow(loss, weights, weigh=1.0):
    """Loss of each row by loops over its positives and the others that are there."""
    found = []
    for row in range(3):
        positives = POSITIVE[row == ROW].astype(np.float64)
        others = [(float(s), float(w)) for s, w in zip(OTHERS[row], weights[row], strict=True) if w > 0]
        if loss == "softmax":
            total = np.exp(positives).sum() + sum(w * np.exp(s) for s, w in others)
            found.append(np.mean([np.log(total) - s for s in positives]))
        elif loss == "squared":
            found.append(sum((s - 1) ** 2 for s in positives) + weigh * sum(w * s**2 for s, w in others))
        elif loss == "binary":
            negative = sum(w * np.log1p(np.exp(s)) for s, w in others)
            found.append(sum(np.log1p(np.exp(-s)) for s in positives) + weigh * negative)
        else:
            of = {"bpr": lambda m: np.log1p(np.exp(-m)), "hinge": lambda m: max(0.0, 1 - m)}[loss]
            found.append(np.mean([np.mean([of(p - s) for s, _ in others]) for p in positives]))
    return found


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_are_those_of_loops(loss):
    np.testing.assert_allclose(LOSSES[loss](_scores()), _slow(loss, WEIGHTS), rtol=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_rows_of_one_positive_have_the_same_losses_to_the_bit(loss):
    row, positive = np.arange(3, dtype=np.int32), POSITIVE[:3]
    alone, several = (Scores(*map(tf.constant, (row, positive, OTHERS, WEIGHTS)), single=one) for one in (True, False))
    np.testing.assert_array_equal(LOSSES[loss](alone), LOSSES[loss](several))


@pytest.mark.parametrize("loss", ["squared", "binary"])
def test_others_may_weigh_less(loss):
    np.testing.assert_allclose(LOSSES[loss](_scores(), others=0.1), _slow(loss, WEIGHTS, 0.1), rtol=1e-5)


@pytest.mark.parametrize("loss", ["softmax", "squared", "binary"])
def test_positives_within_a_catalog_count_once(loss):
    """A catalog whose columns 1, 4; 0; 0, 1, 2 are the rows' positives."""
    catalog, weights = OTHERS.copy(), np.ones((3, 5), np.float32)
    for (row, column), score in zip([(0, 1), (0, 4), (1, 0), (2, 0), (2, 1), (2, 2)], POSITIVE, strict=True):
        catalog[row, column], weights[row, column] = score, 0
    apart = LOSSES[loss](Scores(*map(tf.constant, (ROW, POSITIVE, catalog, weights))))
    within = LOSSES[loss](Scores(*map(tf.constant, (ROW, POSITIVE, catalog, np.ones((1, 5), np.float32))), True))
    np.testing.assert_allclose(within, apart, rtol=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_finite_and_those_of_differences(loss):
    """Also where a row has no other left, and scores are large."""
    weights = WEIGHTS.copy()
    weights[1] = 0
    others = OTHERS.copy()
    others[0, 0] = 90.0

    def value(positive):
        return tf.reduce_sum(LOSSES[loss](Scores(ROW, positive, tf.constant(others), weights)))

    with tf.GradientTape() as tape:
        positive = tf.constant(POSITIVE)
        tape.watch(positive)
        total = value(positive)
    gradient = tape.gradient(total, positive)
    assert np.isfinite(gradient).all()
    if loss != "squared":  # its value is too large here for differences in float32
        for place in range(len(POSITIVE)):
            step = 0.05 * np.eye(len(POSITIVE), dtype=np.float32)[place]
            slope = (value(POSITIVE + step) - value(POSITIVE - step)) / 0.1
            np.testing.assert_allclose(gradient[place], slope, atol=2e-3)


def test_squared_error_of_a_catalog_needs_no_scores():
    """The value and all gradients are those of the scores of rows and items."""
    rng = np.random.default_rng(1)
    query, catalog = (tf.constant(rng.normal(size=shape), tf.float32) for shape in ((3, 4), (5, 4)))
    items = np.int32([1, 4, 2, 1, 3, 4])

    def fused():
        positive = tf.reduce_sum(tf.gather(query, ROW) * tf.gather(catalog, items), 1)
        return squared_of_catalog(query, catalog, positive, tf.constant(ROW), 0.3)

    def plain():
        target = np.zeros((3, 5), np.float32)
        target[ROW, items] = 1
        errors = tf.square(tf.matmul(query, catalog, transpose_b=True) - target)
        return tf.reduce_sum(errors * np.where(target > 0, 1, 0.3).astype(np.float32), 1)

    found = []
    for loss in (fused, plain):
        with tf.GradientTape() as tape:
            tape.watch([query, catalog])
            value = loss()
        found.append([value, *tape.gradient(value, [query, catalog])])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_the_hardest_are_the_highest_that_are_there():
    found = hardest(_scores(), 2)
    for row in range(3):
        expected = sorted((s for s, w in zip(OTHERS[row], WEIGHTS[row], strict=True) if w > 0), reverse=True)[:2]
        np.testing.assert_array_equal(found.others[row], expected)
    np.testing.assert_array_equal(found.weights, np.ones((3, 2)))
    np.testing.assert_array_equal(hardest(_scores(WEIGHTS * 0), 9).weights, np.zeros((3, 5)))


def test_draws_stand_for_the_catalog_in_the_mean():
    """The sum under the logarithm of the softmax of draws has the mean of the catalog's."""
    rng = np.random.default_rng(2)
    catalog, shares = rng.normal(size=8), np.float64([0, 1, 5, 2, 9, 3, 4, 6]) / 30
    drawn = rng.choice(8, 200_000, p=shares)
    scores = Scores(
        *(tf.constant(v) for v in ([0], np.float32([catalog[0]]), np.float32(catalog[drawn])[None])),
        tf.constant(1 / (len(drawn) * shares[drawn]), tf.float32)[None],
    )
    exact = np.log(np.exp(catalog).sum()) - catalog[0]
    np.testing.assert_allclose(LOSSES["softmax"](scores), [exact], atol=0.01)
