"""The readable checkpoints: how each family names its configuration and its tensors (no TensorFlow)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mtkit.errors import DataError


@dataclass(frozen=True)
class Family:
    """A family of checkpoints that are the same network under different names.

    Attributes:
        prefix: what tensor names begin with when the checkpoint has a task head on top.
        config: argument of `BertModel` -> key of `config.json`.
        fixed: arguments of `BertModel` that the family does not write into `config.json`.
        embeddings: sub-layer of `BertModel` -> module of the checkpoint.
        block: the modules of layer i, with `{}` for i.
        layers: sub-layer of `Block` -> modules within the checkpoint's layer; several are joined along the last axis.
        unused: beginnings of the names of tensors that hidden states do not need (heads, poolers, buffers).
        counts_positions: positions count tokens that are not padding, and begin after the padding id.
    """

    prefix: str
    config: Mapping[str, str]
    embeddings: Mapping[str, str]
    block: str
    layers: Mapping[str, tuple[str, ...]]
    unused: tuple[str, ...]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    counts_positions: bool = False


_BERT_CONFIG = {
    "vocab_size": "vocab_size",
    "hidden_size": "hidden_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "intermediate_size": "intermediate_size",
    "max_positions": "max_position_embeddings",
    "token_types": "type_vocab_size",
    "activation": "hidden_act",
    "epsilon": "layer_norm_eps",
    "dropout": "hidden_dropout_prob",
    "attention_dropout": "attention_probs_dropout_prob",
}
_BERT_EMBEDDINGS = {
    "words": "embeddings.word_embeddings",
    "positions": "embeddings.position_embeddings",
    "types": "embeddings.token_type_embeddings",
    "norm": "embeddings.LayerNorm",
}
_BERT_LAYERS = {
    "qkv": ("attention.self.query", "attention.self.key", "attention.self.value"),
    "attended": ("attention.output.dense",),
    "attention_norm": ("attention.output.LayerNorm",),
    "intermediate": ("intermediate.dense",),
    "output_dense": ("output.dense",),
    "output_norm": ("output.LayerNorm",),
}

BERT = Family(
    prefix="bert.",
    config=_BERT_CONFIG,
    embeddings=_BERT_EMBEDDINGS,
    block="encoder.layer.{}.",
    layers=_BERT_LAYERS,
    unused=("embeddings.position_ids", "pooler.", "cls.", "classifier.", "qa_outputs."),
)
ROBERTA = Family(
    prefix="roberta.",
    config=_BERT_CONFIG,
    embeddings=_BERT_EMBEDDINGS,
    block="encoder.layer.{}.",
    layers=_BERT_LAYERS,
    unused=("embeddings.position_ids", "pooler.", "lm_head.", "classifier.", "qa_outputs."),
    counts_positions=True,
)
DISTILBERT = Family(
    prefix="distilbert.",
    config={
        "vocab_size": "vocab_size",
        "hidden_size": "dim",
        "num_layers": "n_layers",
        "num_heads": "n_heads",
        "intermediate_size": "hidden_dim",
        "max_positions": "max_position_embeddings",
        "activation": "activation",
        "dropout": "dropout",
        "attention_dropout": "attention_dropout",
    },
    fixed={"token_types": 0, "epsilon": 1e-12},
    embeddings={name: module for name, module in _BERT_EMBEDDINGS.items() if name != "types"},
    block="transformer.layer.{}.",
    layers={
        "qkv": ("attention.q_lin", "attention.k_lin", "attention.v_lin"),
        "attended": ("attention.out_lin",),
        "attention_norm": ("sa_layer_norm",),
        "intermediate": ("ffn.lin1",),
        "output_dense": ("ffn.lin2",),
        "output_norm": ("output_layer_norm",),
    },
    unused=("embeddings.position_ids", "vocab_", "pre_classifier.", "classifier.", "qa_outputs."),
)

#: `model_type` of `config.json` -> family.
FAMILIES: Mapping[str, Family] = {
    "bert": BERT,
    "roberta": ROBERTA,
    "xlm-roberta": ROBERTA,
    "camembert": ROBERTA,
    "distilbert": DISTILBERT,
}


def read_config(path: Path) -> tuple[Family, dict[str, Any]]:
    """The family of a checkpoint directory, and the arguments of its `BertModel`.

    Raises:
        DataError: the checkpoint is of another family, or its configuration lacks a key.
    """
    file = path / "config.json"
    config = json.loads(file.read_text("utf-8"))
    family = FAMILIES.get(config.get("model_type"))
    if family is None:
        raise DataError(
            f"{file}: model_type {config.get('model_type')!r} is not known; readable are {', '.join(sorted(FAMILIES))}"
        )
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise DataError(f"{file}: position_embedding_type {config['position_embedding_type']!r}, expected 'absolute'")
    missing = sorted(key for key in family.config.values() if key not in config)
    if missing:
        raise DataError(f"{file}: keys {', '.join(missing)} are missing; they are needed to build the network")
    arguments = {name: config[key] for name, key in family.config.items()} | dict(family.fixed)
    if family.counts_positions:
        arguments["position_padding"] = config["pad_token_id"]
    return family, arguments
