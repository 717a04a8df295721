import math

import numpy as np
import pytest
from checkpoints import ids_of
from safetensors.numpy import load_file

from mtkit.backend import keras, tf
from mtkit.errors import DataError
from mtkit_bert.layers import BertModel, Pooling
from mtkit_bert.projection import TextProjection

IDS = np.array([[2, 5, 6, 11, 3, 0, 0], [2, 13, 13, 8, 9, 7, 3], [0, 0, 0, 2, 1, 12, 3]], np.int32)
MASK = (IDS != 0).astype(np.int32)
TYPES = np.array([[0, 0, 1, 1, 1, 0, 0], [0] * 7, [0, 0, 0, 0, 0, 1, 1]], np.int32)


def hidden_states(state, ids, mask, types, *, heads, epsilon, activation, positions):
    """One text at a time, one head at a time, in float64: the definition."""
    state = {name: value.astype(np.float64) for name, value in state.items()}

    def linear(x, name):
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(x, name):
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + epsilon) * state[f"{name}.weight"] + state[f"{name}.bias"]

    def attention(x, query, key, value):
        outputs = []
        for part in np.split(np.arange(x.shape[-1]), heads):
            scores = linear(x, query)[:, part] @ linear(x, key)[:, part].T / math.sqrt(len(part))
            if table in state:
                scores += state[table][buckets(len(ids)), part[0] // len(part)]
            scores = np.where(mask[None, :] == 1, scores, -np.inf)
            scores = np.exp(scores - scores.max(-1, keepdims=True))
            outputs.append(scores / scores.sum(-1, keepdims=True) @ linear(x, value)[:, part])
        return np.concatenate(outputs, -1)

    table, embeddings = "encoder.relative_attention_bias.weight", "embeddings.{}_embeddings.weight"
    x = state[embeddings.format("word")][ids] + state[embeddings.format("position")][positions]
    if embeddings.format("token_type") in state:
        x = x + state[embeddings.format("token_type")][types]
    x = norm(x, "embeddings.LayerNorm")
    for i in range(2):
        at = f"encoder.layer.{i}"
        names = [f"{at}.attention.self.{name}" for name in ("query", "key", "value")]
        x = norm(x + linear(attention(x, *names), f"{at}.attention.output.dense"), f"{at}.attention.output.LayerNorm")
        wide = activation(linear(x, f"{at}.intermediate.dense"))
        x = norm(x + linear(wide, f"{at}.output.dense"), f"{at}.output.LayerNorm")
    return x


def buckets(tokens):
    """MPNet's, of 32, `[query, key]`: 8 distances one by one, then 8 ranges, of which two double; those behind by 16."""

    def one(distance):
        ranges = sum(distance**2 >= 64 * 2**k for k in range(8))
        return 7 + ranges if ranges else distance

    return np.array([[one(abs(q - k)) + 16 * (k > q) for k in range(tokens)] for q in range(tokens)])


def gelu(x):
    return np.vectorize(lambda v: v * 0.5 * (1 + math.erf(v / math.sqrt(2))))(x)


TO_BERT = {
    "attention.attn.q": "attention.self.query",
    "attention.attn.k": "attention.self.key",
    "attention.attn.v": "attention.self.value",
    "attention.attn.o": "attention.output.dense",
    "attention.LayerNorm": "attention.output.LayerNorm",
    "transformer.layer": "encoder.layer",
    "attention.q_lin": "attention.self.query",
    "attention.k_lin": "attention.self.key",
    "attention.v_lin": "attention.self.value",
    "attention.out_lin": "attention.output.dense",
    "sa_layer_norm": "attention.output.LayerNorm",
    "ffn.lin1": "intermediate.dense",
    "ffn.lin2": "output.dense",
    "output_layer_norm": "output.LayerNorm",
}


def renamed(state):
    def rename(name):
        for old, new in TO_BERT.items():
            name = name.replace(old, new)
        return name

    return {rename(name): value for name, value in state.items()}


@pytest.mark.parametrize(
    ("family", "epsilon", "activation"),
    [
        ("bert", 1e-12, gelu),
        ("roberta", 1e-5, gelu),
        ("mpnet", 1e-5, gelu),
        ("distilbert", 1e-12, lambda x: np.maximum(x, 0)),
    ],
)
def test_hidden_states_equal_the_definition(make_checkpoint, family, epsilon, activation):
    path = make_checkpoint(family)
    types = TYPES if family == "bert" else np.zeros_like(TYPES)
    ids = ids_of(family, IDS)
    actual = BertModel.from_checkpoint(path)(ids, MASK, types).numpy()
    state = renamed(load_file(path / "model.safetensors"))
    for row in range(len(IDS)):
        counted = np.cumsum(MASK[row]) * MASK[row] + (family == "mpnet")
        expected = hidden_states(
            state, ids[row], MASK[row], types[row],
            heads=3, epsilon=epsilon, activation=activation,
            positions=counted if family in ("roberta", "mpnet") else np.arange(IDS.shape[1]),
        )  # fmt: skip
        np.testing.assert_allclose(actual[row][MASK[row] == 1], expected[MASK[row] == 1], atol=2e-5)


@pytest.mark.parametrize(
    ("name", "definition"),
    [
        ("gelu_new", lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
        ("quick_gelu", lambda x: x / (1 + np.exp(-1.702 * x))),
        ("silu", lambda x: x / (1 + np.exp(-x))),
    ],
)
def test_activations(make_checkpoint, name, definition):
    path = make_checkpoint(hidden_act=name)
    actual = BertModel.from_checkpoint(path)(IDS[1:2]).numpy()[0]
    expected = hidden_states(
        load_file(path / "model.safetensors"), IDS[1], np.ones(7), np.zeros(7, int),
        heads=3, epsilon=1e-12, activation=definition, positions=np.arange(7),
    )  # fmt: skip
    np.testing.assert_allclose(actual, expected, atol=2e-5)


def test_unknown_activation_is_refused(make_checkpoint):
    with pytest.raises(DataError, match=r"activation 'swishy' is not known; known are gelu"):
        BertModel.from_checkpoint(make_checkpoint(hidden_act="swishy"))


def test_texts_do_not_depend_on_their_batch(make_checkpoint):
    model = BertModel.from_checkpoint(make_checkpoint())
    together = model(IDS, MASK).numpy()
    alone = model(IDS[:1, :5], MASK[:1, :5]).numpy()
    np.testing.assert_allclose(together[0, :5], alone[0], atol=1e-5)


@pytest.mark.parametrize("family", ["roberta", "mpnet"])
def test_config_round_trip(make_checkpoint, family):
    model = BertModel.from_checkpoint(make_checkpoint(family))
    again = BertModel.from_config(model.get_config())
    again.build([None, None])
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again(IDS, MASK), model(IDS, MASK))
    assert again.get_config() == model.get_config()
    assert [v.shape for v in again.weights] == [v.shape for v in model.weights]


@pytest.mark.parametrize("family", ["bert", "mpnet"])
def test_in_a_keras_model_all_variables_train_and_it_is_saved(make_checkpoint, tmp_path, family):
    ids, mask = (keras.Input([None], dtype=tf.int32, name=name) for name in ("ids", "mask"))
    hidden = BertModel.from_checkpoint(make_checkpoint(family), dropout=0.0, name="bert")(ids, mask)
    model = keras.Model([ids, mask], keras.layers.Dense(1)(Pooling("mean")(hidden, mask)))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model([IDS, MASK], training=True) ** 2)
    gradients = tape.gradient(loss, model.trainable_variables)
    assert all(gradient is not None for gradient in gradients)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again([IDS, MASK]), model([IDS, MASK]), atol=1e-6)


def test_half_precision_is_finite_and_close(make_checkpoint):
    path = make_checkpoint()
    half = BertModel.from_checkpoint(path, dtype="mixed_float16")(IDS, MASK)
    assert half.dtype == tf.float16
    np.testing.assert_allclose(half, BertModel.from_checkpoint(path)(IDS, MASK), atol=0.05)


def test_dropout_acts_in_training_only(make_checkpoint):
    model = BertModel.from_checkpoint(make_checkpoint())
    np.testing.assert_array_equal(model(IDS, MASK), model(IDS, MASK, training=False))
    assert np.abs(model(IDS, MASK, training=True) - model(IDS, MASK)).max() > 0.01


def test_pooling():
    hidden = np.arange(12, dtype=np.float32).reshape([2, 3, 2])
    mask = np.array([[1, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(Pooling("mean")(hidden, mask), [[1, 2], [0, 0]])
    np.testing.assert_array_equal(Pooling("cls")(hidden, mask), [[0, 1], [6, 7]])
    assert Pooling.from_config(Pooling("cls").get_config()).pooling == "cls"


def test_projection_reads_its_address():
    layer = TextProjection("item.text/words", dim=5)
    vectors = np.array([[0, 0, 0], [1, 2, 3]], np.float32)
    output = layer({"item.text/words": vectors, "item.text": np.array(["", "milk"])}).numpy()
    kernel, bias = layer.get_weights()
    np.testing.assert_allclose(output, vectors @ kernel + bias, rtol=1e-6)
    assert TextProjection.from_config(layer.get_config()).get_config() == layer.get_config()
