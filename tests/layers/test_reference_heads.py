import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.layers.reference_heads import LinearHead
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
