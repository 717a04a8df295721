"""Texts longer than a window, against windows that are cut and averaged one by one."""

import numpy as np
import pytest
from slow_texts import request, vectors_of, windows_of

from mtkit.backend import keras, tf
from mtkit.errors import DataError
from mtkit_bert import Bert
from mtkit_bert.layers import BertModel
from mtkit_bert.text_ops import WordPieceOps
from mtkit_bert.tokenizer import load_tokenizer
from mtkit_bert.tokens import token_columns
from mtkit_bert.windows import encoded
from mtkit_bert.wordpiece import make_tables

LONG = "fresh bread | a milky 牛奶 bread fresh a a | milk unknown 面包"
SHORT = [None, "milk", "", "a bread", "milky"]
TEXTS = [*SHORT, LONG, "milk " * 40, "fresh bread | a", "fresh bread | a milk", LONG]
SIZES = [(6, 3, 0), (6, 3, 2), (7, 9, 1), (3, 2, 0), (16, 2, 7)]
ASKED = [*(("mean", cut) for cut in SIZES), ("cls", SIZES[1]), ("last", SIZES[1])]


@pytest.fixture
def path(make_checkpoint):
    """Of a network whose vectors differ much from text to text."""
    return make_checkpoint(change=lambda state: {name: 2.5 * tensor for name, tensor in state.items()})


def plain(path, texts, pooling, *cut):
    """Vectors `[texts, width]`, each window through the network alone."""
    return vectors_of(BertModel.from_checkpoint(path), path, texts, pooling, *cut)


def spec(path, size, chunks, overlap, **options):
    options = {"reads": ["item.text"], "checkpoint": str(path), "dim": 3} | options
    return Bert(**options, max_tokens=size, chunks=chunks, overlap=overlap)


@pytest.mark.parametrize(("pooling", "cut"), ASKED, ids=str)
def test_frozen_vectors_are_weighted_means_of_windows(path, make_context, pooling, cut):
    context = make_context(TEXTS)
    encoder = spec(path, *cut, pooling=pooling)
    vectors = encoder.derive(context)["item.text/words"]
    np.testing.assert_allclose(vectors, plain(path, TEXTS, pooling, *cut), atol=1e-5)
    assert context.counters == {"texts_encoded": 7}
    derived = encoder.derivation(context)({"item_text_token_ids": request(path, TEXTS, *cut)})
    np.testing.assert_allclose(derived["item.text/words"], vectors, atol=1e-5)


@pytest.mark.parametrize("cut", SIZES, ids=str)
def test_token_columns_are_windows_side_by_side(path, cut):
    ids, numbers = token_columns(np.array(TEXTS, object), path, *cut)
    np.testing.assert_array_equal(ids, request(path, TEXTS, *cut))
    assert numbers[5] == numbers[9]


@pytest.mark.parametrize("mode", ["lora", "last_n", "full"])
def test_networks_that_train_see_the_same_windows(path, make_context, mode):
    context, cut = make_context(TEXTS), (6, 3, 2)
    encoder = spec(path, *cut, mode=mode)
    layer, columns = encoder.build(context), encoder.derive(context)
    found = layer(columns)
    kernel, bias = layer.dense.get_weights()
    np.testing.assert_allclose(found, plain(path, TEXTS, "mean", *cut) @ kernel + bias, atol=1e-5)
    ids = encoder.derivation(context)({"item_text_token_ids": request(path, TEXTS, *cut)})
    np.testing.assert_allclose(layer(ids), found, atol=1e-5)
    step = tf.function(lambda features: layer(features, training=True))
    assert step({address: tf.constant(values) for address, values in columns.items()}).shape == (len(TEXTS), 3)


@pytest.mark.slow
def test_strings_are_cut_into_the_same_windows(path, make_context):
    texts, tables = ["" if text is None else text for text in TEXTS], make_tables(load_tokenizer(path, 16))
    for cut in SIZES:
        tokenizer = WordPieceOps(tables, cut[0], 0, *cut[1:])
        ids, expected = tokenizer(tf.constant(texts)).numpy(), request(path, TEXTS, *cut)
        assert ids.shape == (len(TEXTS), cut[0] * cut[1])
        np.testing.assert_array_equal(ids[:, : expected.shape[1]], expected)
        assert not ids[:, expected.shape[1] :].any()
    encoder, context = spec(path, *cut), make_context(TEXTS)
    layer = encoder.build(context)
    by_text = layer(encoder.string_derivation(context)({"item_text": tf.constant(texts)}))
    np.testing.assert_allclose(by_text, layer(encoder.derive(context)), atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"mode": "full"}, {"mode": "lora", "pooling": "cls"}], ids=str)
def test_texts_of_one_window_are_as_without_windows(path, make_context, options):
    """To the bit, also beside longer texts."""
    context = make_context(TEXTS)
    outputs, short = [], np.array([0, 1, 2, 3, 4, 7])
    for cut in ((6, 1, 0), (6, 4, 1)):
        encoder = spec(path, *cut, **options)
        keras.utils.set_random_seed(1)
        layer, columns = encoder.build(context), encoder.derive(context)
        of_short = {address: column[short] for address, column in columns.items()}
        outputs.append((layer(of_short).numpy(), columns["item.text/words"] if not options else None))
    np.testing.assert_array_equal(outputs[0][0], outputs[1][0])
    if not options:
        np.testing.assert_array_equal(outputs[0][1][short], outputs[1][1][short])
        assert np.abs(outputs[0][1][5] - outputs[1][1][5]).max() > 1e-3


def test_windows_have_vectors_of_their_own_on_disk(path, make_context):
    for cut, encoded_texts in [((6, 1, 0), 7), ((6, 2, 0), 7), ((6, 2, 1), 7), ((6, 3, 1), 7), ((6, 3, 1), 0)]:
        context = make_context(TEXTS)
        spec(path, *cut).derive(context)
        assert context.counters == {"texts_encoded": encoded_texts}


def test_gradients_come_from_every_window(make_checkpoint, make_context):
    path = make_checkpoint(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    texts = [None, "milk milk bread bread 牛 牛 奶 奶 fresh"]
    encoder, context = spec(path, 4, 9, 0, mode="full"), make_context(texts)
    layer, columns = encoder.build(context), encoder.derive(context)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(layer(columns, training=True) - 1.0))
    gradient = tf.convert_to_tensor(tape.gradient(loss, layer.network.words.embeddings)).numpy()
    used = np.flatnonzero(gradient.any(axis=1))
    read = {token for window in windows_of(path, texts[1], 4, 9, 0) for token in window}
    assert {5, 7, 8, 11, 12} <= read
    assert read <= set(used) <= read | {0}


def test_only_windows_that_hold_tokens_are_encoded():
    seen = []

    def encode(ids, lengths):
        seen.append((ids.numpy().tolist(), lengths.numpy().tolist()))
        return tf.cast(lengths[:, None], tf.float32) * [[1.0, 10.0]]

    ids = tf.constant([[5, 0, 0, 0, 0], [5, 6, 7, 0, 0], [0, 0, 0, 0, 0], [5, 0, 5, 5, 5]])
    vectors, there = encoded(encode, ids, padding=0, size=2)
    assert seen == [([[5, 0], [5, 6], [7, 0], [0, 0], [5, 0], [5, 5], [5, 0]], [1, 2, 1, 0, 1, 2, 1])]
    np.testing.assert_allclose(vectors[:, 0], [1, (2 * 2 + 1) / 3, 0, (1 + 4 + 1) / 4])
    assert there.numpy().tolist() == [True, True, False, True]
    assert encoded(encode, tf.zeros([0, 5], tf.int32), 0, 2)[0].shape == (0, 2)
    assert encoded(encode, tf.zeros([2, 0], tf.int32), 0, 2)[0].numpy().tolist() == [[0, 0], [0, 0]]


def test_windows_that_would_not_go_on_are_refused(make_checkpoint, make_context):
    with pytest.raises(DataError, match=r"overlap is 2, but 4 tokens of .* hold only 2 of a text"):
        spec(make_checkpoint(), 4, 2, 2).derive(make_context(TEXTS))
