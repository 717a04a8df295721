"""Several texts of an entity in one encoder."""

import dataclasses

import numpy as np
import pytest

from mtkit.backend import keras, tf
from mtkit.errors import DataError
from mtkit_bert import Bert
from mtkit_bert.derive import combined
from mtkit_bert.tokenizer import load_tokenizer
from mtkit_bert.windows import combined as combined_tensors

READS = ("item.title", "item.about")
TITLES = [None, "milk", "fresh bread", None, "", "牛奶", "milk", "bread"]
ABOUTS = [None, "fresh milk | a", " ", "milky bread", float("nan"), "面包 😀 ؟", "milky bread | a a a a", "milk"]
ROWS, WIDTH = len(TITLES), 12
REQUEST = ("item_title_token_ids", "item_about_token_ids")


@pytest.fixture
def context(make_context):
    """A function from texts of both columns to a context."""

    def make(titles=TITLES, abouts=ABOUTS):
        columns = {("item", name): np.array(texts, object) for name, texts in (("title", titles), ("about", abouts))}
        return dataclasses.replace(make_context(titles), column=lambda *address: columns[address])

    return make


@pytest.fixture
def path(make_checkpoint):
    return make_checkpoint(
        change=lambda state: {name: 2.5 * tensor for name, tensor in state.items()},
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )


def spec(path, reads=READS, **options):
    return Bert(**{"reads": reads, "checkpoint": str(path), "max_tokens": 8, "dim": 3} | options)


def alone(path, context, column):
    """Vectors of one column of texts by an encoder of its own, and where there is a text."""
    (vectors,) = spec(path, (f"item.{column}",)).derive(context).values()
    values = context.column("item", column)
    return vectors, np.array([isinstance(value, str) and bool(value.strip()) for value in values])


def expected(path, context, combine):
    (titles, has_title), (abouts, has_about) = (alone(path, context, column) for column in ("title", "about"))
    if combine == "concat":
        return np.concatenate([titles, abouts], axis=1)
    rows = []
    for row in range(len(titles)):
        there = [vectors[row] for vectors, has in ((titles, has_title), (abouts, has_about)) if has[row]]
        rows.append(np.mean(there, axis=0) if there else np.zeros(WIDTH))
    return np.stack(rows)


def token_ids(path, values):
    tokenizer = load_tokenizer(path, 8)
    texts = [tokenizer.encode(text).ids if isinstance(text, str) and text.strip() else [] for text in values]
    ids = np.zeros([len(texts), max(map(len, texts))], np.int32)
    for row, tokens in enumerate(texts):
        ids[row, : len(tokens)] = tokens
    return tf.constant(ids)


def request(path):
    return dict(zip(REQUEST, (token_ids(path, values) for values in (TITLES, ABOUTS)), strict=True))


def strings():
    texts = (tf.constant([text if isinstance(text, str) else "" for text in values]) for values in (TITLES, ABOUTS))
    return dict(zip(("item_title", "item_about"), texts, strict=True))


@pytest.mark.parametrize("combine", ["mean", "concat"])
def test_frozen_texts_are_combined(path, context, combine):
    encoder = spec(path, combine=combine)
    ((address, vectors),) = encoder.derive(context()).items()
    assert address == "item.title/words"
    np.testing.assert_allclose(vectors, expected(path, context(), combine), atol=1e-6)
    assert not vectors[[0, 4]].any()
    assert vectors[1:4].any(axis=1).all()
    assert encoder.build(context())({address: vectors}).shape == (ROWS, 3)


@pytest.mark.parametrize("combine", ["mean", "concat"])
@pytest.mark.parametrize(
    "options", [{}, {"components": 2}, {"delta": True}, {"mode": "lora"}, {"mode": "full"}], ids=str
)
def test_requests_give_what_the_catalog_has(path, context, combine, options):
    encoder, known = spec(path, combine=combine, **options), context()
    keras.utils.set_random_seed(1)
    layer, columns = encoder.build(known), dict(encoder.derive(known))
    found = layer(columns)
    derivation = encoder.derivation(known)
    assert set(derivation.inputs) == set(REQUEST)
    derived = derivation(request(path))
    assert set(derived) == set(columns)
    np.testing.assert_allclose(layer(derived), found, atol=1e-4)
    assert [str(name) for name in derivation.inputs] == list(REQUEST)


def test_strings_give_what_the_catalog_has(path, context):
    for options in ({}, {"mode": "full", "combine": "concat"}):
        encoder, known = spec(path, **options), context()
        assert encoder.string_refusal(known) == ""
        layer, derivation = encoder.build(known), encoder.string_derivation(known)
        assert set(derivation.inputs) == {"item_title", "item_about"}
        np.testing.assert_allclose(layer(derivation(strings())), layer(dict(encoder.derive(known))), atol=1e-5)


@pytest.mark.parametrize("mode", ["lora", "last_n", "full"])
@pytest.mark.parametrize("combine", ["mean", "concat"])
def test_networks_that_train_combine_alike(path, context, combine, mode):
    encoder = spec(path, combine=combine, mode=mode)
    layer, columns = encoder.build(context()), dict(encoder.derive(context()))
    assert columns["item.title/words/text"].shape == (ROWS, 2)
    for rows in ([6, 1, 1, 0, 3], [4], range(ROWS)):
        features = {address: tf.gather(values, list(rows)) for address, values in columns.items()}
        outputs = layer(features), layer(features, training=True)
        kernel, bias = layer.dense.get_weights()
        for output in outputs:
            wanted = expected(path, context(), combine)[list(rows)] @ kernel + bias
            np.testing.assert_allclose(output, wanted, atol=1e-5)
    assert layer({address: values[:0] for address, values in columns.items()}).shape == (0, 3)


def test_texts_that_fields_share_have_one_pass(path, context):
    shared = context(["milk", "bread", None], ["bread", "milk", "milk"])
    spec(path).derive(shared)
    assert shared.counters == {"texts_encoded": 2}
    columns = spec(path, mode="full").derive(shared)
    assert len(set(columns["item.title/words/text"].ravel().tolist()) - {0}) == 2


def test_a_changed_text_is_encoded_alone(path, context):
    spec(path).derive(context())
    changed = context(abouts=["milk milk", *ABOUTS[1:]])
    spec(path, combine="concat").derive(changed)
    assert changed.counters == {"texts_encoded": 1}


def test_components_are_those_of_all_texts_together(path, context):
    """So that the texts of a row are in one space, and their mean means something."""
    both = Bert(reads=("item.title",), checkpoint=str(path), max_tokens=8, components=3)
    long = both.derive(context([*TITLES, *ABOUTS], [None] * 2 * ROWS))["item.title/words"]
    found = spec(path, combine="concat", components=3).derive(context())["item.title/words"]
    np.testing.assert_allclose(found, np.concatenate([long[:ROWS], long[ROWS:]], axis=1), atol=1e-5)


def test_windows_of_several_texts(path, context):
    options = {"max_tokens": 5, "chunks": 2, "overlap": 1}
    frozen, trained = spec(path, **options), spec(path, mode="full", **options)
    (vectors,) = frozen.derive(context()).values()
    layer, columns = trained.build(context()), dict(trained.derive(context()))
    found = layer(columns)
    kernel, bias = layer.dense.get_weights()
    np.testing.assert_allclose(found, vectors @ kernel + bias, atol=1e-5)
    np.testing.assert_allclose(layer(trained.string_derivation(context())(strings())), found, atol=1e-5)


@pytest.mark.parametrize("combine", ["mean", "concat"])
def test_arrays_and_tensors_are_combined_alike(combine):
    rng = np.random.default_rng(0)
    there = rng.random([9, 3]) < 0.6
    vectors = (rng.normal(size=[9, 3, 4]) * there[:, :, None]).astype(np.float32)
    np.testing.assert_allclose(
        combined_tensors(tf.constant(vectors), tf.constant(there), combine),
        combined(vectors, there, combine),
        atol=1e-6,
    )


def test_values_that_are_no_texts(path, context):
    with pytest.raises(DataError, match=r"over item.title, item.about: row 2 of text 2 holds 5 \(int\)"):
        spec(path).derive(context(["a"] * 3, ["a", "a", 5]))
