"""Decoders that train: what a step changes, gradients, adapters, dropout."""

import numpy as np
import pytest
from text_model import Model, everything

from mtkit.backend import keras, tf
from mtkit.errors import DataError
from mtkit.optimizers import Sgd, learning_rate_factors
from mtkit.testing import check_layer_config
from mtkit_bert import Bert
from mtkit_bert.trainable import TrainableText

TEXTS = [None, "milk", "fresh bread | a", "", "milky milk bread", "牛奶 milky", "a | [PAD] bread a"]
ROWS, BLOCKS = len(TEXTS), 2
FAMILIES = ["llama", "qwen2", "qwen3", "gpt2"]
TARGETS = ["query", "key", "value", "attention_output", "intermediate", "output"]
DROPOUT = {"resid_pdrop": 0.2, "embd_pdrop": 0.2, "attention_dropout": 0.2, "attn_pdrop": 0.2}

#: Of a block: weights of its parts. Biases are where the family has them.
LLAMA = ("query", "key_value", "attended", "gate_up", "down")
GPT2 = ("qkv", "attended", "intermediate", "output")
BIASED = {"llama": ("query", "key_value", "attended"), "qwen2": ("query", "key_value"), "gpt2": GPT2}
NORMS = ("attention_norm", "feed_forward_norm")
#: What the targets `query` and `value` are.
ADAPTED = {"gpt2": ("qkv",)}
PROJECTION = {"dense/kernel", "dense/bias"}


def of_blocks(family, *numbers):
    denses = GPT2 if family == "gpt2" else LLAMA
    norms = (*NORMS, *(("query_norm", "key_norm") if family == "qwen3" else ()))
    kinds = ("gamma", "beta") if family == "gpt2" else ("gamma",)
    names = {f"{name}/kernel" for name in denses} | {f"{name}/bias" for name in BIASED.get(family, ())}
    return {f"block_{i}/{name}" for i in numbers for name in names | {f"{n}/{kind}" for n in norms for kind in kinds}}


def adapters(family, *names):
    layers = ADAPTED.get(family, ("query", "key_value"))
    return {f"block_{i}/{layer}_lora/{name}" for i in range(BLOCKS) for layer in layers for name in names}


def top(family):
    return {"norm/gamma"} | ({"norm/beta"} if family == "gpt2" else set())


def embeddings(family):
    return {"words/embeddings"} | ({"positions/embeddings"} if family == "gpt2" else set())


def expected(family, options):
    if options["mode"] == "full":
        return embeddings(family) | of_blocks(family, 0, 1) | top(family) | PROJECTION
    if options["mode"] == "last_n":
        return of_blocks(family, 1) | top(family) | PROJECTION
    return adapters(family, "a", "b") | PROJECTION


@pytest.mark.parametrize("options", [{"mode": "full"}, {"mode": "last_n", "n": 1}, {"mode": "lora"}], ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_what_steps_change(random_decoder_checkpoint, make_context, family, options):
    model = Model(make_context(TEXTS), random_decoder_checkpoint(family), **options)
    before = {name: variable.numpy() for name, variable in everything(model).items()}
    trainable = {id(variable) for variable in model.trainable_variables}
    model.compile(Sgd(0.1))
    first_of_lora = adapters(family, "a") if options["mode"] == "lora" else set()
    for missing in (first_of_lora, set()):
        model.train_step(tf.range(1, ROWS))
        changed = {name for name, v in everything(model).items() if not np.array_equal(v, before[name])}
        # While B is zeros, A has no gradient.
        wanted = expected(family, options) - missing
        assert changed == wanted
    assert {name for name, v in everything(model).items() if id(v) in trainable} == expected(family, options)


@pytest.mark.parametrize(("mode", "pooling"), [("lora", "last"), ("last_n", "mean"), ("full", "last")])
@pytest.mark.parametrize("family", ["qwen3", "gpt2", pytest.param("mistral", marks=pytest.mark.slow)])
def test_before_training_texts_are_as_frozen_ones(random_decoder_checkpoint, make_context, mode, family, pooling):
    path = random_decoder_checkpoint(family)
    frozen = Model(make_context(TEXTS), path, pooling=pooling)
    trainable = Model(make_context(TEXTS), path, mode=mode, pooling=pooling)
    trainable.encoder.dense.set_weights(frozen.encoder.dense.get_weights())
    for rows in ([1], [0, 3], [6, 5, 1, 1, 4, 0, 2]):
        for training in (False, True):
            np.testing.assert_allclose(trainable(np.array(rows), training=training), frozen(np.array(rows)), atol=1e-4)


@pytest.mark.parametrize("family", ["qwen3", "gpt2"])
def test_an_adapter_adds_the_scaled_product(random_decoder_checkpoint, make_context, family):
    """By the definition of each target: what of which kernel it is a part of."""
    path, rng = random_decoder_checkpoint(family), np.random.default_rng(0)
    model = Model(make_context(TEXTS), path, mode="lora", rank=2, alpha=6.0, targets=TARGETS)
    merged = Model(make_context(TEXTS), path, mode="full")
    merged.encoder.dense.set_weights(model.encoder.dense.get_weights())
    for name, variable in everything(model).items():
        if name.endswith("_lora/b"):
            variable.assign(rng.normal(size=variable.shape))
    places = {"qkv": 3, "key_value": 2, "gate_up": 2}
    for name, variable in everything(merged).items():
        if name.startswith("block") and name.endswith("/kernel"):
            a, b = (everything(model)[name.replace("/kernel", f"_lora/{kind}")].numpy() for kind in "ab")
            value, parts = variable.numpy(), places.get(name.split("/")[1], 1)
            width = value.shape[1] // parts
            for part in range(parts):
                value[:, part * width : (part + 1) * width] += 3.0 * a[:, 2 * part : 2 * part + 2] @ b[part]
            variable.assign(value)
    rows = np.arange(ROWS)
    plain = Model(make_context(TEXTS), path, mode="full")
    plain.encoder.dense.set_weights(model.encoder.dense.get_weights())
    np.testing.assert_allclose(model(rows), merged(rows), atol=1e-4)
    assert np.abs(plain(rows) - merged(rows)).max() > 1e-3


@pytest.mark.parametrize("options", [{"mode": "full"}, {"mode": "lora", "targets": TARGETS}], ids=str)
@pytest.mark.parametrize("family", ["qwen3", pytest.param("gpt2", marks=pytest.mark.slow)])
def test_gradients_are_those_of_differences(random_decoder_checkpoint, make_context, family, options):
    model, rng = Model(make_context(TEXTS), random_decoder_checkpoint(family), **options), np.random.default_rng(0)
    rows = np.arange(ROWS)
    for variable in model.trainable_variables:
        variable.assign_add(rng.normal(0, 0.1, variable.shape))
    loss = tf.function(lambda: tf.reduce_sum(tf.sin(10.0 * model(rows, training=True))))

    with tf.GradientTape() as tape:
        value = loss()
    gradients = tape.gradient(value, model.trainable_variables)
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        direction = rng.normal(size=variable.shape).astype(np.float32)
        direction /= np.linalg.norm(direction)
        values = []
        for sign in (1, -2, 1):
            variable.assign_add(sign * 0.002 * direction)
            values.append(float(loss()))
        wanted = (values[0] - values[1]) / 0.004
        found = float(tf.reduce_sum(tf.convert_to_tensor(gradient) * direction))
        assert found == pytest.approx(wanted, abs=0.03, rel=0.05), variable.name


@pytest.mark.parametrize("family", ["gpt2", pytest.param("mistral", marks=pytest.mark.slow)])
def test_recomputed_blocks_give_the_same_step(random_decoder_checkpoint, make_context, family):
    path, losses = random_decoder_checkpoint(family, **DROPOUT), []
    for recompute in (False, True):
        keras.utils.set_random_seed(7)
        model = Model(make_context(TEXTS), path, mode="full", gradient_checkpointing=recompute)
        model.compile(Sgd(0.002))
        step = tf.function(model.train_step)
        losses.append([float(step(tf.range(ROWS))["loss"]) for _ in range(3)])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    assert len({round(loss, 5) for loss in losses[0]}) == 3


@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2"])
def test_dropout_is_that_of_the_checkpoint(random_decoder_checkpoint, make_context, family):
    model = Model(make_context(TEXTS), random_decoder_checkpoint(family, **DROPOUT), mode="full")
    rows = np.arange(1, ROWS)
    assert model.encoder.network.blocks[0].attention_dropout == 0.2
    one, other = (model(rows, training=True).numpy() for _ in range(2))
    assert np.abs(one - other).max() > 1e-5
    np.testing.assert_array_equal(model(rows), model(rows))


def test_learning_rates_fall_from_block_to_block(random_decoder_checkpoint, make_context):
    options = {"mode": "full", "learning_rate_factor": 0.5, "layer_decay": 0.1}
    model = Model(make_context(TEXTS), random_decoder_checkpoint("qwen2"), **options)
    factors = {id(variable): factor for variable, factor in learning_rate_factors(model)}
    found = {name: factors.get(id(v)) for name, v in everything(model).items()}
    wanted = dict.fromkeys(of_blocks("qwen2", 1) | top("qwen2"), 0.5) | dict.fromkeys(of_blocks("qwen2", 0), 0.05)
    wanted |= dict.fromkeys(embeddings("qwen2"), 0.005) | dict.fromkeys(PROJECTION)
    assert {k: v and round(v, 9) for k, v in found.items()} == wanted


@pytest.mark.parametrize("family", ["qwen3", "gpt2"])
def test_layer_config_round_trip(random_decoder_checkpoint, make_context, family):
    model = Model(make_context(TEXTS), random_decoder_checkpoint(family), mode="lora", targets=TARGETS)
    check_layer_config(model.encoder)
    again = TrainableText.from_config(model.encoder.get_config())
    columns = {address: tf.gather(values, [1, 2]) for address, values in model.columns.items()}
    again(columns)
    again.set_weights(model.encoder.get_weights())
    np.testing.assert_allclose(again(columns), model.encoder(columns), atol=1e-6)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_requests_by_ids(random_decoder_checkpoint, make_context, family):
    """Id 0 is a token here, also at a text's end; padding is -1."""
    path, context = random_decoder_checkpoint(family), make_context(TEXTS)
    frozen, trained = (
        Bert(reads=["item.text"], checkpoint=str(path), max_tokens=16, mode=mode) for mode in ("frozen", "lora")
    )
    layer, columns = trained.build(context), trained.derive(context)
    assert (columns["item.text/words/tokens"][[0, 3]] == -1).all()
    request = {"item_text_token_ids": tf.constant([[2, 0, 5, 0, -1], [-1] * 5, [0, -1, -1, -1, -1]])}
    found = layer(trained.derivation(context)(request))
    kernel, bias = layer.dense.get_weights()
    vectors = frozen.derivation(context)(request)["item.text/words"].numpy()
    assert vectors.any(axis=1).tolist() == [True, False, True]
    np.testing.assert_allclose(found, vectors @ kernel + bias, atol=1e-5)
    request = {"item_text_token_ids": tf.pad(columns["item.text/words/tokens"], [[0, 0], [0, 2]], constant_values=-1)}
    np.testing.assert_allclose(layer(trained.derivation(context)(request)), layer(columns), atol=1e-5)


def test_the_first_token_is_refused(random_decoder_checkpoint, make_context):
    with pytest.raises(DataError, match=r"pooling is 'cls', but .* the first token sees no other"):
        Model(make_context(TEXTS), random_decoder_checkpoint("llama"), mode="full", pooling="cls")
