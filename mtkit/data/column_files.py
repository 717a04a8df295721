"""Arrays and tables in files, a directory for those that belong together: written by parts, and mapped when read.

An array is a file of NumPy's own format, a table one of Arrow's: both lie on the disk as they lie in memory, so any row of
them is read at once, wherever it is, and takes no more memory than is asked for.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from mtkit.declared import Declared
from mtkit.errors import DataError
from mtkit.files import whole, write_text

LISTED = "columns.json"
"""Which files there are, and what they hold."""
AGAIN = "run `mtkit prepare` again: it makes anew what is missing or damaged"
_READ = 1 << 24


class Listed(Declared):
    """What is on record of a file: its name, what it holds, its size in bytes, and a hash (BLAKE2b, 16 bytes) of all of them."""

    file: str
    holds: Literal["array", "table"]
    bytes: int
    hash: str


class Listing(Declared):
    """What is on record of a directory: name of an array or table -> its file, and what else was to be kept, as JSON."""

    format: Literal[1] = 1
    files: Mapping[str, Listed]
    about: Mapping[str, Any]


@dataclass(frozen=True)
class Columns:
    """What a directory holds.

    Attributes:
        arrays: name -> array, mapped, not to be written to.
        tables: name -> table, mapped.
        about: what else was kept.
    """

    arrays: Mapping[str, np.ndarray]
    tables: Mapping[str, pa.Table]
    about: Mapping[str, Any]


class ColumnWriter:
    """Writes arrays and tables by their parts, one after another.

    Args:
        directory: an empty one.
    """

    def __init__(self, directory: Path) -> None:
        self.about: dict[str, Any] = {}
        self._directory = directory
        self._arrays: dict[str, _Array] = {}
        self._tables: dict[str, tuple[Path, Any]] = {}

    def add(self, name: str, values: np.ndarray) -> None:
        """Writes the next rows of an array; all of its parts have one dtype, and one shape but for the first axis."""
        if name not in self._arrays:
            self._arrays[name] = _Array(self._path("npy"), values)
        self._arrays[name].add(values)

    def add_table(self, name: str, table: pa.Table) -> None:
        """Writes the next rows of a table, without dictionaries, which parts would have of their own."""
        table = _decoded(table)
        if name not in self._tables:
            path = self._path("arrow")
            self._tables[name] = path, pa.ipc.new_file(str(path), table.schema)
        self._tables[name][1].write_table(table)

    def rows(self, name: str) -> int:
        """How many rows an array has by now."""
        return self._arrays[name].rows if name in self._arrays else 0

    def close(self) -> None:
        """Completes the files, and says which there are."""
        found = {name: array.close() for name, array in self._arrays.items()}
        for name, (path, writer) in self._tables.items():
            writer.close()
            found[name] = Listed(file=path.name, holds="table", bytes=path.stat().st_size, hash=hash_of(path))
        text = Listing(files=found, about=self.about).model_dump_json(indent=1)
        write_text(self._directory / LISTED, text)

    def abandon(self) -> None:
        """Closes what is open."""
        for array in self._arrays.values():
            array.file.close()
        for _, writer in self._tables.values():
            writer.close()

    def _path(self, kind: str) -> Path:
        return self._directory / f"{len(self._arrays) + len(self._tables):03d}.{kind}"


class _Array:
    """An array that grows by its first axis; the head of the file, which says how long it is, is written anew in the end."""

    def __init__(self, path: Path, first: np.ndarray) -> None:
        self.path, self.rows = path, 0
        self._dtype, self._shape = first.dtype, first.shape[1:]
        self.file: BufferedWriter = path.open("xb")
        self._head()
        self._begin = self.file.tell()

    def add(self, values: np.ndarray) -> None:
        if values.dtype != self._dtype or values.shape[1:] != self._shape:
            raise ValueError(f"{values.dtype} {values.shape[1:]} after {self._dtype} {self._shape}")
        self.rows += len(values)
        for begin in range(0, len(values), step := max(1, _READ // max(values[:1].nbytes, 1))):
            self.file.write(np.ascontiguousarray(values[begin : begin + step]).data)

    def close(self) -> Listed:
        self.file.seek(0)
        self._head()
        assert self.file.tell() == self._begin, "NumPy leaves room for the length"
        self.file.close()
        return Listed(file=self.path.name, holds="array", bytes=self.path.stat().st_size, hash=hash_of(self.path))

    def _head(self) -> None:
        shape = (self.rows, *self._shape)
        head = {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self.file, head)


@contextlib.contextmanager
def writing_columns(directory: Path) -> Iterator[ColumnWriter]:
    """What writes a directory, which is there whole in the end or not at all.

    Raises:
        RunError: it cannot be written.
    """
    with whole(directory) as temporary:
        temporary.mkdir()
        writer = ColumnWriter(temporary)
        try:
            yield writer
        except BaseException:
            writer.abandon()
            raise
        writer.close()


def read_columns(directory: Path) -> Columns:
    """What a directory holds, nothing of which is read yet.

    Raises:
        DataError: a file is missing, is shorter or longer than it was, or cannot be understood; it is named.
    """
    listing = read_listing(directory)
    paths = {name: _checked(directory, listed) for name, listed in listing.files.items()}
    kinds: dict[str, dict[str, Any]] = {"array": {}, "table": {}}
    for name, listed in listing.files.items():
        kinds[listed.holds][name] = _understood(paths[name], _READERS[listed.holds])
    return Columns(kinds["array"], kinds["table"], listing.about)


def read_listing(directory: Path) -> Listing:
    """What is on record of a directory.

    Raises:
        DataError: there is none, or it cannot be understood.
    """
    path = directory / LISTED
    try:
        return Listing.model_validate(json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        raise DataError(f"{path}: is missing; {AGAIN}") from None
    except (OSError, ValueError, ValidationError) as error:
        raise DataError(f"{path}: cannot be understood ({str(error).splitlines()[0]}); {AGAIN}") from error


def intact(directory: Path) -> str:
    """What is wrong with the files of a directory, each of which is read; empty if nothing is."""
    try:
        for listed in read_listing(directory).files.values():
            if hash_of(_checked(directory, listed)) != listed.hash:
                return f"{directory / listed.file}: is not what was written"
    except DataError as error:
        return str(error)
    return ""


def hash_of(path: Path) -> str:
    """A hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _checked(directory: Path, listed: Listed) -> Path:
    path = directory / listed.file
    if not path.is_file():
        raise DataError(f"{path}: is missing; {AGAIN}")
    if (size := path.stat().st_size) != listed.bytes:
        raise DataError(f"{path}: has {size:,} bytes, and {listed.bytes:,} were written; {AGAIN}")
    return path


def _understood(path: Path, read: Callable[[Path], Any]) -> Any:
    try:
        return read(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be understood ({str(error).splitlines()[0]}); {AGAIN}") from error


def _array(path: Path) -> np.ndarray:
    # As a plain array: a class of its own would be handed on by all that is computed of it.
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def _table(path: Path) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


_READERS: Mapping[str, Callable[[Path], Any]] = {"array": _array, "table": _table}


def _decoded(table: pa.Table) -> pa.Table:
    for place, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            table = table.set_column(place, field.name, table[field.name].cast(field.type.value_type))
    return table
