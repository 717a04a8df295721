"""Real weights against what transformers' tokenizer in plain Python and its TensorFlow class made of them."""

import numpy as np
import pytest
from answers import kept, pad, sample, unpack
from minilm_texts import MAX_TOKENS, PAIR, TEXTS

from mtkit_bert import Bert
from mtkit_bert.layers import BertModel
from mtkit_bert.tokenizer import load_tokenizer


def encodings(minilm):
    return load_tokenizer(minilm, MAX_TOKENS).encode_batch([*TEXTS, PAIR])


def test_token_ids(minilm):
    assert [encoding.ids for encoding in encodings(minilm)] == unpack(kept("minilm"))


@pytest.mark.parametrize("side", ["right", "left"])
def test_hidden_states(minilm, side):
    answers, types = kept("minilm"), [encoding.type_ids for encoding in encodings(minilm)]
    (ids, mask), (types, _) = pad(unpack(answers), side), pad(types, side)
    assert ids.shape[1] == MAX_TOKENS
    assert types.any()
    hidden = sample(BertModel.from_checkpoint(minilm)(ids, mask, types).numpy(), mask, 16)
    for name, values in hidden.items():
        np.testing.assert_allclose(values, answers[f"{side}_{name}"], rtol=0, atol=1e-5)


def test_token_ids_equal_those_of_transformers(minilm):
    transformers = pytest.importorskip("transformers")
    expected = transformers.AutoTokenizer.from_pretrained(minilm, trust_remote_code=False)(
        TEXTS, truncation=True, max_length=32
    )["input_ids"]
    assert [encoding.ids for encoding in load_tokenizer(minilm, 32).encode_batch(TEXTS)] == expected


def test_similar_texts_are_near(minilm, make_context):
    texts = [None, "fresh whole milk", "dairy milk low fat", "motor oil for cars", "engine lubricant"]
    vectors = Bert(reads=["item.text"]).derive(make_context(texts))["item.text/words"][1:]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = vectors @ vectors.T
    assert min(similarity[0, 1], similarity[2, 3]) > 0.2 + similarity[:2, 2:].max()
