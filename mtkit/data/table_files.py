"""Tables of files as they come: CSV, JSON lines, Parquet and Arrow, compressed, in one file or in several parts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from mtkit.data.file_parts import Wanted, files_of, root_of
from mtkit.data.text_files import Reading, json_keys, names_of_csv, read_csv, read_json_lines
from mtkit.errors import DataError

#: Suffixes of compressed files, which stand behind that of the format.
COMPRESSED = (".gz", ".zst", ".bz2")


def read_table(path: Path, columns: Collection[str], reading: Reading | None = None, key_of: str = "") -> pa.Table:
    """The wanted columns of a file, of all files in a folder, or of those that a pattern such as `log-*.csv` names.

    Values of CSV files are strings as they stand there; those of other formats have the file's types. Columns may stand in
    the names of folders below the folder, or in those that a pattern leaves open (`year=2024/month=05/part-0.csv`); their values
    are strings as they stand there.

    Args:
        path: the file, folder or pattern.
        columns: names of the columns that are wanted.
        reading: how text files are read.
        key_of: the entity whose ids are in the column `id`, if that is a default.

    Raises:
        DataError: there is no such file, it cannot be read, or columns are missing, or stand in a file and in the name of its
            folder.
    """
    reading, root = reading or Reading(), root_of(path)
    files = files_of(path, _reader)
    if not files:
        raise DataError(f"{path}: no file in this folder ends in {_endings()}")
    parts = [_part(Wanted(file, root, columns, key_of), reading) for file in files]
    try:
        return pa.concat_tables(parts, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"{path}: its parts have columns of different types: {error}") from error


def parquet_parts(path: Path, columns: Collection[str], rows: int) -> Iterator[pa.Table] | None:
    """The wanted columns of Parquet files, some rows at a time; None where files are others, or folders have columns.

    Raises:
        DataError: there is no such file, or columns are missing; while they are read, that a file cannot be read.
    """
    files = [Wanted(file, root_of(path), columns, "") for file in files_of(path, _reader)]
    if not files or any(not is_parquet(wanted.path) or wanted.of_folders for wanted in files):
        return None
    return (part for wanted in files for part in _parquet_parts(wanted, rows))


def _parquet_parts(wanted: Wanted, rows: int) -> Iterator[pa.Table]:
    try:
        file = parquet.ParquetFile(wanted.path)
        names = wanted.among(file.schema_arrow.names)
        for batch in file.iter_batches(rows, columns=names):
            yield pa.Table.from_batches([batch]).select(names)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{wanted.path}: cannot be read: {str(error).splitlines()[0]}") from error


def _part(wanted: Wanted, reading: Reading) -> pa.Table:
    reader = _reader(wanted.path)
    if reader is None:
        raise DataError(
            f"{wanted.path}: expected a file that ends in {_endings()}, compressed ({', '.join(COMPRESSED)}) or not"
        )
    try:
        table = reader(wanted, reading)
        for name, value in wanted.of_folders.items():
            table = table.append_column(name, pa.array([value] * len(table), pa.string()))
    except (OSError, pa.ArrowException, UnicodeError, EOFError) as error:
        raise DataError(f"{wanted.path}: cannot be read: {str(error).splitlines()[0]}") from error
    return table.select(list(wanted.columns))


def _read_parquet(wanted: Wanted, _: Reading) -> pa.Table:
    names = wanted.among(parquet.read_schema(wanted.path).names)
    return parquet.ParquetFile(wanted.path).read(columns=names).select(names)


def _read_arrow(wanted: Wanted, _: Reading) -> pa.Table:
    with pa.memory_map(str(wanted.path)) as file:
        table = _arrow_table(file)
    return table.select(wanted.among(table.column_names))


def _arrow_table(file: pa.NativeFile) -> pa.Table:
    try:
        return pa.ipc.open_file(file).read_all()
    except pa.ArrowInvalid:
        file.seek(0)
        return pa.ipc.open_stream(file).read_all()


_READERS: dict[str, Callable[[Wanted, Reading], pa.Table]] = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".txt": read_csv,
    ".dat": read_csv,
    ".data": read_csv,
    ".inter": read_csv,
    ".item": read_csv,
    ".user": read_csv,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".json": read_json_lines,
    ".parquet": _read_parquet,
    ".pq": _read_parquet,
    ".arrow": _read_arrow,
    ".feather": _read_arrow,
    ".ipc": _read_arrow,
}
_BINARY = (_read_parquet, _read_arrow)


def _reader(path: Path) -> Callable[[Wanted, Reading], pa.Table] | None:
    """How a file is read, by the end of its name."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSED:
        reader = _READERS.get(suffixes[-2]) if len(suffixes) > 1 else None
        return None if reader in _BINARY else reader
    return _READERS.get(suffixes[-1]) if suffixes else None


def _endings() -> str:
    *most, last = _READERS
    return f"{', '.join(most)} or {last}"


def is_table(path: Path) -> bool:
    """Whether a file can be read, by the end of its name."""
    return _reader(path) is not None


def is_text(path: Path) -> bool:
    """Whether a file is CSV, by the end of its name."""
    return _reader(path) is read_csv


def is_parquet(path: Path) -> bool:
    """Whether a file is Parquet, by the end of its name."""
    return _reader(path) is _read_parquet


def column_names(path: Path, reading: Reading | None = None) -> tuple[str, ...]:
    """The columns of a file, or of the first file of a folder or pattern, without those in the names of folders.

    Raises:
        DataError: there is no such file, or it cannot be read.
    """
    files = files_of(path, _reader)
    reader = _reader(files[0]) if files else None
    if reader is None:
        raise DataError(
            f"{path}: expected a file that ends in {_endings()}, compressed ({', '.join(COMPRESSED)}) or not"
        )
    try:
        return tuple(_NAMES[reader](files[0], reading or Reading()))
    except (OSError, pa.ArrowException, UnicodeError, EOFError) as error:
        raise DataError(f"{files[0]}: cannot be read: {str(error).splitlines()[0]}") from error


def _names_of_arrow(path: Path, _: Reading) -> list[str]:
    with pa.memory_map(str(path)) as file:
        return list(_arrow_table(file).column_names)


_NAMES: dict[Callable[[Wanted, Reading], pa.Table], Callable[[Path, Reading], Collection[str]]] = {
    read_csv: names_of_csv,
    read_json_lines: json_keys,
    _read_parquet: lambda path, _: parquet.read_schema(path).names,
    _read_arrow: _names_of_arrow,
}
