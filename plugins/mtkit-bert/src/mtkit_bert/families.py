"""The readable checkpoints: how each family names its configuration and its tensors (no TensorFlow)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

PoolingName = Literal["mean", "cls", "last"]


@dataclass(frozen=True)
class Family:
    """A family of checkpoints that are the same network under different names.

    Attributes:
        prefix: what tensor names begin with when the checkpoint has a task head on top.
        config: argument of the network -> key of `config.json`.
        fixed: arguments of the network that the family does not write into `config.json`.
        optional: argument of the network -> key of `config.json`, where it is there.
        expected: key of `config.json` -> the value that it must have where it is there.
        embeddings: sub-layer of the network -> module of the checkpoint.
        block: the modules of layer i, with `{}` for i.
        layers: sub-layer of a block -> modules within the checkpoint's layer; several are joined along the last axis.
        unused: beginnings of the names of tensors that hidden states do not need (heads, poolers, buffers).
        counts_positions: positions count tokens that are not padding, and begin after the padding id.
        network: the class, `BertModel`, `DecoderModel` or `Gpt2Model`.
        transposed: kernels are stored as `[units, width]`.
    """

    prefix: str
    config: Mapping[str, str]
    embeddings: Mapping[str, str]
    block: str
    layers: Mapping[str, tuple[str, ...]]
    unused: tuple[str, ...]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    optional: Mapping[str, str] = field(default_factory=dict)
    expected: Mapping[str, Any] = field(default_factory=lambda: {"position_embedding_type": "absolute"})
    counts_positions: bool = False
    network: str = "BertModel"
    transposed: bool = True


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
MPNET = Family(
    prefix="mpnet.",
    config={key: value for key, value in _BERT_CONFIG.items() if key != "token_types"}
    | {"relative_buckets": "relative_attention_num_buckets"},
    # transformers pads with 1, whatever the configuration says.
    fixed={"token_types": 0, "position_padding": 1},
    expected={"pad_token_id": 1},
    embeddings={name: module for name, module in _BERT_EMBEDDINGS.items() if name != "types"}
    | {"relative": "encoder.relative_attention_bias"},
    block="encoder.layer.{}.",
    layers=_BERT_LAYERS
    | {
        "qkv": ("attention.attn.q", "attention.attn.k", "attention.attn.v"),
        "attended": ("attention.attn.o",),
        "attention_norm": ("attention.LayerNorm",),
    },
    unused=("embeddings.position_ids", "pooler.", "lm_head.", "classifier.", "qa_outputs."),
)

_DECODER_LAYERS = {
    "attention_norm": ("input_layernorm",),
    "query": ("self_attn.q_proj",),
    "key_value": ("self_attn.k_proj", "self_attn.v_proj"),
    "attended": ("self_attn.o_proj",),
    "feed_forward_norm": ("post_attention_layernorm",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}
LLAMA = Family(
    network="DecoderModel",
    prefix="model.",
    config={
        "vocab_size": "vocab_size",
        "hidden_size": "hidden_size",
        "num_layers": "num_hidden_layers",
        "num_heads": "num_attention_heads",
        "intermediate_size": "intermediate_size",
        "max_positions": "max_position_embeddings",
        "activation": "hidden_act",
        "epsilon": "rms_norm_eps",
    },
    optional={
        "num_kv_heads": "num_key_value_heads",
        "head_dim": "head_dim",
        "attention_dropout": "attention_dropout",
        "qkv_bias": "attention_bias",
        "output_bias": "attention_bias",
    },
    expected={"mlp_bias": False},
    embeddings={"words": "embed_tokens", "norm": "norm"},
    block="layers.{}.",
    layers=_DECODER_LAYERS,
    unused=("lm_head.", "score."),
)
_QWEN_OPTIONAL = {
    "num_kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "attention_dropout": "attention_dropout",
}
QWEN2 = replace(LLAMA, optional=_QWEN_OPTIONAL, fixed={"qkv_bias": True})
QWEN3 = replace(
    LLAMA,
    fixed={"qk_norm": True},
    layers=_DECODER_LAYERS | {"query_norm": ("self_attn.q_norm",), "key_norm": ("self_attn.k_norm",)},
)

GPT2 = Family(
    network="Gpt2Model",
    prefix="transformer.",
    transposed=False,
    config={
        "vocab_size": "vocab_size",
        "hidden_size": "n_embd",
        "num_layers": "n_layer",
        "num_heads": "n_head",
        "max_positions": "n_positions",
        "activation": "activation_function",
        "epsilon": "layer_norm_epsilon",
    },
    optional={
        "intermediate_size": "n_inner",
        "embedding_dropout": "embd_pdrop",
        "dropout": "resid_pdrop",
        "attention_dropout": "attn_pdrop",
    },
    expected={"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False, "add_cross_attention": False},
    embeddings={"words": "wte", "positions": "wpe", "norm": "ln_f"},
    block="h.{}.",
    layers={
        "attention_norm": ("ln_1",),
        "qkv": ("attn.c_attn",),
        "attended": ("attn.c_proj",),
        "feed_forward_norm": ("ln_2",),
        "intermediate": ("mlp.c_fc",),
        "output_dense": ("mlp.c_proj",),
    },
    unused=("lm_head.", "score."),
)

#: `model_type` of `config.json` -> family.
FAMILIES: Mapping[str, Family] = {
    "bert": BERT,
    "roberta": ROBERTA,
    "xlm-roberta": ROBERTA,
    "camembert": ROBERTA,
    "distilbert": DISTILBERT,
    "mpnet": MPNET,
    "llama": LLAMA,
    "mistral": LLAMA,
    "qwen2": QWEN2,
    "qwen3": QWEN3,
    "gpt2": GPT2,
}
