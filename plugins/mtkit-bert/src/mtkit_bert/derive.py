"""From a column of texts to a column of vectors: distinct texts, cache, encoder, transform."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mtkit.errors import DataError
from mtkit_bert.cache import FORMAT, VectorCache
from mtkit_bert.checkpoint import digest, locate
from mtkit_bert.families import PoolingName, read_config
from mtkit_bert.transform import principal_components

COUNTER = "texts_encoded"

# Texts per shard of the cache: what a killed run loses at most.
_BLOCK = 2048
_SHOW_PROGRESS_FROM = 256


def text_vectors(
    values: np.ndarray,
    checkpoint: str,
    *,
    pooling: PoolingName,
    max_tokens: int,
    components: int | None,
    cache_dir: Path,
    counters: MutableMapping[str, int],
) -> np.ndarray:
    """Vectors float32 `[rows, width]`, or `[rows, components]`, zeros where a row has no text.

    Args:
        values: `[rows]` strings; None, nan and blank strings are no texts.
        checkpoint: as `mtkit_bert.checkpoint.locate` takes it.
        pooling: how hidden states become one vector.
        max_tokens: texts are cut to this many tokens, special ones included.
        components: principal components of the distinct texts' vectors to keep, of variance 1 each; None = the vectors.
        cache_dir: vectors are kept under `texts/` here, one folder per checkpoint and settings.
        counters: `texts_encoded` grows by the number of texts that went through the network.

    Raises:
        DataError: the checkpoint is not there or cannot be read, or a value is not a string.
    """
    path = locate(checkpoint)
    vectors, rows = distinct_vectors(
        values, path, pooling=pooling, max_tokens=max_tokens, cache_dir=cache_dir, counters=counters
    )
    if components:
        mean, matrix = principal_components(vectors, components)
        vectors = (vectors - mean) @ matrix
    result = np.zeros([len(values), vectors.shape[1]], np.float32)
    result[rows >= 0] = vectors[rows[rows >= 0]]
    return result


def distinct_vectors(
    values: np.ndarray,
    path: Path,
    *,
    pooling: PoolingName,
    max_tokens: int,
    cache_dir: Path,
    counters: MutableMapping[str, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors float32 `[texts, width]` of the distinct texts, and for each row the number of its text, or -1.

    Args:
        values: `[rows]` strings; None, nan and blank strings are no texts.
        path: directory of the checkpoint.
        pooling: how hidden states become one vector.
        max_tokens: texts are cut to this many tokens, special ones included.
        cache_dir: as in `text_vectors`.
        counters: as in `text_vectors`.

    Raises:
        DataError: the checkpoint cannot be read, or a value is not a string.
    """
    counters.setdefault(COUNTER, 0)
    texts, rows = distinct_texts(values)
    cache = VectorCache(cache_dir / "texts" / digest(path, pooling, max_tokens, FORMAT))
    known = cache.read(texts)
    missing = [text for text in texts if text not in known]
    for block, vectors in _encoded(missing, path, pooling, max_tokens, counters):
        cache.add(block, vectors)
        known |= zip(block, vectors, strict=True)
    if not texts:
        return np.zeros([0, read_config(path)[1]["hidden_size"]], np.float32), rows
    return np.stack([known[text] for text in texts]), rows


def distinct_texts(values: np.ndarray) -> tuple[list[str], np.ndarray]:
    """The distinct texts, sorted, and for each row the number of its text, or -1."""
    listed = values.tolist()
    for row, value in enumerate(listed):
        if not (isinstance(value, str) or value is None or (isinstance(value, float) and math.isnan(value))):
            raise DataError(f"row {row} holds {value!r} ({type(value).__name__}), expected a text or null")
    texts = sorted({value for value in listed if isinstance(value, str) and value.strip()})
    numbers: dict[Any, int] = {text: number for number, text in enumerate(texts)}
    return texts, np.array([numbers.get(value, -1) for value in listed], np.int64)


def _encoded(
    texts: Sequence[str],
    path: Path,
    pooling: PoolingName,
    max_tokens: int,
    counters: MutableMapping[str, int],
) -> Iterator[tuple[Sequence[str], np.ndarray]]:
    """Blocks of texts with their vectors. TensorFlow and the weights are loaded only if there are texts."""
    if not texts:
        return
    from mtkit_bert.frozen import FrozenEncoder

    with _progress(len(texts)) as advance:

        def passed(count: int) -> None:
            counters[COUNTER] += count
            advance(count)

        encoder = FrozenEncoder(path, pooling, max_tokens, passed)
        for start in range(0, len(texts), _BLOCK):
            block = texts[start : start + _BLOCK]
            yield block, encoder.encode(block)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    columns = TextColumn("encoding texts"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=total < _SHOW_PROGRESS_FROM) as progress:
        task = progress.add_task("", total=total)
        yield lambda count: progress.update(task, advance=count)
