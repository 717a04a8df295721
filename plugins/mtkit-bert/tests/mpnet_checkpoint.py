"""A random checkpoint of MPNet with a vocabulary of its own, and texts for it; made without mtkit, as in checkpoints.py."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

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


def write_mpnet(directory: Path) -> Path:
    """In the layout of sentence-transformers: no prefix, and a pooler that nothing asks for."""
    words = vocabulary()
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
