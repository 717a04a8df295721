import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.layers.reference_heads import LinearHead, MultiLabelHead, RegressionHead
from mtkit.testing import check_layer_config, check_prediction_head


def _view(rows=6):
    rng = np.random.default_rng(0)
    return {
        "user": rng.normal(size=(rows, 4)).astype(np.float32),
        "task.topic": rng.random(rows).astype(np.float32),
    }


@pytest.mark.parametrize("classes", [2, 5])
def test_conforms(classes):
    check_prediction_head(LinearHead(["user", "task.topic"], classes), _view(), classes)


def test_worked_example():
    head = LinearHead(["user", "item"])
    view = {"user": tf.constant([[0.1]]), "item": tf.constant([[0.2]])}
    head(view)
    head.dense.set_weights([np.array([[0.1], [0.2]]), np.array([0.1])])
    outputs = head(view)
    np.testing.assert_allclose(outputs, [0.15], rtol=1e-6)
    np.testing.assert_allclose(head.predict(outputs), [0.53743], atol=5e-6)
    np.testing.assert_allclose(head.loss(outputs, tf.constant([1.0])), [-np.log(0.53743)], atol=1e-5)


def test_several_classes_take_a_softmax():
    head = LinearHead(["user"], classes=3)
    outputs = tf.constant([[1.0, 2.0, 4.0]])
    expected = np.exp([1, 2, 4]) / np.exp([1, 2, 4]).sum()
    np.testing.assert_allclose(head.predict(outputs)[0], expected, rtol=1e-5)
    np.testing.assert_allclose(head.loss(outputs, tf.constant([1])), [-np.log(expected[1])], rtol=1e-5)


def test_config():
    check_layer_config(LinearHead(["user", "task.topic"], classes=5, name="topic"))


def test_regression_conforms():
    check_prediction_head(RegressionHead(["user", "task.topic"]), _view(), classes=0)
    check_layer_config(RegressionHead(["user", "task.topic"], name="rating"))


def test_regression_is_a_plane_with_squared_errors():
    head = RegressionHead(["user", "item"])
    view = {"user": tf.constant([[0.5], [2.0]]), "item": tf.constant([[1.0], [0.0]])}
    head(view)
    head.dense.set_weights([np.array([[2.0], [-1.0]]), np.array([3.0])])
    outputs = head(view)
    np.testing.assert_allclose(outputs, [3.0, 7.0])
    np.testing.assert_allclose(head.predict(outputs), outputs)
    np.testing.assert_allclose(head.loss(outputs, tf.constant([5.0, 6.0])), [4.0, 1.0])


def test_regression_learns_the_least_squares():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 3)).astype(np.float32)
    y = (x @ np.array([1.0, -2.0, 0.5]) + 4 + 0.1 * rng.normal(size=200)).astype(np.float32)
    head = RegressionHead(["x"])
    head({"x": x})
    for _ in range(300):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(head.loss(head({"x": x}), tf.constant(y)))
        for variable, gradient in zip(
            head.trainable_variables, tape.gradient(loss, head.trainable_variables), strict=True
        ):
            variable.assign_sub(0.1 * gradient)
    expected = np.linalg.lstsq(np.column_stack([x, np.ones(200)]), y, rcond=None)[0]
    np.testing.assert_allclose(np.concatenate([head.dense.kernel[:, 0], head.dense.bias]), expected, atol=1e-3)


def test_classes_of_a_multi_label_head_are_apart():
    layer = MultiLabelHead(["a", "b"], 3)
    rng = np.random.default_rng(0)
    view = {name: tf.constant(rng.normal(size=(5, 2)), tf.float32) for name in "ab"}
    outputs = layer(view)
    x = np.concatenate([view["a"], view["b"]], 1)
    logits = x @ layer.dense.kernel.numpy() + layer.dense.bias.numpy()
    chance = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(layer.predict(outputs), chance, rtol=1e-5)
    labels = (rng.random((5, 3)) < 0.5).astype(np.float32)
    expected = -np.log(np.where(labels > 0, chance, 1 - chance)).mean(1)
    np.testing.assert_allclose(layer.loss(outputs, tf.constant(labels)), expected, rtol=1e-5)
    check_layer_config(layer)
