"""Losses against formulas written anew in NumPy, float64."""

import numpy as np
import pytest
from hypothesis import given as given_by
from hypothesis import strategies as st

from mtkit.backend import tf
from mtkit.layers.losses import ClassLoss, pairwise_loss, tweedie_deviance

LABELS = np.arange(24) % 4
LOGITS = np.random.default_rng(0).normal(size=(24, 4)) * 3


def given(classes):
    """Logits and labels of so many classes, float64."""
    return (LOGITS[:, 0], LABELS % 2) if classes == 2 else (LOGITS, LABELS)


def tensors(logits, labels, classes):
    return tf.constant(logits, tf.float32), tf.constant(labels, tf.float32 if classes == 2 else tf.int32)


def by_hand(logits, labels, weights=(), focal=0.0, smoothing=0.0):
    """The focal loss of smoothed labels, as the softmax over all classes, two of them for one logit."""
    if logits.ndim == 1:
        logits = np.stack([np.zeros_like(logits), logits], 1)
    probability = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    classes = logits.shape[1]
    soft = (1 - smoothing) * np.eye(classes)[labels] + smoothing / classes
    entropy = -(soft * np.log(probability)).sum(1)
    own = probability[np.arange(len(labels)), labels]
    return np.asarray(weights or np.ones(classes))[labels] * (1 - own) ** focal * entropy


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weights": (1, 5)},
        {"focal": 2.0},
        {"focal": 0.5},
        {"smoothing": 0.1},
        {"weights": (0.5, 3), "focal": 1.5, "smoothing": 0.2},
    ],
)
def test_losses_are_those_of_the_formula(classes, options):
    options = options | ({"weights": options["weights"] * (classes // 2)} if "weights" in options else {})
    logits, labels = given(classes)
    found = ClassLoss(classes, **options)(*tensors(logits, labels, classes))
    np.testing.assert_allclose(found, by_hand(logits, labels, **options), rtol=1e-5, atol=1e-6)


def test_without_options_losses_are_to_the_bit_those_of_tensorflow():
    logits, labels = tensors(*given(2), 2)
    expected = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
    np.testing.assert_array_equal(ClassLoss()(logits, labels), expected)
    logits, labels = tensors(*given(4), 4)
    expected = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    np.testing.assert_array_equal(ClassLoss(4)(logits, labels), expected)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("focal", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_gradients_are_finite_at_extreme_logits(classes, focal, smoothing):
    extreme = np.array([-80.0, 80.0])
    logits = extreme if classes == 2 else np.stack([extreme, -extreme, extreme, 0 * extreme], 1)
    for label in range(classes):
        z, labels = tensors(logits, np.full(2, label), classes)
        with tf.GradientTape() as tape:
            tape.watch(z)
            loss = ClassLoss(classes, focal=focal, smoothing=smoothing, weights=[2.0] * classes)(z, labels)
        assert np.isfinite(loss).all()
        assert np.isfinite(tape.gradient(loss, z)).all()


def test_probabilities():
    logits, _ = given(2)
    np.testing.assert_allclose(ClassLoss().probabilities(tf.constant(logits)), 1 / (1 + np.exp(-logits)))
    logits, _ = given(4)
    softmax = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(ClassLoss(4, focal=2.0).probabilities(tf.constant(logits)), softmax)


@given_by(chance=st.floats(1e-4, 0.999), rate=st.floats(1e-3, 1))
def test_what_is_learned_of_some_negatives_becomes_the_base_rate(chance, rate):
    """The best logit on kept rows is that of the share of positives among them."""
    among_kept = chance / (chance + (1 - chance) * rate)
    logit = tf.constant([np.log(among_kept / (1 - among_kept))], tf.float64)
    found = ClassLoss(kept_negatives=rate).probabilities(logit)
    np.testing.assert_allclose(found, [chance], rtol=1e-6)


def test_losses_and_classes_know_nothing_of_kept_negatives():
    logits, labels = tensors(*given(2), 2)
    np.testing.assert_array_equal(ClassLoss(kept_negatives=0.1)(logits, labels), ClassLoss()(logits, labels))


DEVIANCES = np.array([0.0, 0.3, 1, 7, 0, 250]), np.array([0.1, 0.3, 5, 2, 40, 200])


@pytest.mark.parametrize("power", [1.0, 1.0001, 1.3, 1.5, 1.9999])
def test_deviances_are_those_of_the_formula(power):
    y, mean = DEVIANCES
    if power == 1:
        expected = 2 * (np.where(y > 0, y * np.log(np.where(y > 0, y, 1) / mean), 0) - y + mean)
    else:
        one, two = 1 - power, 2 - power
        expected = 2 * (y**two / (one * two) - y * mean**one / one + mean**two / two)
    found = tweedie_deviance(tf.constant(np.log(mean), tf.float32), tf.constant(y, tf.float32), power)
    np.testing.assert_allclose(found, expected, rtol=1e-4 if power == 1.9999 else 1e-5, atol=1e-5)


@pytest.mark.parametrize("power", [1.0, 1.0001, 1.5, 1.95])
@pytest.mark.parametrize("logs", [-80.0, 80.0])
@pytest.mark.parametrize("label", [0.0, 1e-3, 1.0, 1e3])
def test_gradients_of_deviances_are_finite_at_extreme_means(power, logs, label):
    logs = tf.constant([logs])
    with tf.GradientTape() as tape:
        tape.watch(logs)
        loss = tweedie_deviance(logs, tf.constant([label]), power)
    assert np.isfinite(loss).all()
    assert np.isfinite(tape.gradient(loss, logs)).all()


def test_rows_without_others_have_no_pairs():
    same = tf.constant([[True, False], [False, False], [True, True]])
    losses, paired = pairwise_loss(tf.zeros([3]), tf.constant([1.0, 2]), same, tf.constant([1.0, 0]))
    np.testing.assert_array_equal(paired, [True, False, True])
    np.testing.assert_allclose(losses, [np.log1p(np.e), 0, np.log1p(np.e)], rtol=1e-6)
