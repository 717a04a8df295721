import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.layers.fusion import FUSIONS
from mtkit.testing import check_layer_config

WIDTHS, DIM = (3, 5, 4), 6


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _concatenate(w, *x):
    return np.concatenate(x) @ w["projection/kernel"] + w["projection/bias"]


def _gated(w, *x):
    result = np.zeros(DIM)
    for i, own in enumerate(x):
        columns = slice(i * DIM, (i + 1) * DIM)
        gate = _sigmoid(np.concatenate(x) @ w["gates/kernel"][:, columns] + w["gates/bias"][columns])
        result += gate * np.tanh(own @ w[f"modality_{i}/kernel"] + w[f"modality_{i}/bias"])
    return result


def _attention(w, *x):
    states = [own @ w[f"modality_{i}/kernel"] + w[f"modality_{i}/bias"] for i, own in enumerate(x)]
    keys = [np.tanh(h @ w["key/kernel"] + w["key/bias"]) for h in states]
    weights = np.exp([key @ w["query/kernel"][:, 0] for key in keys])
    return sum(weight * h for weight, h in zip(weights / weights.sum(), states, strict=True))


def _cascade(w, *x):
    state = np.zeros(0)
    for i, own in enumerate(x):
        state = np.tanh(np.concatenate([state, own]) @ w[f"modality_{i}/kernel"] + w[f"modality_{i}/bias"])
    return state


SLOW = {"concatenate": _concatenate, "gated": _gated, "attention": _attention, "cascade": _cascade}


@pytest.mark.parametrize("tasks", [(), (2,)])
@pytest.mark.parametrize("method", FUSIONS)
def test_equals_the_formula_row_by_row(method, tasks):
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(4, *tasks, width)).astype(np.float32) for width in WIDTHS]
    layer = FUSIONS[method](DIM, name="fusion")
    layer(inputs)
    for variable in layer.weights:
        variable.assign(rng.normal(size=variable.shape))
    weights = {"/".join(v.name.split(":")[0].split("/")[-2:]): v.numpy().astype(float) for v in layer.weights}
    assert len(weights) == len(layer.weights)
    with tf.GradientTape() as tape:
        outputs = layer(inputs)
        total = tf.reduce_sum(tf.sin(outputs))
    rows = [x.reshape(-1, x.shape[-1]) for x in inputs]
    expected = [SLOW[method](weights, *row) for row in zip(*rows, strict=True)]
    np.testing.assert_allclose(outputs, np.reshape(expected, (4, *tasks, DIM)), rtol=1e-4, atol=1e-5)
    assert all(np.abs(gradient).max() > 0 for gradient in tape.gradient(total, layer.weights))


@pytest.mark.parametrize("method", FUSIONS)
def test_config(method):
    check_layer_config(FUSIONS[method](DIM, name="fusion"))
