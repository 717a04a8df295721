"""The peer of text_encoder.py: transformers' TFBertModel in a `tf.function`, in the environment of peers.txt.

    python bench/text_encoder_peer.py CHECKPOINT TEXTS VECTORS

Encodes the texts of a JSON list once and writes their vectors to a `.npy` file. Prints `{"vectors": rows}`, and then for each
line that comes in, `{"seconds": ...}` of encoding them all again, tokenization included.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from safetensors.numpy import load_file
from tokenizers import Tokenizer
from transformers import BertConfig, TFBertModel
from transformers.modeling_tf_pytorch_utils import load_pytorch_state_dict_in_tf2_model

BATCH, TOKENS = 64, 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("checkpoint", "texts", "vectors"):
        parser.add_argument(name, type=Path)
    arguments = parser.parse_args()
    texts = json.loads(arguments.texts.read_text("utf-8"))
    encode = encoder(arguments.checkpoint)
    vectors = encode(texts)
    np.save(arguments.vectors, vectors)
    print(json.dumps({"vectors": len(vectors)}), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        encode(texts)
        print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)


def encoder(path: Path) -> Callable[[Sequence[str]], np.ndarray]:
    # TFBertModel.from_pretrained cannot read safetensors of PyTorch with current versions of that library.
    model = TFBertModel(BertConfig.from_pretrained(path))
    model.build_in_name_scope()
    state = load_file(path / "model.safetensors")
    model = load_pytorch_state_dict_in_tf2_model(model, state, tf_inputs=False, allow_missing_keys=True)
    tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
    tokenizer.enable_truncation(TOKENS)
    tokenizer.enable_padding(length=TOKENS)

    @tf.function(input_signature=[tf.TensorSpec([None, TOKENS], tf.int32)] * 2)
    def pooled(ids: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        weights = tf.cast(mask, tf.float32)[:, :, None]
        hidden = model(ids, attention_mask=mask, training=False).last_hidden_state
        return tf.reduce_sum(hidden * weights, 1) / tf.reduce_sum(weights, 1)

    def encode(texts: Sequence[str]) -> np.ndarray:
        encodings = tokenizer.encode_batch_fast(list(texts))
        ids, mask = (np.array([getattr(e, name) for e in encodings], np.int32) for name in ("ids", "attention_mask"))
        parts = [pooled(ids[i : i + BATCH], mask[i : i + BATCH]).numpy() for i in range(0, len(texts), BATCH)]
        return np.concatenate(parts)

    return encode


if __name__ == "__main__":
    main()
