import numpy as np

from mtkit.backend import tf
from mtkit.layers.vectors import GivenVectors, VectorProjection
from mtkit.testing import check_layer_config


def test_projection():
    layer = VectorProjection("item.vector/image", dim=3, dropout=0.5, name="image")
    vectors = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    vectors[0] = 0
    outputs = layer({"item.vector/image": tf.constant(vectors), "item.id": tf.range(4)})
    kernel, bias = layer.weights
    np.testing.assert_allclose(outputs, vectors @ kernel.numpy() + bias.numpy(), rtol=1e-5)
    np.testing.assert_array_equal(outputs[0], bias)
    check_layer_config(layer)


def test_given_vectors_are_scaled():
    given = GivenVectors("item_vector", 2, unit=True, about="image", address="item.vector/image")
    assert given.inputs["item_vector"].shape == (2,)
    (vectors,) = given({"item_vector": tf.constant([[3.0, 4.0], [0.0, 0.0]])}).values()
    np.testing.assert_allclose(vectors, [[0.6, 0.8], [0, 0]], rtol=1e-6)
