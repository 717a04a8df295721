"""Configurations that no network can have, and indices that name no weights, are one message before anything is made."""

import json
import re

import numpy as np
import pytest

from mtkit.errors import DataError
from mtkit_bert.configuration import read_config
from mtkit_bert.spec import Bert

TEXTS = np.array([None, "milk", "bread"], object)


@pytest.fixture
def refused(make_context):
    """A function from a checkpoint to what a frozen encoder, and one that trains, say of it: the same."""

    def refused(path):
        messages = set()
        for mode in ("frozen", "full"):
            encoder, context = (
                Bert(reads=("item.text",), checkpoint=str(path), max_tokens=8, dim=4, mode=mode),
                make_context(TEXTS),
            )
            with pytest.raises(DataError) as raised:
                encoder.derive(context), encoder.build(context)
            messages.add(str(raised.value))
        (message,) = messages
        assert "\n" not in message
        return message.removeprefix("encoder words over item.text: ").replace(f"{path}/", "")

    return refused


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "has no config.json"),
        (b"", "config.json is not JSON: Expecting value"),
        (b"\xff\xfe\x00", "config.json is not JSON: 'utf-8' codec"),
        (b"[" * 100_000, "config.json is not JSON: maximum recursion depth"),
        (b"[1]", "config.json: expected an object, got list"),
        (b"null", "config.json: expected an object, got NoneType"),
        (b"{}", "config.json: model_type None is not known; readable are bert"),
        (b'{"model_type": ["bert"]}', r"config.json: model_type \['bert'\] is not known"),
        (b'{"model_type": "bert"}', "config.json: keys attention_probs_dropout_prob, hidden_act, .* are missing"),
    ],
)
def test_files_that_are_no_configuration(make_checkpoint, refused, content, message):
    path = make_checkpoint()
    (path / "config.json").unlink()
    if content is not None:
        (path / "config.json").write_bytes(content)
    assert re.search(message, refused(path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": "12"}, "hidden_size: expected a valid integer, got '12'"),
        ({"hidden_size": 12.5}, "hidden_size: expected a valid integer, got 12.5"),
        ({"hidden_size": None}, "hidden_size: expected a valid integer, got None"),
        ({"hidden_size": 0}, "hidden_size: expected greater than 0, got 0"),
        ({"hidden_size": 10**30}, "hidden_size: expected less than 2147483648, got 1000000000000000000000000000000"),
        ({"hidden_size": 3 * 10**8}, "the sizes ask for more than .* numbers, but the weights are .* bytes"),
        ({"num_hidden_layers": True}, "num_hidden_layers: expected a valid integer, got True"),
        ({"num_hidden_layers": -1}, "num_hidden_layers: expected greater than 0, got -1"),
        ({"num_hidden_layers": 10**7}, "the sizes ask for more than .* numbers, but the weights are .* bytes"),
        ({"vocab_size": 10**9}, "the sizes ask for more than .* numbers, but the weights are .* bytes"),
        ({"vocab_size": [15]}, r"vocab_size: expected a valid integer, got \[15\]"),
        ({"intermediate_size": 10**9}, "the sizes ask for more than .* numbers"),
        ({"num_attention_heads": 0}, "num_attention_heads: expected greater than 0, got 0"),
        ({"num_attention_heads": 5}, "hidden_size 12 is not a multiple of num_attention_heads 5"),
        ({"max_position_embeddings": -4}, "max_position_embeddings: expected greater than 0, got -4"),
        ({"type_vocab_size": -1}, "type_vocab_size: expected greater than or equal to 0, got -1"),
        ({"hidden_act": "geglu"}, "activation 'geglu' is not known; known are gelu"),
        ({"hidden_act": ["gelu"]}, r"hidden_act: expected a valid string, got \['gelu'\]"),
        ({"layer_norm_eps": "small"}, "layer_norm_eps: expected a valid number, got 'small'"),
        ({"layer_norm_eps": -1}, "layer_norm_eps: expected greater than 0, got -1"),
        ({"hidden_dropout_prob": 2}, "hidden_dropout_prob: expected less than 1, got 2"),
    ],
)
def test_values_that_no_network_can_have(make_checkpoint, refused, change, message):
    path = make_checkpoint()
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | change))
    assert re.fullmatch(f"config.json: {message}.*", refused(path))


@pytest.mark.parametrize(
    ("family", "change", "message"),
    [
        ("roberta", {"pad_token_id": "x"}, "pad_token_id: expected a valid integer, got 'x'"),
        (
            "mpnet",
            {"relative_attention_num_buckets": 0},
            "relative_attention_num_buckets: expected greater than or equal to 4",
        ),
    ],
)
def test_values_of_other_families(make_checkpoint, family, change, message):
    path = make_checkpoint(family)
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(DataError, match=message):
        read_config(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_key_value_heads": 3}, "num_attention_heads 4 is not a multiple of num_key_value_heads 3"),
        ({"head_dim": 3}, "head_dim: expected a multiple of 2, got 3"),
        ({"head_dim": None}, "heads are 3 wide, and rotary positions need an even width"),
        ({"rope_theta": "x"}, "rope_theta: expected a valid number, got 'x'"),
        ({"rope_scaling": "x"}, "rotary positions are 'x', expected an object"),
        ({"rope_scaling": {"rope_type": ["a"]}}, r"rotary positions of type \['a'\], expected"),
        (
            {"rope_scaling": {"rope_type": "llama3", "factor": 8}},
            "rotary positions lack low_freq_factor, high_freq_factor",
        ),
        ({"sliding_window": "x"}, "max_position_embeddings: expected a valid integer, got 'x'"),
    ],
)
def test_values_of_decoders(random_decoder_checkpoint, change, message):
    path = random_decoder_checkpoint("llama")
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(DataError, match=message):
        read_config(path)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("", "is not JSON"),
        ("[]", "expected an object, got list"),
        ("{}", "expected weight_map, an object of tensors"),
        ('{"weight_map": null}', "expected weight_map, an object of tensors"),
        ('{"weight_map": {}}', "expected weight_map, an object of tensors"),
        ('{"weight_map": {"a": 1}}', "expected weight_map, an object of tensors"),
        ('{"weight_map": {"a": "b.safetensors"}}', "weight_map names b.safetensors, which is missing"),
        (
            '{"weight_map": {"a": "../checkpoint/a.safetensors"}}',
            "weight_map names '../checkpoint/a.safetensors', expected",
        ),
        (
            '{"weight_map": {"a": "/etc/passwd"}}',
            "weight_map names '/etc/passwd', expected the names of safetensors files",
        ),
        ('{"weight_map": {"a": "config.json"}}', "weight_map names 'config.json', expected"),
    ],
)
def test_indices_that_name_no_weights(make_checkpoint, refused, index, message):
    path = make_checkpoint()
    (path / "model.safetensors").rename(path / "a.safetensors")
    (path / "model.safetensors.index.json").write_text(index)
    shown = refused(path)
    assert shown.startswith("model.safetensors.index.json")
    assert message in shown
