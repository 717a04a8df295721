import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.layers.conditional_head import ConditionalHead
from mtkit.testing import check_layer_config, check_prediction_head

GIVEN = "task.click/logits"
ROWS = 6


def view(seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=(ROWS, 3)).astype(np.float32) for name in ("user", "item")} | {
        GIVEN: rng.normal(size=ROWS).astype(np.float32)
    }


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_conforms():
    check_prediction_head(ConditionalHead(["user", "item"], GIVEN), view())
    check_layer_config(ConditionalHead(["user", "item"], GIVEN, {"focal": 2.0}))


def test_the_probability_is_the_product_and_the_loss_is_of_it():
    """Ma et al., equations 2 and 3."""
    layer, given = ConditionalHead(["user", "item"], GIVEN), view()
    outputs = layer(given)
    kernel, bias = (weight.numpy().astype(float) for weight in layer.weights)
    own = np.concatenate([given["user"], given["item"]], 1) @ kernel[:, 0] + bias[0]
    p = sigmoid(given[GIVEN].astype(float)) * sigmoid(own)
    np.testing.assert_allclose(layer.predict(outputs), p, rtol=1e-5)
    labels = np.arange(ROWS) % 2
    expected = -(labels * np.log(p) + (1 - labels) * np.log(1 - p))
    np.testing.assert_allclose(layer.loss(outputs, tf.constant(labels, tf.float32)), expected, rtol=1e-5)


@pytest.mark.parametrize("size", [-80.0, 80.0])
def test_losses_and_gradients_are_finite_at_logits_of_any_size(size):
    layer = ConditionalHead(["user"], GIVEN)
    given = {"user": tf.ones([2, 3]), GIVEN: tf.constant([size, size])}
    layer(given)
    with tf.GradientTape() as tape:
        tape.watch(given[GIVEN])
        loss = layer.loss(layer(given), tf.constant([0.0, 1.0]))
    assert np.isfinite(loss).all()
    assert np.isfinite(tape.gradient(loss, given[GIVEN])).all()
