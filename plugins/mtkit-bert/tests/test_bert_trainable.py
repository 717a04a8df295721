import numpy as np
import pytest
from text_model import Model, everything

from mtkit.backend import keras, tf
from mtkit.errors import DataError
from mtkit.optimizers import Sgd, learning_rate_factors, precision_scope
from mtkit.testing import check_layer_config
from mtkit_bert.layers import BertModel, Block
from mtkit_bert.trainable import TrainableText

TEXTS = [None, "milk", "fresh bread | a", "", "milky milk bread", "milk", "牛奶 milky", "a | bread milk a"]
DIM, BLOCKS = 3, 2
DENSES = ("qkv", "attended", "intermediate", "output")


FAMILIES = pytest.mark.parametrize("family", ["bert", "mpnet"])


@pytest.fixture
def family():
    """Of the checkpoints of `make`, where a test is not of several."""
    return "bert"


@pytest.fixture
def make(make_checkpoint, make_context, family):
    """A function from the encoder's options to a model with the text encoder; all have the same weights."""
    path = make_checkpoint(family, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    return lambda **options: Model(make_context(TEXTS), path, **options)


def changed(model, steps=1, rows=range(1, 8)):
    """The names of the variables that steps change."""
    before = {name: variable.numpy() for name, variable in everything(model).items()}
    model.compile(Sgd(0.1))
    for _ in range(steps):
        model.train_step(tf.constant(list(rows)))
    return {name for name, variable in everything(model).items() if not np.array_equal(variable, before[name])}


def of_blocks(*numbers):
    denses = {f"{name}/{kind}" for name in ("qkv", "attended", "intermediate", "output") for kind in ("kernel", "bias")}
    norms = {f"{name}/{kind}" for name in ("attention_norm", "output_norm") for kind in ("gamma", "beta")}
    return {f"block_{number}/{name}" for number in numbers for name in denses | norms}


def adapters(*names, layers=("qkv",)):
    return {f"block_{i}/{layer}_lora/{name}" for i in range(BLOCKS) for layer in layers for name in names}


def embeddings(family):
    third = "relative" if family == "mpnet" else "types"
    return {f"{name}/embeddings" for name in ("words", "positions", third)} | {"norm/gamma", "norm/beta"}


PROJECTION = {"dense/kernel", "dense/bias"}


@pytest.mark.parametrize(
    ("options", "steps", "expected"),
    [
        ({"mode": "full"}, 1, of_blocks(0, 1) | PROJECTION),
        ({"mode": "full", "gradient_checkpointing": True}, 1, of_blocks(0, 1) | PROJECTION),
        ({"mode": "full", "components": 4}, 1, of_blocks(0, 1) | PROJECTION),
        ({"mode": "last_n", "n": 1}, 1, of_blocks(1) | PROJECTION),
        ({"mode": "last_n", "n": 2}, 1, of_blocks(0, 1) | PROJECTION),
        # While B is zeros, A has no gradient.
        ({"mode": "lora"}, 1, adapters("b") | PROJECTION),
        ({"mode": "lora"}, 2, adapters("a", "b") | PROJECTION),
        (
            {"mode": "lora", "targets": ["value", "output", "intermediate", "attention_output"]},
            2,
            adapters("a", "b", layers=("qkv", "output", "intermediate", "attended")) | PROJECTION,
        ),
    ],
    ids=lambda value: "" if isinstance(value, set) else str(value),
)
@FAMILIES
def test_what_steps_change(make, family, options, steps, expected):
    model = make(**options)
    if options["mode"] == "full":
        expected = expected | embeddings(family)
    assert changed(model, steps) == expected
    trainable = {
        name for name, v in everything(model).items() if any(v is other for other in model.trainable_variables)
    }
    assert trainable == expected | (adapters("a") if options["mode"] == "lora" else set())


@pytest.mark.parametrize("components", [None, 2])
@pytest.mark.parametrize("mode", ["lora", "last_n", "full"])
@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "mpnet"])
def test_before_training_texts_are_as_frozen_ones(make_checkpoint, make_context, mode, family, components):
    path = make_checkpoint(family)
    frozen = Model(make_context(TEXTS), path, components=components)
    trainable = Model(make_context(TEXTS), path, mode=mode, components=components)
    trainable.encoder.dense.set_weights(frozen.encoder.dense.get_weights())
    for rows in ([1], [0, 3], [7, 5, 1, 1, 4, 0, 2, 6]):
        np.testing.assert_allclose(trainable(np.array(rows)), frozen(np.array(rows)), atol=1e-5)
    assert trainable(np.zeros([0], int)).shape == (0, DIM)


def test_an_adapter_adds_the_scaled_product(make):
    model, rows = make(mode="lora", rank=2, alpha=6.0, targets=["key", "output"]), np.arange(8)
    rng = np.random.default_rng(0)
    for name, variable in everything(model).items():
        if name.endswith("_lora/b"):
            variable.assign(rng.normal(size=variable.shape))
    merged = make(mode="full")
    for name, variable in everything(merged).items():
        value = everything(model)[name].numpy()
        for layer, part in (("qkv", slice(12, 24)), ("output", slice(0, 12))):
            if name.endswith(f"/{layer}/kernel"):
                a, b = (everything(model)[name.replace("/kernel", f"_lora/{kind}")].numpy() for kind in "ab")
                value[:, part] += 3.0 * a @ b[0]
        variable.assign(value)
    np.testing.assert_allclose(model(rows), merged(rows), atol=1e-5)


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("bert", {"mode": "full"}),
        ("bert", {"mode": "lora"}),
        pytest.param("bert", {"mode": "lora", "targets": ["key", "output"]}, marks=pytest.mark.slow),
        pytest.param("mpnet", {"mode": "full"}, marks=pytest.mark.slow),
    ],
)
def test_gradients_are_those_of_differences(make, options):
    model, rows, rng = make(**options), np.arange(8), np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign_add(rng.normal(0, 0.1, variable.shape))

    def loss(training=True):
        return tf.reduce_sum(tf.sin(10.0 * model(rows, training=training)))

    with tf.GradientTape() as tape:
        value = loss()
    np.testing.assert_allclose(value, loss(training=False), rtol=1e-4)
    gradients = tape.gradient(value, model.trainable_variables)
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        direction = rng.normal(size=variable.shape).astype(np.float32)
        direction /= np.linalg.norm(direction)
        values = []
        for sign in (1, -2, 1):
            variable.assign_add(sign * 0.01 * direction)
            values.append(float(loss()))
        expected = (values[0] - values[1]) / 0.02
        assert float(tf.reduce_sum(tf.convert_to_tensor(gradient) * direction)) == pytest.approx(
            expected, abs=0.02, rel=0.05
        )


@pytest.mark.parametrize("recompute", [False, True])
def test_texts_go_through_the_network_once(make, monkeypatch, recompute):
    model, seen = make(mode="full", gradient_checkpointing=recompute), []
    call = BertModel.call
    monkeypatch.setattr(
        BertModel, "call", lambda self, ids, *a, **k: seen.append(ids.shape) or call(self, ids, *a, **k)
    )
    model(np.array([1, 5, 1, 5, 0, 3]), training=True)
    assert seen == [(2, 3)]
    seen.clear()
    model(np.tile(np.arange(8), 8), training=True)
    assert seen == [(6, 7)]


def test_padding_goes_through_attention_alone(make, monkeypatch):
    model, rows, seen, call = make(mode="full"), np.arange(8), [], Block.call
    expected = model(rows)
    monkeypatch.setattr(
        Block, "call", lambda self, x, mask, *rest: seen.append((x.shape, mask.shape)) or call(self, x, mask, *rest)
    )
    np.testing.assert_allclose(model(rows, training=True), expected, atol=1e-5)
    # Texts 1 and 5 are the same.
    lengths = tf.reduce_sum(tf.cast(model.columns["item.text/words/tokens"] != 0, tf.int32), axis=1).numpy()
    assert seen == [((lengths.sum() - lengths[1], 12), (6, lengths.max()))] * BLOCKS
    assert model(np.array([0, 3]), training=True).shape == (2, DIM)


def test_blocks_are_cut_to_their_longest_text(make, monkeypatch):
    monkeypatch.setattr("mtkit_bert.trainable._BLOCK", 2)
    model, rows = make(mode="full"), np.array([4, 2, 0, 1, 7, 6, 5])
    expected = np.stack([model(rows[i : i + 1])[0] for i in range(7)])
    seen = []
    call = BertModel.call
    monkeypatch.setattr(
        BertModel, "call", lambda self, ids, *a, **k: seen.append(ids.shape) or call(self, ids, *a, **k)
    )
    np.testing.assert_allclose(model(rows), expected, atol=1e-6)
    assert seen == [(2, 3), (2, 6), (2, 7)]
    np.testing.assert_allclose(tf.function(model)(rows), expected, atol=1e-6)


@pytest.mark.parametrize("family", ["bert", pytest.param("mpnet", marks=pytest.mark.slow)])
def test_recomputed_blocks_give_the_same_step(make_checkpoint, make_context, family):
    path, losses, weights = make_checkpoint(family), [], []
    for recompute in (False, True):
        keras.utils.set_random_seed(7)
        model = Model(make_context(TEXTS), path, mode="full", gradient_checkpointing=recompute)
        model.compile(Sgd(0.002))
        step = tf.function(model.train_step)
        losses.append([float(step(tf.range(8))["loss"]) for _ in range(3)])
        weights.append(model.get_weights())
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    for plain, recomputed in zip(*weights, strict=True):
        np.testing.assert_allclose(plain, recomputed, atol=1e-5)
    assert len({round(loss, 5) for loss in losses[0]}) == 3


@pytest.mark.parametrize("precision", ["mixed_bfloat16", pytest.param("mixed_float16", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("bert", {"mode": "lora"}),
        ("bert", {"mode": "full", "gradient_checkpointing": True}),
        pytest.param("mpnet", {"mode": "full", "gradient_checkpointing": True}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_half_precision_trains(make, precision, options):
    with precision_scope(precision):
        model = make(**options)
    assert model.encoder.network(tf.constant([[2, 5, 3]])).dtype == precision.removeprefix("mixed_")
    assert {v.dtype for v in model.weights} == {tf.float32}
    assert model(np.arange(8)).dtype == precision.removeprefix("mixed_")
    model.compile(Sgd(0.002))
    step = tf.function(lambda rows: model.train_step(rows)["loss"])
    losses = [float(step(tf.range(1, 8))) for _ in range(20)]
    assert losses[-1] < 0.7 * losses[0]
    np.testing.assert_allclose(losses[0], 7 * DIM, rtol=0.2)


@FAMILIES
def test_learning_rates_fall_from_block_to_block(make, family):
    model = make(mode="full", learning_rate_factor=0.5, layer_decay=0.1)
    factors = {id(variable): factor for variable, factor in learning_rate_factors(model)}
    found = {name: factors.get(id(v)) for name, v in everything(model).items()}
    expected = dict.fromkeys(of_blocks(1), 0.5) | dict.fromkeys(of_blocks(0), 0.05)
    expected |= dict.fromkeys(embeddings(family), 0.005) | dict.fromkeys(PROJECTION)
    assert {k: v and round(v, 9) for k, v in found.items()} == expected
    assert not learning_rate_factors(make(mode="full", learning_rate_factor=1.0))
    assert len(learning_rate_factors(make(mode="lora"))) == len(adapters("a", "b"))


@FAMILIES
def test_layer_config_round_trip(make):
    for options in ({"mode": "lora"}, {"mode": "last_n", "n": 1}, {"mode": "full"}):
        model = make(**options)
        layer = model.encoder
        check_layer_config(layer)
        again = TrainableText.from_config(layer.get_config())
        columns = {address: tf.gather(values, [1, 2]) for address, values in model.columns.items()}
        again(columns)
        again.set_weights(layer.get_weights())
        np.testing.assert_allclose(again(columns), layer(columns), atol=1e-6)
        assert [v.shape for v in again.trainable_variables] == [v.shape for v in layer.trainable_variables]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "last_n", "n": 3}, r"encoder words over item.text: n is 3, but .* has 2 blocks"),
        ({"mode": "full", "max_tokens": 25}, r"max_tokens is 25, but .* has 24 positions"),
    ],
)
def test_what_does_not_fit_the_checkpoint_is_refused(make, options, message):
    with pytest.raises(DataError, match=message):
        make(**options)
