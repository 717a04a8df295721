import json

import numpy as np
import pytest
from answers import kept
from checkpoints import CLASSES, IDS, MASK, ids_of, write_predicting
from safetensors.numpy import load_file

from mtkit.backend import tf
from mtkit.errors import RunError
from mtkit_bert.checkpoint import WEIGHTS
from mtkit_bert.hugging_face import load_head, save_checkpoint
from mtkit_bert.layers import ACTIVATIONS, BertModel
from mtkit_bert.network import load_network
from mtkit_bert.tokenizer import load_tokenizer

FAMILIES = list(CLASSES)


def moved(layer):
    """Adds noise to every variable, as training would."""
    rng = np.random.default_rng(1)
    for variable in layer.weights:
        if variable.dtype == tf.float32:
            variable.assign_add(rng.normal(0, 0.1, variable.shape))
    return layer


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_written_is_read_again_to_the_bit(make_checkpoint, with_head, tmp_path, family):
    origin = make_checkpoint(family, change=with_head(family))
    network, head = moved(BertModel.from_checkpoint(origin)), moved(load_head(origin, 0.15, "head"))
    path = save_checkpoint(network, head, origin, tmp_path / "export")
    assert path == tmp_path / "export" / "1"
    ids = ids_of(family, IDS)
    np.testing.assert_array_equal(BertModel.from_checkpoint(path)(ids, MASK), network(ids, MASK))
    again = load_head(path, 0.15, "head")
    for found, expected in zip([*again.dense.weights, *again.norm.weights, again.bias], _head(head), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert load_tokenizer(path, 8).encode("milky bread").ids == load_tokenizer(origin, 8).encode("milky bread").ids
    assert load_file(path / WEIGHTS).keys() == load_file(origin / WEIGHTS).keys()
    config = json.loads((path / "config.json").read_text())
    known = json.loads((origin / "config.json").read_text())
    assert config == known | {"architectures": [CLASSES[family]], "torch_dtype": "float32"}


def _head(head):
    return [*head.dense.weights, *head.norm.weights, head.bias]


def test_without_a_head(make_checkpoint, tmp_path):
    origin = make_checkpoint()
    network = moved(BertModel.from_checkpoint(origin))
    path = save_checkpoint(network, None, origin, tmp_path / "export")
    assert load_file(path / WEIGHTS).keys() == load_file(origin / WEIGHTS).keys()
    assert "architectures" not in json.loads((path / "config.json").read_text())
    np.testing.assert_array_equal(BertModel.from_checkpoint(path)(IDS, MASK), network(IDS, MASK))
    assert save_checkpoint(network, None, path, tmp_path / "export").name == "2"


@pytest.mark.parametrize("family", ["qwen3", "gpt2"])
def test_decoders_are_written_too(random_decoder_checkpoint, tmp_path, family):
    origin = random_decoder_checkpoint(family)
    network = moved(load_network(origin, lora={"rank": 2, "alpha": 6.0, "targets": ["query", "value", "output"]}))
    path = save_checkpoint(network, None, origin, tmp_path / "export")
    assert load_file(path / WEIGHTS).keys() == load_file(origin / WEIGHTS).keys()
    np.testing.assert_allclose(load_network(path)(IDS, MASK), network(IDS, MASK), atol=1e-5)


def test_adapters_become_part_of_the_kernels(make_checkpoint, tmp_path):
    origin = make_checkpoint()
    lora = {"rank": 2, "alpha": 6.0, "targets": ["query", "value", "attention_output", "intermediate", "output"]}
    network = moved(BertModel.from_checkpoint(origin, lora=lora))
    before = BertModel.from_checkpoint(origin)(IDS, MASK)
    path = save_checkpoint(network, None, origin, tmp_path / "export")
    found, expected = BertModel.from_checkpoint(path)(IDS, MASK), network(IDS, MASK)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert np.abs(found - before).max() > 0.1


def test_nothing_is_left_of_what_could_not_be_written(make_checkpoint, tmp_path, monkeypatch):
    def full(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr("mtkit_bert.hugging_face.save_file", full)
    origin = make_checkpoint()
    network = BertModel.from_checkpoint(origin)
    with pytest.raises(RunError, match=r"export: cannot be written: no space left on device"):
        save_checkpoint(network, None, origin, tmp_path / "export")
    assert not list((tmp_path / "export").iterdir())


@pytest.mark.parametrize("family", FAMILIES)
def test_transformers_predicts_the_same(tmp_path, family):
    """One checkpoint's numbers are trained to those of another one, of which the oracle speaks."""
    origin, trained = (write_predicting(tmp_path / f"{seed}", family, seed) for seed in (0, 1))
    network, head = BertModel.from_checkpoint(origin), load_head(origin, 0.15, "head")
    network.set_weights(BertModel.from_checkpoint(trained).get_weights())
    head.set_weights(load_head(trained, 0.15, "head").get_weights())
    path = save_checkpoint(network, head, origin, tmp_path / "export")
    written, expected = load_file(path / WEIGHTS), load_file(trained / WEIGHTS)
    assert written.keys() == expected.keys()
    assert all(np.array_equal(written[name], expected[name]) for name in expected)
    states = head.norm(ACTIVATIONS[head.activation](head.dense(network(ids_of(family, IDS), MASK))))
    logits = tf.matmul(states, network.words.embeddings, transpose_b=True) + head.bias
    expected = kept("masked_language_models")[family]
    np.testing.assert_allclose(logits.numpy()[MASK == 1], expected[MASK == 1], rtol=0, atol=1e-5)
