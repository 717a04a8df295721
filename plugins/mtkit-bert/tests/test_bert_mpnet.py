"""MPNet: tokens as transformers' tokenizer in plain Python has them, hidden states as its TensorFlow class."""

import json

import numpy as np
import pytest
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

MAX_TOKENS, HIDDEN, LAYERS, INTERMEDIATE, POSITIONS, BUCKETS, HEADS = 160, 48, 3, 96, 170, 32, 4
SENTENCES = """
The quick brown fox jumps over the lazy dog, then sleeps for a while beside the old river.
How do I keep a sourdough starter alive if I only bake once a month?
Fresh whole milk, 1 gallon, vitamin D (pasteurized).
A man is playing a guitar on stage; the crowd sings along!
Crème brûlée torch, refillable, without gas: don't forget to buy some.
Why does the second law of thermodynamics not forbid life?
牛奶 and bread
a
""".strip().splitlines()
TEXTS = [*SENTENCES, " ".join(SENTENCES), " ".join(SENTENCES * 3)]


def vocabulary():
    """As MPNet's: its own special tokens around BERT's vocabulary. Some words must be spelled, some cannot be."""
    words = sorted({word for text in SENTENCES for word in "".join(c if c.isalnum() else " " for c in text).split()})
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = [*letters, *(f"##{c}" for c in letters), "##ing", "##ly", *"0123456789,.:;!?()'", "奶"]
    known = [word.lower() for word in words if len(word) > 3][::2]
    special = ["<s>", "<pad>", "</s>", "<unk>", "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return [*dict.fromkeys([*special, *known, *pieces]), "<mask>"]


def state(words):
    rng, wide = np.random.default_rng(0), {"intermediate.dense": (INTERMEDIATE, HIDDEN)}
    shapes = {"embeddings.word_embeddings.weight": (len(words), HIDDEN)}
    shapes |= {"embeddings.position_embeddings.weight": (POSITIONS, HIDDEN), "pooler.dense.weight": (HIDDEN, HIDDEN)}
    shapes |= {"pooler.dense.bias": (HIDDEN,), "encoder.relative_attention_bias.weight": (BUCKETS, HEADS)}
    norms = ["embeddings.LayerNorm"]
    for at in (f"encoder.layer.{i}." for i in range(LAYERS)):
        widths = {f"attention.attn.{name}": (HIDDEN, HIDDEN) for name in "qkvo"} | wide
        for name, shape in (widths | {"output.dense": (HIDDEN, INTERMEDIATE)}).items():
            shapes |= {f"{at}{name}.weight": shape, f"{at}{name}.bias": shape[:1]}
        norms += [f"{at}attention.LayerNorm", f"{at}output.LayerNorm"]
    scale = {"encoder.relative_attention_bias.weight": 2.0}
    tensors = {name: rng.normal(0, scale.get(name, 0.2), shape).astype(np.float32) for name, shape in shapes.items()}
    for norm in norms:
        tensors |= {f"{norm}.{k}": rng.normal(k == "weight", 0.2, HIDDEN).astype("f4") for k in ("weight", "bias")}
    return tensors


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A random checkpoint in the layout of sentence-transformers: no prefix, and a pooler that nothing asks for."""
    directory, words = tmp_path_factory.mktemp("mpnet"), vocabulary()
    (directory / "vocab.txt").write_text("\n".join(words), "utf-8")
    (directory / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "MPNetTokenizer"}))
    config = {
        "model_type": "mpnet",
        "vocab_size": len(words),
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": INTERMEDIATE,
        "max_position_embeddings": POSITIONS,
        "relative_attention_num_buckets": BUCKETS,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "pad_token_id": 1,
    }
    (directory / "config.json").write_text(json.dumps(config))
    save_file(state(words), directory / "model.safetensors")
    return directory


@pytest.fixture(scope="module")
def transformers():
    module = pytest.importorskip("transformers")
    if not module.__version__.startswith("4."):
        pytest.skip("transformers 5 has neither TensorFlow classes nor a tokenizer in plain Python")
    return module


def test_token_ids(path, transformers):
    tokenizer = transformers.MPNetTokenizer(str(path / "vocab.txt"))
    expected = tokenizer(TEXTS, truncation=True, max_length=MAX_TOKENS)["input_ids"]
    found = load_tokenizer(path, MAX_TOKENS).encode_batch(TEXTS)
    assert [encoding.ids for encoding in found] == expected
    lengths = [len(ids) for ids in expected]
    assert min(lengths) == 3
    assert sum(length > 16 for length in lengths) > 5
    assert sorted(lengths)[-2:] == [MAX_TOKENS, MAX_TOKENS]


@pytest.mark.parametrize("side", ["right", "left"])
def test_hidden_states(path, transformers, side):
    from transformers.modeling_tf_pytorch_utils import load_pytorch_state_dict_in_tf2_model

    model = transformers.TFMPNetModel(transformers.MPNetConfig.from_pretrained(path))
    model.build_in_name_scope()
    tensors = load_file(path / "model.safetensors")
    reference = load_pytorch_state_dict_in_tf2_model(model, tensors, tf_inputs=False, allow_missing_keys=False)
    tokenizer = load_tokenizer(path, MAX_TOKENS)
    tokenizer.enable_padding(direction=side, pad_id=1, pad_token="<pad>")
    encodings = tokenizer.encode_batch(TEXTS)
    ids, mask = (np.array([getattr(e, name) for e in encodings], np.int32) for name in ("ids", "attention_mask"))
    expected = reference(ids, attention_mask=mask).last_hidden_state.numpy()
    network = BertModel.from_checkpoint(path)
    assert np.abs(network(ids, mask) - expected)[mask == 1].max() < 1e-4
    far = np.isin(np.arange(BUCKETS), [*range(8, 16), *range(24, 32)])
    network.relative.embeddings.assign(np.where(far[:, None], 0, network.relative.embeddings))
    assert np.abs(network(ids, mask) - expected)[mask == 1].max() > 0.1


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
