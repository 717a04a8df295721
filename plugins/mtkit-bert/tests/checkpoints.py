"""Small random checkpoints, as the Hugging Face hub would hold them, by seed.

The oracle (oracle/record.py) makes the same ones in an environment without mtkit, which nothing here imports.
"""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

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
#: Of masked language models: modules of the dense layer and of the normalization, tensor of the biases of the vocabulary.
LANGUAGE_HEADS = {
    "bert": ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.bias"),
    "roberta": ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias"),
    "distilbert": ("vocab_transform", "vocab_layer_norm", "vocab_projector.bias"),
    "mpnet": ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias"),
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


def write_checkpoint(directory: Path, family="bert", *, seed=0, change=lambda state: state, **config) -> Path:
    """Writes a checkpoint and returns its directory; `change` edits the tensors first."""
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(CONFIGS[family] | config))
    save_file(change(random_state(family, seed)), directory / "model.safetensors")
    write_tokenizer(directory, family)
    return directory


def with_head(family, seed=5):
    """A change of a checkpoint's tensors: a masked language model head on top."""

    def change(state):
        random, (dense, norm, bias) = np.random.default_rng(seed), LANGUAGE_HEADS[family]
        vocabulary, width = state["embeddings.word_embeddings.weight"].shape
        shapes = {f"{dense}.weight": [width, width], f"{dense}.bias": [width]}
        shapes |= {f"{norm}.weight": [width], f"{norm}.bias": [width], bias: [vocabulary]}
        head = {name: random.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}
        return {f"{family}.{name}": value for name, value in state.items()} | head

    return change


def write_predicting(directory: Path, family, seed=0) -> Path:
    """Writes a checkpoint with a masked language model, which transformers' TensorFlow classes read as it is meant."""
    # They count RoBERTa's positions from 1 on, whatever its configuration says.
    options = {"pad_token_id": 1} if family == "roberta" else {}
    return write_checkpoint(directory, family, seed=seed, change=with_head(family, seed + 5), **options)


#: What masked language models are asked, and the class of transformers that answers for a family.
IDS = np.array([[2, 5, 6, 3, 0], [2, 8, 7, 9, 3]], np.int32)
MASK = (IDS > 0).astype(np.int32)
CLASSES = {
    "bert": "BertForMaskedLM",
    "roberta": "RobertaForMaskedLM",
    "distilbert": "DistilBertForMaskedLM",
    "mpnet": "MPNetForMaskedLM",
}
# BERT's special tokens, by their ids, in MPNet's vocabulary.
_MPNET = np.array([1, 3, 0, 2, 4])


def ids_of(family, ids):
    """Token ids of BERT as the checkpoints of a family have them."""
    return np.where(ids < len(_MPNET), _MPNET[np.minimum(ids, 4)], ids).astype(np.int32) if family == "mpnet" else ids
