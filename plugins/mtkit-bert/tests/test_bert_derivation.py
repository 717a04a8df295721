import gc

import numpy as np
import pytest

from mtkit.backend import tf
from mtkit_bert import Bert
from mtkit_bert.derivation import _networks
from mtkit_bert.tokenizer import load_tokenizer

TEXTS = [None, "milk", "fresh bread | a", "", "milky milk bread", "  ", "牛奶 milky", "a | a"]


def token_ids(path, texts, padding=0, max_tokens=16):
    tokenizer = load_tokenizer(path, max_tokens)
    encoded = [tokenizer.encode(text).ids if text and text.strip() else [] for text in texts]
    ids = np.full([len(texts), max(map(len, encoded)) + 2], padding, np.int32)
    for row, tokens in zip(ids, encoded, strict=True):
        row[: len(tokens)] = tokens
    return ids


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "mpnet"])
@pytest.mark.parametrize("components", [None, 2])
def test_token_ids_give_the_vectors_of_the_catalog(make_checkpoint, make_context, family, components):
    path, context = make_checkpoint(family), make_context(TEXTS)
    spec = Bert(reads=["item.text"], checkpoint=str(path), max_tokens=16, components=components)
    expected = spec.derive(context)
    encoded = dict(context.counters)
    derivation = spec.derivation(context)
    assert context.counters == encoded
    ids = token_ids(path, TEXTS, derivation.padding)
    derived = derivation({"item_text_token_ids": tf.constant(ids)})
    assert set(derived) == set(expected)
    for address, vectors in expected.items():
        # Components of these few, similar vectors multiply what another batch changes in the last bits.
        np.testing.assert_allclose(derived[address], vectors, atol=1e-3 if components else 1e-5)
        assert not derived[address].numpy()[[0, 3, 5]].any()


def test_inputs_say_what_they_are(make_checkpoint, make_context):
    path = make_checkpoint()
    spec = Bert(reads=["item.text"], checkpoint=str(path), max_tokens=16)
    ((name, known),) = spec.derivation(make_context(TEXTS)).inputs.items()
    assert name == "item_text_token_ids"
    assert (known.dtype, known.shape) == ("int32", (None,))
    for said in ("`item.text`", str(path), "at most 16", "padded behind with 0"):
        assert said in known.about


def test_encoders_over_one_checkpoint_share_its_weights(make_checkpoint, make_context):
    path, context = make_checkpoint(), make_context(TEXTS)
    before = {*_networks}
    one = Bert(reads=["item.text"], checkpoint=str(path), max_tokens=16).derivation(context)
    other = Bert(reads=["item.text"], checkpoint=str(path), max_tokens=16, components=2).derivation(context)
    changed = make_checkpoint(name="other", seed=1)
    third = Bert(reads=["item.text"], checkpoint=str(changed), max_tokens=16).derivation(context)
    assert one.network is other.network
    assert one.network is not third.network
    assert one.inputs == other.inputs
    del one, other, third
    gc.collect()
    assert {*_networks} <= before
