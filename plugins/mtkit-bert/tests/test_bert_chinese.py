"""A Chinese vocabulary: tokens as transformers' tokenizer in plain Python has them, hidden states as its TensorFlow class."""

import numpy as np
import pytest
from answers import kept, pad, sample, unpack
from chinese_checkpoint import MAX_TOKENS, SENTENCES, corpus, write_chinese

from mtkit.backend import tf
from mtkit_bert import Bert
from mtkit_bert.layers import BertModel
from mtkit_bert.text_ops import WordPieceOps
from mtkit_bert.tokenizer import load_tokenizer
from mtkit_bert.wordpiece import make_tables, refusal


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_chinese(tmp_path_factory.mktemp("chinese"))


@pytest.fixture(scope="module")
def reference_ids():
    """Of transformers' tokenizer in plain Python, which shares no code with the one that the checkpoint is read with."""
    return unpack(kept("chinese"))


def test_token_ids(path, reference_ids):
    found = load_tokenizer(path, MAX_TOKENS).encode_batch(corpus())
    assert [encoding.ids for encoding in found] == reference_ids
    unknown = load_tokenizer(path, MAX_TOKENS).token_to_id("[UNK]")
    shares = [sum(number == unknown for number in ids) / len(ids) for ids in reference_ids]
    assert 0.02 < np.mean(shares) < 0.3


def test_token_ids_in_the_graph(path, reference_ids):
    tokenizer = load_tokenizer(path, MAX_TOKENS)
    assert refusal(tokenizer) == ""
    ids = WordPieceOps(make_tables(tokenizer), MAX_TOKENS, 0)(tf.constant(corpus())).numpy()
    for row, expected in zip(ids, reference_ids, strict=True):
        assert row[: len(expected)].tolist() == expected
        assert not row[len(expected) :].any()


def test_hidden_states(path, reference_ids):
    ids, mask = pad(reference_ids[: len(SENTENCES)])
    answers = kept("chinese")
    for name, values in sample(BertModel.from_checkpoint(path)(ids, mask).numpy(), mask, 8).items():
        np.testing.assert_allclose(values, answers[f"right_{name}"], rtol=0, atol=1e-5)
    means = answers["right_means"]
    assert np.linalg.norm(means - means.mean(0), axis=1).min() > 0.1


def test_vectors_of_texts(path, make_context):
    """Through the encoder: every sentence has a vector of its own, by ids and as a string."""
    encoder, context = (
        Bert(reads=["item.text"], checkpoint=str(path), max_tokens=MAX_TOKENS),
        make_context([None, *SENTENCES]),
    )
    vectors = encoder.derive(context)["item.text/words"]
    assert len(np.unique(vectors.round(3), axis=0)) == len(SENTENCES) + 1
    derived = encoder.string_derivation(context)({"item_text": tf.constant(["", *SENTENCES])})
    np.testing.assert_allclose(derived["item.text/words"], vectors, atol=1e-5)
