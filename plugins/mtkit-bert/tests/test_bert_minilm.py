"""Real weights against transformers' TensorFlow classes, which its version 5 no longer has."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from mtkit_bert import Bert
from mtkit_bert.layers import BertModel
from mtkit_bert.tokenizer import load_tokenizer

TEXTS = [
    "FRZN MEAT/MEAT DINNERS | FRZN SINGLE SERVE PREMIUM MEALS",
    "Crème brûlée™ ½ straße — naïve café",
    "牛奶 和 面包 with emoji 🥖 and [SEP] and [MASK] literals",
    "a",
    "a man is playing a guitar " * 30,
]


@pytest.fixture(scope="module")
def reference(minilm):
    transformers = pytest.importorskip("transformers")
    if not transformers.__version__.startswith("4."):
        pytest.skip("transformers 5 has no TensorFlow classes")
    from transformers.modeling_tf_pytorch_utils import load_pytorch_state_dict_in_tf2_model

    model = transformers.TFBertModel(transformers.BertConfig.from_pretrained(minilm))
    model.build_in_name_scope()
    state = load_file(minilm / "model.safetensors")
    return load_pytorch_state_dict_in_tf2_model(model, state, tf_inputs=False, allow_missing_keys=True)


@pytest.mark.parametrize("side", ["right", "left"])
def test_hidden_states(minilm, reference, side):
    tokenizer = load_tokenizer(minilm, 64)
    tokenizer.enable_padding(direction=side)
    encodings = tokenizer.encode_batch([*TEXTS, ("what is it?", "fresh milk")])
    ids, mask, types = (
        np.array([getattr(encoding, name) for encoding in encodings], np.int32)
        for name in ("ids", "attention_mask", "type_ids")
    )
    assert ids.shape[1] == 64
    assert types.any()
    expected = reference(ids, attention_mask=mask, token_type_ids=types).last_hidden_state.numpy()
    actual = BertModel.from_checkpoint(minilm)(ids, mask, types).numpy()
    assert np.abs(actual - expected)[mask == 1].max() < 1e-4


def test_token_ids_equal_those_of_transformers(minilm):
    transformers = pytest.importorskip("transformers")
    expected = transformers.AutoTokenizer.from_pretrained(minilm)(TEXTS, truncation=True, max_length=32)["input_ids"]
    assert [encoding.ids for encoding in load_tokenizer(minilm, 32).encode_batch(TEXTS)] == expected


def test_similar_texts_are_near(minilm, make_context):
    texts = [None, "fresh whole milk", "dairy milk low fat", "motor oil for cars", "engine lubricant"]
    vectors = Bert(reads=["item.text"]).derive(make_context(texts))["item.text/words"][1:]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = vectors @ vectors.T
    assert min(similarity[0, 1], similarity[2, 3]) > 0.2 + similarity[:2, 2:].max()
