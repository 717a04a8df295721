"""Vectors that were made elsewhere, from `.npy` and Parquet files: those of a catalog, joined by id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from mtkit.errors import DataError

#: Columns of a Parquet file of vectors.
ID, VECTOR = "id", "vector"

# Rows of a Parquet file that are in memory at once.
_BLOCK = 65536


def vectors_of(catalog: np.ndarray, path: Path, ids: Path | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The vectors of a catalog; files are memory-mapped, and only what the catalog names is kept.

    Ids are compared as text, so that integers in one file fit strings in another.

    Args:
        catalog: `[rows]` ids, None for the unknown.
        path: `.npy` of floats `[vectors, width]`, or `.parquet` with the columns `id` and `vector`, a list of floats.
        ids: of the vectors of an `.npy`, in their order: `.npy`, or text with one id a line. None for Parquet.

    Returns:
        Vectors float32 `[rows, width]`, zeros where the file has none, and bool `[rows]`: whether it has.

    Raises:
        DataError: a file is missing or cannot be read, vectors differ in width or are not finite, an id is there twice,
            there are more or fewer ids than vectors, or no id is in the catalog.
    """
    rows = {str(value): row for row, value in enumerate(catalog.tolist()) if value is not None}
    with _readable(path):
        if path.suffix == ".npy":
            assert ids is not None
            found = _from_npy(rows, path, ids)
        else:
            found = _from_parquet(rows, path)
        vectors, there = _joined(len(catalog), path, found)
    if rows and not there.any():
        raise DataError(f"{path}: none of its vectors has an id of the data, which are as {next(iter(rows))!r}")
    return vectors, there


Found = Iterator[tuple[list[int], np.ndarray]]


def _joined(count: int, path: Path, found: Found) -> tuple[np.ndarray, np.ndarray]:
    """Vectors at their rows, from blocks of rows and vectors."""
    there = np.zeros(count, bool)
    vectors = None
    for rows, block in found:
        if not np.isfinite(block).all():
            raise DataError(f"{path}: vectors hold nan or infinite numbers; expected finite ones")
        if vectors is None:
            vectors = np.zeros([count, block.shape[1]], np.float32)
        elif vectors.shape[1] != block.shape[1]:
            raise DataError(f"{path}: vectors are {vectors.shape[1]} and {block.shape[1]} wide; expected one width")
        vectors[rows], there[rows] = block, True
    if vectors is None:
        raise DataError(f"{path}: holds no vectors")
    return vectors, there


def _from_npy(rows: dict[str, int], path: Path, ids: Path) -> Found:
    vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    if vectors.ndim != 2 or vectors.dtype.kind != "f":
        raise DataError(f"{path}: {vectors.dtype} {list(vectors.shape)}, expected floats [vectors, width]")
    with _readable(ids):
        names = _names(ids)
    if len(names) != len(vectors):
        raise DataError(f"{ids} has {len(names):,} ids, but {path} has {len(vectors):,} vectors")
    _refuse_repeated(names, ids)
    places = [(rows[name], place) for place, name in enumerate(names) if name in rows]
    yield [row for row, _ in places], np.asarray(vectors[[place for _, place in places]], np.float32)


def _names(file: Path) -> list[str]:
    if file.suffix == ".npy":
        return [str(value) for value in np.load(file, allow_pickle=False).ravel().tolist()]
    return file.read_text("utf-8").splitlines()


def _from_parquet(rows: dict[str, int], path: Path) -> Found:
    with parquet.ParquetFile(path, memory_map=True, page_checksum_verification=True) as file:
        if missing := {ID, VECTOR} - set(file.schema_arrow.names):
            has = ", ".join(file.schema_arrow.names)
            raise DataError(f"{path}: has no column {min(missing)}; expected {ID} and {VECTOR}, got {has}")
        seen: list[str] = []
        for batch in file.iter_batches(_BLOCK, columns=[ID, VECTOR]):
            names = batch.column(ID).cast(pa.string()).to_pylist()
            seen += names
            wanted = [place for place, name in enumerate(names) if name in rows]
            vectors = _matrix(batch.column(VECTOR), path)
            yield [rows[names[place]] for place in wanted], vectors[wanted]
    _refuse_repeated(seen, path)


def _matrix(column: Any, path: Path) -> np.ndarray:
    """Lists of one length as float32 `[rows, width]`."""
    kind = column.type
    if not (hasattr(kind, "value_type") and pa.types.is_floating(kind.value_type)) or pa.types.is_dictionary(kind):
        raise DataError(f"{path}: column {VECTOR} is {kind}, expected a list of floats")
    flat = column.flatten()
    if column.null_count or flat.null_count:
        raise DataError(f"{path}: column {VECTOR} has nulls; leave out the rows of entities without a vector")
    widths = pc.unique(pc.list_value_length(column)).to_pylist()
    if len(widths) > 1:
        raise DataError(f"{path}: vectors are {widths[0]} and {widths[1]} wide; expected one width")
    return np.asarray(flat.to_numpy(zero_copy_only=False), np.float32).reshape(len(column), -1)


def _refuse_repeated(names: list[str], path: Path) -> None:
    repeated = [name for name, count in Counter(names).most_common(1) if count > 1]
    if repeated:
        raise DataError(f"{path}: id {repeated[0]!r} is there more than once; expected one vector for each id")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    try:
        yield
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
