"""Texts of an entity as columns of token ids, made once before training (no TensorFlow)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mtkit_bert.configuration import read_config
from mtkit_bert.derive import distinct_texts
from mtkit_bert.tokenizer import load_tokenizer


def token_columns(
    values: np.ndarray, path: Path, max_tokens: int, chunks: int = 1, overlap: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Token ids int32 `[rows, fields * tokens]`, and the numbers of each row's texts int32 `[rows, fields]`.

    Numbers are the same for equal texts. Where there is no text, there is only padding, and number 0. If any text has
    several windows, each takes `max_tokens` ids, side by side; else texts are as wide as the longest.

    Args:
        values: `[rows]`, or `[rows, fields]` for several texts of each row; None, nan and blank strings are no texts.
        path: directory of the checkpoint.
        max_tokens: length of a window, special tokens included.
        chunks: the largest number of windows of a text; what lies behind them is cut.
        overlap: how many tokens a window shares with the one before it.

    Raises:
        DataError: a value is not a string, or the checkpoint cannot be read.
    """
    texts, rows = distinct_texts(values)
    encodings = load_tokenizer(path, max_tokens, overlap).encode_batch_fast(texts)
    windows = [[one.ids for one in (first, *first.overflowing[: chunks - 1])] for first in encodings]
    several = max(map(len, windows), default=1)
    size = max_tokens if several > 1 else max((len(first.ids) for first in encodings), default=1)
    ids = np.full([len(texts) + 1, several, size], padding_id(path), np.int32)
    for text, own in enumerate(windows, start=1):
        for place, window in enumerate(own):
            ids[text, place, : len(window)] = window
    numbers = (rows + 1).reshape(len(values), -1)
    return ids[numbers].reshape(len(values), numbers.shape[1] * several * size), numbers.astype(np.int32)


def padding_id(path: Path) -> int:
    """The id that stands behind the tokens of shorter texts; decoders have none that is free."""
    family, config = read_config(path)
    return (config.get("position_padding") or 0) if family.network == "BertModel" else -1
