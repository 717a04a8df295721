import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.testing import check_layer_config
from mtkit_bert import Bert
from mtkit_bert.projection import ProjectionWithDelta

TEXTS = [None, "milk", "bread", "milk", None]
VECTORS = np.random.default_rng(0).normal(size=[5, 6]).astype(np.float32)
DIM = 3


@pytest.fixture
def layer():
    """A layer with residuals that are not zeros, row 0's not either."""
    layer = ProjectionWithDelta("vectors", "rows", rows=5, dim=DIM, delta_dropout=0.25)
    layer(features(np.arange(5)))
    layer.residuals.set_weights([np.random.default_rng(1).normal(size=[5, DIM])])
    return layer


def features(rows):
    return {"vectors": VECTORS[rows], "rows": np.array(rows, np.int32)[:, None]}


def projected(layer, rows):
    kernel, bias = layer.dense.get_weights()
    return VECTORS[rows] @ kernel + bias


def test_residuals_are_found_by_the_ids_of_their_entity():
    layer = ProjectionWithDelta("item.text/words", "item.text/words/row", rows=5, dim=DIM)
    layer({"item.text/words": VECTORS, "item.text/words/row": np.arange(5, dtype=np.int32)[:, None]})
    (axis,) = layer.axes()
    assert axis[1:] == (0, "item.id")
    assert axis.variable is layer.residuals.embeddings


def test_residuals_begin_as_nothing(make_checkpoint, make_context):
    context = make_context(TEXTS)
    options = {"reads": ["item.text"], "checkpoint": str(make_checkpoint()), "dim": DIM, "max_tokens": 16}
    spec = Bert(**options, delta=True)
    columns = spec.derive(context)
    assert {address: values.shape for address, values in columns.items()} == {
        "item.text/words": (5, 12),
        "item.text/words/row": (5, 1),
    }
    layer, plain = spec.build(context), Bert(**options).build(context)
    output, frozen = layer(columns), plain(columns)
    plain.set_weights(layer.dense.get_weights())
    np.testing.assert_allclose(output, plain(columns), atol=1e-6)
    assert frozen.shape == output.shape == (5, DIM)


def test_every_row_but_the_unknown_has_one(layer):
    rows = np.array([3, 0, 1, 1])
    expected = projected(layer, rows) + layer.residuals.get_weights()[0][rows] * (rows > 0)[:, None]
    np.testing.assert_allclose(layer(features(rows)), expected, atol=1e-6)


def test_dropout_leaves_out_whole_residuals(layer):
    rows = np.tile(np.arange(5), 2000)
    added = layer(features(rows), training=True).numpy() - projected(layer, rows)
    residuals = layer.residuals.get_weights()[0][rows]
    whole = np.abs(added - residuals).max(axis=1) < 1e-5
    nothing = np.abs(added).max(axis=1) < 1e-5
    assert (whole ^ nothing).all()
    assert nothing[rows == 0].all()
    assert nothing[rows > 0].mean() == pytest.approx(0.25, abs=0.02)


def test_only_rows_of_the_batch_get_gradients(layer):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(features(np.array([0, 2, 2]))))
    gradient = tf.convert_to_tensor(tape.gradient(loss, layer.residuals.trainable_variables)[0])
    np.testing.assert_array_equal(gradient, 2.0 * (np.arange(5) == 2)[:, None] * np.ones([5, DIM]))


def test_unseen_texts_have_none(make_checkpoint, make_context):
    spec = Bert(reads=["item.text"], checkpoint=str(make_checkpoint()), max_tokens=16, delta=True)
    columns = spec.derivation(make_context(TEXTS))({"item_text_token_ids": tf.constant([[2, 5, 3], [0, 0, 0]])})
    assert set(columns) == {"item.text/words", "item.text/words/row"}
    np.testing.assert_array_equal(columns["item.text/words/row"], [[0], [0]])


def test_config_round_trip(layer):
    check_layer_config(layer)
