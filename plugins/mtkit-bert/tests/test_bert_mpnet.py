"""MPNet: tokens as transformers' tokenizer in plain Python has them, hidden states as its TensorFlow class."""

import numpy as np
import pytest
from answers import kept, pad, sample, unpack
from mpnet_checkpoint import BUCKETS, HEADS, MAX_TOKENS, POSITIONS, TEXTS, write_mpnet
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

from mtkit.backend import tf
from mtkit.errors import DataError
from mtkit.testing import check_layer_config
from mtkit_bert import Bert
from mtkit_bert.layers import BertModel
from mtkit_bert.relative_bias import RelativeBias, buckets_of
from mtkit_bert.tokenizer import load_tokenizer
from mtkit_bert.vocabulary import read_vocabulary


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_mpnet(tmp_path_factory.mktemp("mpnet"))


def test_token_ids(path):
    expected = unpack(kept("mpnet"))
    found = load_tokenizer(path, MAX_TOKENS).encode_batch(TEXTS)
    assert [encoding.ids for encoding in found] == expected
    lengths = [len(ids) for ids in expected]
    assert min(lengths) == 3
    assert sum(length > 16 for length in lengths) > 5
    assert sorted(lengths)[-2:] == [MAX_TOKENS, MAX_TOKENS]


@pytest.mark.parametrize("side", ["right", "left"])
def test_hidden_states(path, side):
    answers = kept("mpnet")
    ids, mask = pad(unpack(answers), side, padding=1)
    network = BertModel.from_checkpoint(path)
    for name, values in sample(network(ids, mask).numpy(), mask, 8).items():
        np.testing.assert_allclose(values, answers[f"{side}_{name}"], rtol=0, atol=1e-5)
    far = np.isin(np.arange(BUCKETS), [*range(8, 16), *range(24, 32)])
    network.relative.embeddings.assign(np.where(far[:, None], 0, network.relative.embeddings))
    tokens = sample(network(ids, mask).numpy(), mask, 8)["tokens"]
    assert np.abs(tokens - answers[f"{side}_tokens"]).max() > 0.1


def test_other_layouts(path, tmp_path):
    """Of `MPNetForMaskedLM`, and of versions that kept the numbers of positions."""
    tensors = load_file(path / "model.safetensors")
    head = {"lm_head.dense.bias": tensors["pooler.dense.bias"], "lm_head.decoder.bias": np.zeros(3, np.float32)}
    other = {f"mpnet.{name}": value for name, value in tensors.items() if not name.startswith("pooler.")}
    buffers = {"mpnet.embeddings.position_ids": np.arange(POSITIONS)[None]}
    (tmp_path / "config.json").write_text((path / "config.json").read_text())
    save_file(other | head | buffers, tmp_path / "model.safetensors")
    networks = BertModel.from_checkpoint(tmp_path), BertModel.from_checkpoint(path)
    for one, same in zip(*(network.get_weights() for network in networks), strict=True):
        np.testing.assert_array_equal(one, same)


def test_other_padding_is_refused(make_checkpoint):
    with pytest.raises(DataError, match=r"config.json: pad_token_id 0, expected 1"):
        BertModel.from_checkpoint(make_checkpoint("mpnet", pad_token_id=0))


def test_vectors_of_texts(path, make_context):
    """Through the encoder: frozen in batches of similar length, and in the graph by strings."""
    spec, context = Bert(reads=["item.text"], checkpoint=str(path), max_tokens=MAX_TOKENS), make_context([None, *TEXTS])
    vectors = spec.derive(context)["item.text/words"]
    network = BertModel.from_checkpoint(path)
    for text, vector in zip(TEXTS[-3:], vectors[-3:], strict=True):
        ids = np.array([load_tokenizer(path, MAX_TOKENS).encode(text).ids])
        np.testing.assert_allclose(network(ids).numpy()[0].mean(0), vector, atol=1e-5)
    assert spec.string_refusal(context) == ""
    derived = spec.string_derivation(context)({"item_text": tf.constant(["", *TEXTS])})
    np.testing.assert_allclose(derived["item.text/words"], vectors, atol=1e-5)


def test_mask_is_the_one_that_the_tokenizer_adds(path, tmp_path):
    """BERT's is in the vocabulary, too."""
    load_tokenizer(path, MAX_TOKENS).save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    known = read_vocabulary(tmp_path)
    assert known.mask == tokenizer.token_to_id("<mask>") == tokenizer.get_vocab_size() - 1
    assert {tokenizer.id_to_token(number) for number in known.special} == {
        "<s>", "<pad>", "</s>", "<unk>", "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<mask>"
    }  # fmt: skip


def test_buckets():
    """Eight distances one by one, then ranges of which each second one doubles; those before the query, then behind."""
    firsts = {0: 0, 1: 1, 7: 7, 8: 8, 12: 9, 16: 10, 23: 11, 32: 12, 46: 13, 64: 14, 91: 15}
    distances = np.arange(600)
    expected = np.array([max(bucket for first, bucket in firsts.items() if first <= d) for d in distances])
    expected[:8] = distances[:8]
    np.testing.assert_array_equal(buckets_of(-distances, BUCKETS), expected)
    np.testing.assert_array_equal(buckets_of(distances[1:], BUCKETS), expected[1:] + 16)
    np.testing.assert_array_equal(buckets_of(np.array([0, 1, 2, 15, 16, 400]), 8), [0, 5, 6, 6, 7, 7])


def test_layer_config():
    check_layer_config(RelativeBias(BUCKETS, HEADS, 10))
