"""From a column of texts to a column of vectors: distinct texts, cache, encoder, transform."""

from __future__ import annotations

import math
import time
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
from mtkit_bert.configuration import read_config
from mtkit_bert.reading import CombineName, Reading
from mtkit_bert.transform import principal_components

COUNTER = "texts_encoded"

# Texts per shard of the cache: what a killed run loses at most.
_BLOCK = 2048
_SHOW_PROGRESS_FROM = 256


def text_vectors(
    values: np.ndarray,
    checkpoint: str,
    *,
    reading: Reading,
    components: int | None,
    cache_dir: Path,
    counters: MutableMapping[str, int],
    combine: CombineName = "mean",
) -> np.ndarray:
    """Vectors float32 `[rows, width]` (`components` instead of the width, if they are asked for), zeros without a text.

    Args:
        values: `[rows]`, or `[rows, fields]` for several texts of each row; None, nan and blank strings are no texts.
        checkpoint: as `mtkit_bert.checkpoint.locate` takes it.
        reading: how a text becomes a vector.
        components: principal components of the distinct texts' vectors to keep, of variance 1 each; None = the vectors.
        cache_dir: vectors are kept under `texts/` here, one folder per checkpoint and settings.
        counters: `texts_encoded` grows by the number of texts that went through the network.
        combine: as in `combined`.

    Raises:
        DataError: the checkpoint is not there or cannot be read, or a value is not a string.
    """
    path = locate(checkpoint)
    vectors, rows = distinct_vectors(values, path, reading=reading, cache_dir=cache_dir, counters=counters)
    if components:
        mean, matrix = principal_components(vectors, components)
        vectors = (vectors - mean) @ matrix
    result = np.zeros([*rows.shape, vectors.shape[1]], np.float32)
    result[rows >= 0] = vectors[rows[rows >= 0]]
    return result if rows.ndim == 1 else combined(result, rows >= 0, combine)


def distinct_vectors(
    values: np.ndarray,
    path: Path,
    *,
    reading: Reading,
    cache_dir: Path,
    counters: MutableMapping[str, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors float32 `[texts, width]` of the distinct texts, and for each value the number of its text, or -1.

    Args:
        values: as in `text_vectors`.
        path: directory of the checkpoint.
        reading: how a text becomes a vector.
        cache_dir: as in `text_vectors`.
        counters: as in `text_vectors`.

    Raises:
        DataError: the checkpoint cannot be read, or a value is not a string.
    """
    counters.setdefault(COUNTER, 0)
    texts, rows = distinct_texts(values)
    cache = VectorCache(cache_dir / "texts" / digest(path, *reading.settings, FORMAT))
    known = cache.read(texts)
    missing = [text for text in texts if text not in known]
    for block, vectors in _encoded(missing, path, reading, counters):
        cache.add(block, vectors)
        known |= zip(block, vectors, strict=True)
    if not texts:
        return np.zeros([0, read_config(path)[1]["hidden_size"]], np.float32), rows
    return np.stack([known[text] for text in texts]), rows


def distinct_texts(values: np.ndarray) -> tuple[list[str], np.ndarray]:
    """The distinct texts, sorted, and for each value (`[rows]` or `[rows, fields]`) the number of its text, or -1."""
    listed = values.ravel().tolist()
    for place, value in enumerate(listed):
        if not (isinstance(value, str) or value is None or (isinstance(value, float) and math.isnan(value))):
            row, *field = np.unravel_index(place, values.shape)
            where = f"row {row}" + (f" of text {field[0] + 1}" if field else "")
            raise DataError(f"{where} holds {value!r} ({type(value).__name__}), expected a text or null")
    texts = sorted({value for value in listed if isinstance(value, str) and value.strip()})
    numbers: dict[Any, int] = {text: number for number, text in enumerate(texts)}
    return texts, np.array([numbers.get(value, -1) for value in listed], np.int64).reshape(values.shape)


def combined(vectors: np.ndarray, there: np.ndarray, combine: CombineName) -> np.ndarray:
    """One vector from those of the texts of a row: `[rows, width]`, or with `concat` `[rows, fields * width]`.

    Args:
        vectors: float32 `[rows, fields, width]`, zeros where there is no text.
        there: bool `[rows, fields]`, where there is one.
        combine: `mean` of the texts that are there, or `concat` of all.
    """
    if combine == "concat":
        return vectors.reshape(len(vectors), -1)
    return vectors.sum(axis=1) / np.maximum(there.sum(axis=1), 1).astype(np.float32)[:, None]


def _encoded(
    texts: Sequence[str],
    path: Path,
    reading: Reading,
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

        encoder = FrozenEncoder(path, reading, passed)
        for start in range(0, len(texts), _BLOCK):
            block = texts[start : start + _BLOCK]
            yield block, encoder.encode(block)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    columns = TextColumn("encoding texts"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    console = Console(stderr=True)
    shown, begin = total >= _SHOW_PROGRESS_FROM, time.monotonic()
    with Progress(*columns, console=console, transient=True, disable=not shown) as progress:
        task = progress.add_task("", total=total)
        yield lambda count: progress.update(task, advance=count)
    if shown:
        seconds = time.monotonic() - begin
        console.print(f"encoded {total:,} texts in {seconds:.1f} s ({total / seconds:,.0f} a second)", highlight=False)
