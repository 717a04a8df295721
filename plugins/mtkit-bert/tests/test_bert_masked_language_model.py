import math
from dataclasses import replace

import numpy as np
import pytest

from mtkit.backend import keras, tf
from mtkit.errors import DataError
from mtkit.optimizers import Sgd
from mtkit.testing import check_import_is_light, check_self_supervised_head, check_spec
from mtkit_bert import Bert, HuggingFace, MaskedLanguageModel
from mtkit_bert.masked_language_model import MaskedLanguageModelHead

TEXTS = [None, "milk", "fresh bread | a", "", "milky milk bread", "milk", "牛奶 milky", "a | bread milk a" * 3]
IDS = np.arange(len(TEXTS), dtype=np.int32)
FAMILIES = ["bert", "roberta", "distilbert", "mpnet"]
STILL = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "dropout": 0.0, "attention_dropout": 0.0}


@pytest.mark.parametrize("texts", [[None] * 3, [None, "", " \n"]])
def test_without_any_text_there_is_nothing_to_learn(make, texts):
    message = (
        r"task words, encoder words: all texts of item\.text are empty or missing, so there is nothing to learn; name"
    )
    with pytest.raises(DataError, match=message):
        make(texts=texts)


def test_one_text_is_enough(make):
    losses, weights = make(texts=[None, "milk", "", None]).losses(np.arange(4))
    assert np.isfinite(losses).all()
    assert weights.tolist() == [0, 1, 0, 0]


class Task:
    """An encoder with its columns, and a head that trains it."""

    def __init__(self, make_context, path, share=0.15, texts=TEXTS, **options):
        defaults = {"reads": ["item.text"], "checkpoint": str(path), "max_tokens": 16, "dim": 3, "mode": "full"}
        spec = Bert(**defaults | options)
        context = replace(make_context(texts), encoders={"words": spec})
        self.columns = {address: tf.constant(values) for address, values in spec.derive(context).items()}
        self.encoder = spec.build(context)
        self.head = MaskedLanguageModel(rows="items", encoder="words", share=share).build(context)

    def features(self, rows):
        return {address: tf.gather(values, rows) for address, values in self.columns.items()}

    def loss(self, rows=IDS, training=False):
        return self.head(self.features(rows), rows, self.encoder, training=training)

    def losses(self, rows=IDS, training=False):
        return tuple(values.numpy() for values in self.loss(rows, training))

    def measure(self, rows=IDS, seen=IDS):
        observed = self.head.observe(self.features(seen), self.encoder)
        measured = self.head.measure(self.features(rows), rows, self.encoder, observed)
        return tf.nest.map_structure(lambda values: values.numpy(), measured)


@pytest.fixture
def make(make_checkpoint, make_context, with_head):
    """A function from a family and options to a task, on a checkpoint with a head and without dropout."""

    def make(family="bert", **options):
        path = make_checkpoint(family, change=with_head(family), **STILL)
        return Task(make_context, path, **options)

    return make


def hidden_tokens(task, row):
    """(place, token) of a row's hidden tokens, and the ids that the network sees, by the fixed masks."""
    ids = task.columns["item.text/words/tokens"].numpy()[row]
    length = int((ids != task.encoder.network.padding).sum())
    if not length:
        return [], ids
    numbers = tf.reshape(tf.cast(np.array([row]), tf.int64), [1])
    from mtkit_bert.masking import hashed

    masked = task.head.masking(
        ids[None], np.array([length]), tf.constant([0, -1], tf.int64), hashed(numbers, tf.constant([0]))
    )
    places = masked.index.numpy()[:, 1]
    return list(zip(places, masked.targets.numpy(), strict=True)), masked.ids.numpy()[0, :length]


def log_probabilities(task, hidden):
    """Of the vocabulary, from one hidden state, in NumPy and float64."""
    head = task.head
    kernel, bias, gamma, beta = (v.numpy().astype(float) for v in [*head.dense.weights, *head.norm.weights])
    x = hidden.astype(float) @ kernel + bias
    x = (
        np.maximum(x, 0)
        if head.activation == "relu"
        else x * np.vectorize(lambda v: 0.5 * (1 + math.erf(v / 2**0.5)))(x)
    )
    x = (x - x.mean()) / np.sqrt(x.var() + head.epsilon) * gamma + beta
    logits = x @ task.encoder.network.words.embeddings.numpy().astype(float).T + head.bias.numpy()
    return logits - np.log(np.exp(logits).sum())


@pytest.mark.parametrize("family", FAMILIES)
def test_the_loss_is_the_cross_entropy_of_hidden_tokens(make, family):
    task = make(family, share=0.4)
    losses, weights = task.losses()
    measured = task.measure()["model"]
    for row in range(len(TEXTS)):
        tokens, ids = hidden_tokens(task, row)
        assert weights[row] == len(tokens) == measured["accuracy"][1][row]
        if not tokens:
            assert losses[row] == 0
            continue
        states = task.encoder.network(ids[None]).numpy()[0]
        predicted = [log_probabilities(task, states[place]) for place, _ in tokens]
        expected = -np.mean([p[token] for p, (_, token) in zip(predicted, tokens, strict=True)])
        hits = np.mean([p.argmax() == token for p, (_, token) in zip(predicted, tokens, strict=True)])
        assert losses[row] == pytest.approx(expected, rel=1e-4)
        assert measured["cross_entropy"][0][row] == pytest.approx(expected, rel=1e-4)
        assert measured["accuracy"][0][row] == pytest.approx(hits)
    assert {0, 1, 2, 4} == set(weights)


def test_unigrams_are_those_of_training(make):
    task = make(share=0.4)
    seen = tf.constant([1, 4, 5])  # milk; milk ##y milk bread; milk
    counts = {5: 4, 6: 1, 7: 1}
    unigram = task.measure(seen=seen)["unigram"]
    for row in range(len(TEXTS)):
        tokens, _ = hidden_tokens(task, row)
        expected = [-math.log((counts.get(token, 0) + 1) / (6 + 10)) for _, token in tokens]
        assert unigram["cross_entropy"][0][row] == pytest.approx(np.mean(expected) if tokens else 0, rel=1e-5)
        assert unigram["accuracy"][0][row] == pytest.approx(np.mean([t == 5 for _, t in tokens]) if tokens else 0)


def test_metrics():
    spec = MaskedLanguageModel(rows="items", encoder="words")
    means = {
        "cross_entropy": (np.array([1.0, 3.0, 9.0]), np.array([3.0, 1.0, 0.0])),
        "accuracy": (np.array([1.0, 0.0, 1.0]), np.array([3.0, 1.0, 0.0])),
    }
    assert spec.values(means) == pytest.approx({"perplexity": math.exp(1.5), "cross_entropy": 1.5, "accuracy": 0.75})
    assert list(spec.values(means)) == list(spec.metrics)
    none = {name: (values, 0 * weights) for name, (values, weights) in means.items()}
    assert all(math.isnan(value) for value in spec.values(none).values())


def test_masks_of_training_are_those_of_seed_step_and_row(make):
    task = make(share=0.4)
    task.head.seed.assign(11)
    first, second = task.losses(training=True), task.losses(training=True)
    assert int(task.head.step) == 2
    assert np.abs(first[0] - second[0]).max() > 0.01
    task.head.step.assign(0)
    np.testing.assert_array_equal(task.losses(training=True)[0], first[0])
    task.head.step.assign(0)
    some = np.array([7, 2, 0], np.int32)
    np.testing.assert_allclose(task.losses(some, training=True)[0], first[0][some], rtol=1e-5)
    task.head.step.assign(0)
    task.head.seed.assign(12)
    assert np.abs(task.losses(training=True)[0] - first[0]).max() > 0.01
    np.testing.assert_array_equal(task.losses()[0], task.losses()[0])


def test_seeds_are_those_of_the_run(make):
    task, seeds = make(), []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        head = MaskedLanguageModelHead.from_config(task.head.get_config())
        head.build(None)
        seeds.append(int(head.seed))
    assert seeds[0] == seeds[1] != seeds[2]


def test_windows_and_several_texts_count_like_texts(make_checkpoint, make_context, with_head):
    path = make_checkpoint(change=with_head("bert"), **STILL)
    long = [None, " ".join(["milk bread a"] * 6), "milk", "fresh " * 7]
    task = Task(make_context, path, texts=long, max_tokens=10, chunks=3, share=0.3)
    # 18 tokens in windows of 8, 8 and 2; 7 tokens.
    losses, weights = task.losses(tf.range(4))
    assert weights.tolist() == [0, 2 + 2 + 1, 1, 2]
    assert (losses > 0).tolist() == [False, True, True, True]


def changed(task, steps=2):
    network, head = task.encoder.network, task.head
    variables = {v.ref(): v for v in (*network.trainable_variables, *head.trainable_variables)}.values()
    everything = [*network.weights, *_weights(head)]
    before = [v.numpy() for v in everything]
    optimizer = Sgd(0.1)
    for _ in range(steps):
        with tf.GradientTape() as tape:
            losses, weights = task.loss(training=True)
            loss = tf.reduce_sum(losses * weights)
        optimizer.minimize(loss, list(variables), tape)
    return [not np.array_equal(v, old) for v, old in zip(everything, before, strict=True)], len(network.weights)


def _weights(head):
    return [*head.dense.weights, *head.norm.weights, head.bias]


def test_what_steps_change(make):
    moved, _ = changed(make(share=0.4))
    assert all(moved)


@pytest.mark.parametrize("options", [{"mode": "lora"}, {"mode": "last_n", "n": 1}], ids=str)
def test_parts_of_the_network_train(make, options):
    task = make(share=0.4, **options)
    moved, size = changed(task)
    trains = {v.ref() for v in task.encoder.network.trainable_variables}
    assert [v.ref() in trains for v in task.encoder.network.weights] == moved[:size]
    assert not task.encoder.network.words.trainable
    assert all(moved[size:])


def test_replicas_have_the_masks_and_gradients_of_one_device(make_checkpoint, make_context, with_head, two_replicas):
    path = make_checkpoint(change=with_head("bert"), **STILL)

    def gradients(task, rows):
        with tf.GradientTape() as tape:
            losses, weights = task.loss(rows, training=True)
            total = tf.reduce_sum(losses * weights)
        variables = [task.encoder.network.words.embeddings, task.head.dense.kernel]
        return total, *map(tf.convert_to_tensor, tape.gradient(total, variables))

    keras.utils.set_random_seed(3)
    one = Task(make_context, path, share=0.4)
    keras.utils.set_random_seed(3)
    with two_replicas.scope():
        two = Task(make_context, path, share=0.4)
    halves = two_replicas.experimental_distribute_values_from_function(
        lambda context: tf.range(4) + 4 * context.replica_id_in_sync_group
    )
    run = tf.function(lambda rows: two_replicas.run(lambda own: gradients(two, own), (rows,)))
    for step in (1, 2):
        expected = gradients(one, IDS)
        for found, value in zip(run(halves), expected, strict=True):
            np.testing.assert_allclose(two_replicas.reduce("SUM", found, axis=None), value, rtol=1e-4, atol=1e-4)
        assert two.head.step.numpy() == one.head.step.numpy() == step


def usual(state):
    """Tensors as small as those of a network that nobody has trained."""
    norms = {name: np.full_like(value, name.endswith("weight")) for name, value in state.items() if "LayerNorm" in name}
    return {name: 0.25 * value for name, value in state.items()} | norms


def test_training_learns_its_texts(make_checkpoint, make_context):
    texts = [None, *["fresh milk bread"] * 3, *["a | a"] * 3, "牛 奶"]
    task = Task(make_context, make_checkpoint(change=usual, **STILL), share=0.4, texts=texts)
    variables = [*task.encoder.network.trainable_variables, *task.head.trainable_variables]
    optimizer = keras.optimizers.Adam(0.01)
    optimizer.build(variables)
    step = tf.function(lambda: _step(task, variables, optimizer))
    for _ in range(100):
        step()
    model, unigram = (values["cross_entropy"][0][1:].mean() for values in task.measure().values())
    assert model < 0.5
    assert unigram > 1.5


def _step(task, variables, optimizer):
    with tf.GradientTape() as tape:
        losses, _ = task.loss(training=True)
        loss = tf.reduce_mean(losses)
    optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))


def test_a_new_head_where_there_is_none(make_checkpoint, make_context):
    task = Task(make_context, make_checkpoint())
    assert not task.head.bias.numpy().any()
    assert 0.005 < task.head.dense.kernel.numpy().std() < 0.03
    assert math.isfinite(float(tf.reduce_sum(task.loss()[0])))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"task words, encoder words: .*tensors are missing: cls.predictions.bias$"),
        ({"tie_word_embeddings": False}, r"tie_word_embeddings is false, but tokens can only be predicted by"),
        ({"model_type": "gpt2"}, r"model_type 'gpt2' has no masked language model; expected one of bert, roberta, "),
    ],
)  # fmt: skip
def test_what_has_no_such_head(make_checkpoint, make_context, with_head, options, message):
    def change(state):
        return {name: value for name, value in with_head("bert")(state).items() if name != "cls.predictions.bias"}

    spec = Bert(reads=["item.text"], checkpoint=str(make_checkpoint(change=change, **options)), mode="full")
    context = replace(make_context(TEXTS), encoders={"words": spec})
    with pytest.raises(DataError, match=message):
        MaskedLanguageModel(rows="items", encoder="words").build(context)


@pytest.mark.parametrize(
    ("family", "options"),
    [*((family, {}) for family in FAMILIES), ("bert", {"mode": "lora"}), ("bert", {"max_tokens": 5, "chunks": 4})],
    ids=str,
)
def test_the_head_conforms(make_checkpoint, make_context, with_head, family, options):
    task = Task(make_context, make_checkpoint(family, change=with_head(family)), **options)
    spec, tokens = MaskedLanguageModel(rows="items", encoder="words"), "item.text/words/tokens"
    padded = tf.pad(task.columns[tokens], [[0, 0], [0, 5]], constant_values=task.encoder.network.padding)
    check_self_supervised_head(task.head, spec, task.encoder, task.columns, task.columns | {tokens: padded})


def test_specs():
    check_import_is_light("mtkit_bert.pretraining")
    check_spec(MaskedLanguageModel(rows="items", encoder="words"))
    check_spec(HuggingFace(encoder="words"))


def test_refused_encoders():
    from mtkit.standard.encoders import Features

    task, export = MaskedLanguageModel(rows="items", encoder="words"), HuggingFace(encoder="words")
    frozen, other = Bert(reads=["item.text"]), Features(reads=["item.id"])
    assert task.refusal(frozen) == "'words' is frozen; expected mode = 'full', 'last_n' or 'lora'"
    assert task.refusal(other) == "'words' is no encoder `bert`; expected one whose network trains"
    assert task.refusal(Bert(reads=["item.text"], mode="lora")) == ""
    assert export.refusal({"words": frozen}) == task.refusal(frozen)
    assert export.refusal({"look": other}) == "no encoder is called 'words'; there are look"
    assert export.refusal({"words": None}) == ""
