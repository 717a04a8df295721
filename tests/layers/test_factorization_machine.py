from itertools import combinations

import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.errors import WiringError
from mtkit.layers.factorization_machine import FactorizationMachine
from mtkit.layers.features import Features
from mtkit.testing import check_layer_config, check_prediction_head

RNG = np.random.default_rng(0)
VIEW = {"view": RNG.normal(size=(6, 12)).astype(np.float32), "past": RNG.normal(size=(6, 4)).astype(np.float32)}


def by_pairs(fields, bias=0.0):
    """Equation 1 over fields `[rows, fields, width]`, pair by pair, in float64."""
    fields = fields.astype(float)
    weights, vectors = fields[..., 0], fields[..., 1:]
    pairs = [np.sum(vectors[:, i] * vectors[:, j], -1) for i, j in combinations(range(fields.shape[1]), 2)]
    return bias + weights.sum(1) + sum(pairs)


def test_equals_all_pairs_of_fields():
    head = FactorizationMachine(["view", "past"], 4)
    head(VIEW)
    head.bias.assign(0.3)
    fields = np.concatenate([VIEW["view"], VIEW["past"]], 1).reshape(6, 4, 4)
    np.testing.assert_allclose(head(VIEW), by_pairs(fields, 0.3), atol=1e-5)
    np.testing.assert_allclose(head.predict(head(VIEW)), 1 / (1 + np.exp(-by_pairs(fields, 0.3))), atol=1e-5)


def test_is_the_factorization_machine_of_features():
    """w and V of Rendle's equation 1 are the tables of the encoder; a number multiplies its weight and its vector."""
    encoder = Features({"user.id": 6, "item.id": 5}, {"item.price": 1}, 4, combine="concat")
    inputs = {
        "user.id": tf.constant([1, 5, 2]), "item.id": tf.constant([0, 4, 2]), "item.price": tf.constant([[2.0], [-1.0], [0.5]])
    }  # fmt: skip
    encoder(inputs)
    for weights in encoder.trainable_variables:
        weights.assign(RNG.normal(size=weights.shape))
    head = FactorizationMachine(["view"], 4)
    one_hot = np.concatenate([np.eye(6)[inputs["user.id"]], np.eye(5)[inputs["item.id"]], inputs["item.price"]], 1)
    ids = [encoder._tables[name].embeddings for name in ("user.id", "item.id")]
    tables = np.concatenate([*ids, encoder._maps["item.price"].kernel])
    expected = one_hot @ tables[:, 0]
    for i, j in combinations(range(12), 2):
        expected += tables[i, 1:] @ tables[j, 1:] * one_hot[:, i] * one_hot[:, j]
    np.testing.assert_allclose(head({"view": encoder(inputs)}), expected, rtol=1e-5)


def test_a_deep_network_beside_the_pairs_is_added():
    head = FactorizationMachine(["view", "past"], 4, hidden=(5,))
    x = np.concatenate([VIEW["view"], VIEW["past"]], 1)
    found = head(VIEW)
    np.testing.assert_allclose(found, by_pairs(x.reshape(6, 4, 4)) + head.deep(x)[:, 0], atol=1e-5)
    assert [(axis.variable.shape, axis.of) for axis in head.axes()] == [
        ((16,), ("view", "past")),
        ((16, 5), ("view", "past")),
    ]


def test_heads_of_the_same_fields_weigh_their_entries_for_themselves():
    head = FactorizationMachine(["view", "past"], 4)
    head(VIEW)
    weights = {name: RNG.normal(size=getattr(head, name).shape) for name in ("bias", "linear", "pairs")}
    for name, values in weights.items():
        getattr(head, name).assign(values)
    fields = np.concatenate([VIEW["view"], VIEW["past"]], 1).reshape(6, 4, 4).astype(float)
    pairs = sum(fields[:, i] * fields[:, j] @ weights["pairs"] for i, j in combinations(range(4), 2))
    expected = weights["bias"] + fields.reshape(6, 16) @ weights["linear"] + pairs
    np.testing.assert_allclose(head(VIEW), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("hidden", [(), (5,)], ids=str)
def test_conforms(hidden):
    check_prediction_head(FactorizationMachine(["view", "past"], 4, hidden=hidden), VIEW)
    check_layer_config(FactorizationMachine(["view"], 4, hidden, "gelu", 0.1, -2.0, loss={"focal": 2.0}, name="click"))


def test_pairs_in_half_precision_are_of_float32():
    head = FactorizationMachine(["view", "past"], 4, dtype="mixed_float16")
    view = {name: np.float16(values) for name, values in VIEW.items()}
    fields = np.concatenate([view["view"], view["past"]], 1).reshape(6, 4, 4)
    np.testing.assert_allclose(head(view), by_pairs(fields), rtol=1e-5, atol=1e-5)


def test_inputs_that_are_no_fields_are_refused():
    with pytest.raises(
        WiringError, match=r"task\.click: fields are 5 wide, but 'view' comes as 12; expected a multiple"
    ):
        FactorizationMachine(["view"], 5, name="click")(VIEW)
    with pytest.raises(
        WiringError, match="'past' is one field, 4 wide, which has no pairs; let the encoder keep its features"
    ):
        FactorizationMachine(["past"], 4, name="click")(VIEW)
