import numpy as np
import pytest
from sklearn.metrics import mean_tweedie_deviance

from mtkit.backend import tf
from mtkit.layers.count_head import CountHead
from mtkit.testing import check_layer_config, check_prediction_head

VIEW = {
    "user": np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32),
    "task.topic": np.random.default_rng(1).random(6).astype(np.float32),
}
STATISTICS = {"mean": 40.0, "deviance": 12.5}


@pytest.mark.parametrize("power", [1.0, 1.5])
def test_conforms(power):
    check_prediction_head(CountHead(["user", "task.topic"], power, STATISTICS), VIEW, classes=0)
    check_layer_config(CountHead(["user", "task.topic"], power, STATISTICS, name="plays"))


@pytest.mark.parametrize("power", [1.0, 1.2, 1.9])
def test_losses_are_deviances_of_what_is_predicted_over_that_of_the_mean(power):
    head = CountHead(["user"], power, STATISTICS)
    outputs = tf.constant([-1.0, 0.0, 0.5, 2.0])
    labels, means = np.array([0.0, 40, 17, 300]), head.predict(outputs).numpy()
    np.testing.assert_allclose(means, 40 * np.exp([-1, 0, 0.5, 2]), rtol=1e-6)
    found = head.loss(outputs, tf.constant(labels, tf.float32))
    expected = [
        mean_tweedie_deviance([y], [mean], power=power) / 12.5
        for y, mean in zip(labels, means.astype(float), strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_labels_below_0_of_rows_that_are_not_learned_have_finite_losses():
    assert np.isfinite(CountHead(["user"], 1.5).loss(tf.constant([0.3]), tf.constant([-2.0]))).all()
