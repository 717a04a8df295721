"""Vectors of texts, window by window and text by text: what encoders are held against."""

import numpy as np
from tokenizers import Tokenizer

CLS, SEP = 2, 3
POOLING = {"mean": lambda hidden: hidden.mean(0), "cls": lambda hidden: hidden[0], "last": lambda hidden: hidden[-1]}


def is_text(value):
    return isinstance(value, str) and bool(value.strip())


def windows_of(path, text, size, chunks, overlap):
    """Token ids of each window of a text, by one loop."""
    ids = Tokenizer.from_file(str(path / "tokenizer.json"))
    ids.no_truncation()
    ids = [number for number in ids.encode(text, add_special_tokens=False).ids if number]
    windows, start = [], 0
    while len(windows) < chunks and (start == 0 or start + overlap < len(ids)):
        windows.append([CLS, *ids[start : start + size - 2], SEP])
        start += size - 2 - overlap
    return windows


def vectors_of(network, path, texts, pooling, *cut):
    """Vectors float64 `[texts, width]`, each window through the network alone; zeros where there is no text."""
    vectors = []
    for text in texts:
        parts = []
        for ids in windows_of(path, text, *cut) if is_text(text) else []:
            hidden = network(np.array([ids])).numpy()[0].astype(np.float64)
            parts.append((len(ids), POOLING[pooling](hidden)))
        total = sum(count for count, _ in parts)
        vectors.append(sum((count / total * one for count, one in parts), np.zeros(network.hidden_size)))
    return np.stack(vectors)


def request(path, texts, size, chunks, overlap):
    """Token ids int32 `[texts, tokens]` as a request has them: windows side by side, each padded."""
    rows = [windows_of(path, text, size, chunks, overlap) if is_text(text) else [] for text in texts]
    ids = np.zeros([len(texts), max(map(len, rows)), size], np.int32)
    for row, windows in enumerate(rows):
        for place, window in enumerate(windows):
            ids[row, place, : len(window)] = window
    return ids.reshape(len(texts), -1)
