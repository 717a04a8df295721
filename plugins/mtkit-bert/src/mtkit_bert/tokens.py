"""Texts of an entity as columns of token ids, made once before training (no TensorFlow)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mtkit_bert.derive import distinct_texts
from mtkit_bert.families import read_config
from mtkit_bert.tokenizer import load_tokenizer


def token_columns(values: np.ndarray, path: Path, max_tokens: int) -> tuple[np.ndarray, np.ndarray]:
    """Token ids int32 `[rows, longest]`, and the number of each row's text int32 `[rows, 1]`, the same for equal texts.

    A row without a text has only padding, and number 0.

    Args:
        values: `[rows]` strings; None, nan and blank strings are no texts.
        path: directory of the checkpoint.
        max_tokens: texts are cut to this many tokens, special ones included.

    Raises:
        DataError: a value is not a string, or the checkpoint cannot be read.
    """
    texts, rows = distinct_texts(values)
    encodings = load_tokenizer(path, max_tokens).encode_batch_fast(texts)
    longest = max((len(encoding.ids) for encoding in encodings), default=1)
    ids = np.full([len(texts) + 1, longest], padding_id(path), np.int32)
    for row, encoding in enumerate(encodings, start=1):
        ids[row, : len(encoding.ids)] = encoding.ids
    numbers = rows + 1
    return ids[numbers], numbers[:, None].astype(np.int32)


def padding_id(path: Path) -> int:
    """The id that stands behind the tokens of shorter texts."""
    return read_config(path)[1].get("position_padding") or 0
