import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.data.label_statistics import label_statistics
from mtkit.layers.label_scales import SCALES, Log, Rank

RNG = np.random.default_rng(3)
LABELS = {
    "normal": RNG.normal(800, 200, 3000).clip(0),
    "log-normal": RNG.lognormal(3, 1.5, 3000),
    "zero-inflated": np.where(RNG.random(3000) < 0.6, 0, RNG.gamma(2, 40, 3000)),
    "constant": np.full(30, 800.0),
    "two values": np.repeat([3.0, 5.0], 20),
}


def scale_of(target, labels):
    return SCALES[target](**label_statistics(target, labels, np.ones(len(labels))))


@pytest.mark.parametrize("target", SCALES)
@pytest.mark.parametrize("name", LABELS)
def test_labels_come_back(target, name):
    labels = LABELS[name].astype(np.float32)
    scale = scale_of(target, labels)
    if target == "log":
        scale.smearing.assign(1.0)  # of predictions without errors
    scaled = scale.scaled(tf.constant(labels))
    assert scaled.dtype == tf.float32
    np.testing.assert_allclose(scale.numbers(scaled), labels, rtol=1e-3, atol=1e-3)
    if target != "none":
        assert abs(np.mean(scaled)) < 1e-3
        assert np.abs(scaled).max() < 1e-3 if name == "constant" else 0.5 < np.std(scaled) < 1.5
    assert SCALES[target](**scale.statistics()).statistics() == scale.statistics()


@pytest.mark.parametrize("name", LABELS)
def test_the_mean_logarithm_is_the_mean_of_the_labels_from_the_start(name):
    """Where nothing is known of a row: the smearing factor that a model begins with."""
    labels = LABELS[name].astype(np.float32)
    found = scale_of("log", labels).numbers(tf.zeros(1))
    np.testing.assert_allclose(found, [labels.mean()], rtol=1e-4)


def test_smearing_gives_the_mean_of_what_was_predicted():
    scale = Log(mean=1.0, std=2.0, largest=1e6, smearing=1.0)
    labels, scaled = tf.constant([0.0, 5.0, 90.0]), tf.constant([-0.4, 0.6, 1.0])
    expected = (1 + np.array([0, 5, 90])) / np.exp(1 + 2 * np.array([-0.4, 0.6, 1.0]))
    np.testing.assert_allclose(scale.smeared(labels, scaled), expected, rtol=1e-5)
    scale.smearing.assign(1.5)
    np.testing.assert_allclose(scale.numbers(scaled), 1.5 * np.exp(1 + 2 * np.array(scaled)) - 1, rtol=1e-5)


def test_predictions_of_logarithms_stay_within_the_labels():
    scale = Log(mean=1.0, std=2.0, largest=90.0, smearing=2.0)
    np.testing.assert_allclose(scale.numbers(tf.constant([-1e30, 1e30])), [0, 90], rtol=1e-6)


def test_ranks_are_interpolated_and_end():
    scale = Rank([0.0, 10.0, 40.0], [0.25, 0.5, 0.75])
    np.testing.assert_allclose(
        scale.scaled(tf.constant([-5.0, 0, 5, 25, 99])) * 12**-0.5 + 0.5, [0.25, 0.25, 0.375, 0.625, 0.75]
    )
    np.testing.assert_allclose(scale.numbers(tf.constant([-9.0, 0, 9])), [0, 10, 40])
