import numpy as np
import pytest

from mtkit.backend import keras, tf
from mtkit.layers.ordinal_head import OrdinalHead
from mtkit.optimizers import precision_scope
from mtkit.testing import check_layer_config, check_prediction_head

VIEW = {
    "user": np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32),
    "task.topic": np.random.default_rng(1).random(6).astype(np.float32),
}
THRESHOLDS = [-2.0, -0.5, 0.0, 3.0]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("classes", [3, 5])
@pytest.mark.parametrize("loss", [{}, {"focal": 1.0, "smoothing": 0.1}])
def test_conforms(classes, loss):
    thresholds = THRESHOLDS[: classes - 1]
    check_prediction_head(OrdinalHead(["user", "task.topic"], classes, thresholds, loss), VIEW, classes)
    check_layer_config(OrdinalHead(["user", "task.topic"], classes, thresholds, loss, name="stars"))


def test_probabilities_are_differences_of_those_of_the_thresholds():
    head = OrdinalHead(["user"], 5, THRESHOLDS)
    head({"user": tf.zeros([1, 1])})
    head.dense.set_weights([np.array([[2.0]])])
    x = np.array([-1.5, 0.0, 0.2, 1.0])
    outputs = head({"user": tf.constant(x[:, None], tf.float32)})
    below = np.column_stack([np.zeros(4), *(sigmoid(t - 2 * x) for t in THRESHOLDS), np.ones(4)])
    expected = np.diff(below, axis=1)
    np.testing.assert_allclose(head.predict(outputs), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(head.predict(outputs).numpy().sum(1), 1, rtol=1e-6)
    labels = np.array([0, 2, 4, 1])
    found = head.loss(outputs, tf.constant(labels, tf.int32))
    np.testing.assert_allclose(found, -np.log(expected[np.arange(4), labels]), rtol=1e-5, atol=1e-6)


def test_without_thresholds_classes_are_equally_frequent():
    head = OrdinalHead(["user"], 4)
    np.testing.assert_allclose(head.predict(head({"user": tf.zeros([1, 3])})), np.full((1, 4), 0.25), rtol=1e-4)


@pytest.mark.parametrize("score", [-80.0, 80.0])
def test_gradients_are_finite_far_from_the_thresholds(score):
    head = OrdinalHead(["user"], 5, THRESHOLDS)
    for label in range(5):
        with tf.GradientTape() as tape:
            given = tf.constant([[score]])
            tape.watch(given)
            loss = head.loss(head.thresholds(given), tf.constant([label]))
        gradients = tape.gradient(loss, [given, *head.thresholds.trainable_variables])
        assert all(np.isfinite(values).all() for values in (loss, *gradients))


def test_thresholds_ascend_whatever_is_learned():
    head = OrdinalHead(["user"], 4, [0.0, 0.0, 0.0])
    head.thresholds.raw_gaps.assign([-200.0, -50.0])
    outputs = head.thresholds(tf.constant([[0.0], [3.0]]))
    assert np.isfinite(outputs).all()
    assert (head.predict(outputs).numpy() > 0).all()


def test_thresholds_keep_full_precision():
    with precision_scope("mixed_bfloat16"):
        head = OrdinalHead(["user"], 3, [-1.0, 1.0])
        assert head({"user": tf.zeros([2, 3])}).dtype == tf.float32
    assert head.dense.compute_dtype == "bfloat16"
    assert {variable.dtype for variable in head.thresholds.weights} == {tf.float32}
    assert keras.mixed_precision.global_policy().name == "float32"
