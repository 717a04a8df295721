"""Tables of files as they come: CSV, JSON lines, Parquet and Arrow, compressed, in one file or in several parts."""

from __future__ import annotations

import codecs
import io
import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa
from pyarrow import csv, dataset, parquet

from mtkit.errors import DataError, nearest

#: Suffixes of compressed files, which stand behind that of the format.
COMPRESSED = (".gz", ".zst", ".bz2")
_SEPARATORS = (",", ";", "\t", "|")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SHOWN = 5


@dataclass(frozen=True)
class Reading:
    """How text files are read.

    Attributes:
        separator: what stands between the fields of a CSV file; empty = told from its header.
        encoding: of text files, by Python's name.
    """

    separator: str = ""
    encoding: str = "utf-8"


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
    reading, root = reading or Reading(), _root(path)
    parts = [_part(_Wanted(part, root, columns, key_of), reading) for part in _parts(path)]
    try:
        return pa.concat_tables(parts, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"{path}: its parts have columns of different types: {error}") from error


def _parts(path: Path) -> list[Path]:
    """The files that a path means, in the order of their names."""
    if path.is_file():
        return [path]
    if path.is_dir():
        if not (known := _within(path)):
            raise DataError(f"{path}: no file in this folder ends in {_endings()}")
        return known
    pattern, root = _is_pattern(str(path)), _root(path)
    if pattern and (found := [*_matching(root, str(path.relative_to(root)))]):
        return found
    what = "no file has a name like this" if pattern else "there is no such file"
    raise DataError(f"{path}: {what}")


def _matching(root: Path, pattern: str) -> Iterator[Path]:
    """The files whose paths have a pattern, and those within the folders whose paths have it."""
    for found in sorted(root.glob(pattern)):
        yield from _within(found) if found.is_dir() else [found]


def _within(folder: Path) -> list[Path]:
    """The files of a known kind in a folder and in those below it, in the order of their names."""
    return sorted(file for file in folder.rglob("*") if _reader(file) and not _hidden(file.relative_to(folder)))


def _hidden(path: Path) -> bool:
    """Whether a file is no data, by its name or that of a folder; but `_day=2024-05-01` names a column."""
    return any(part.startswith(".") or (part.startswith("_") and "=" not in part) for part in path.parts)


def _is_pattern(text: str) -> bool:
    return any(character in text for character in "*?[")


def _root(path: Path) -> Path:
    """The folder below which the names of folders may hold columns: a folder itself, or what stands before a pattern."""
    if path.exists():
        return path if path.is_dir() else path.parent
    for above in reversed(path.parents):
        part = path.relative_to(above).parts[0]
        if _is_pattern(part) and not (above / part).exists():
            return above
    return path.parent


@dataclass(frozen=True)
class _Wanted:
    """A file, and its columns that are asked for.

    Attributes:
        path: the file.
        root: the folder below which the names of folders may hold columns.
        columns: names of the columns.
        key_of: the entity whose ids are in the column `id`, if that is a default.
    """

    path: Path
    root: Path
    columns: Collection[str]
    key_of: str

    @cached_property
    def of_folders(self) -> dict[str, str | None]:
        """Wanted columns that stand in the names of folders, as in `year=2024`; null as Hive writes it."""
        folder = self.path.parent.relative_to(self.root).as_posix()
        schema = pa.schema({name: pa.string() for name in self.columns})
        values = dataset.get_partition_keys(dataset.HivePartitioning(schema).parse(f"{folder}/"))
        return {name: values[name] for name in self.columns if name in values}

    def among(self, there: Collection[str]) -> list[str]:
        """The wanted columns of the file, each of which is there once.

        Raises:
            DataError: some are not there, or twice.
        """
        there = list(there)
        names = [name for name in self.columns if name not in self.of_folders]
        mistakes = [self._missing(name, there) for name in names if name not in there]
        mistakes += [
            f"{self.path}: {there.count(name)} columns are called {name!r}" for name in names if there.count(name) > 1
        ]
        mistakes += [
            f"{self.path}: a column is called {name!r}, and a folder of the file {name}={value}; rename one of them"
            for name, value in self.of_folders.items()
            if name in there
        ]
        if mistakes:
            raise DataError("\n".join(mistakes))
        return names

    def _missing(self, name: str, there: Collection[str]) -> str:
        has = ", ".join(map(repr, there)) or "none"
        if name == "id" and self.key_of:
            cure = f'name the one that holds the ids in [data], as in keys = {{{self.key_of} = "{next(iter(there), "sku")}"}}'
            return f"{self.path}: no column 'id'; it has {has}; {cure}"
        return f"{self.path}: no column {name!r}; it has {has}; {nearest(name, there).partition(' (')[0]}"


def _part(wanted: _Wanted, reading: Reading) -> pa.Table:
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


def _read_csv(wanted: _Wanted, reading: Reading) -> pa.Table:
    path = wanted.path
    first = _first_line(path, reading)
    separator = reading.separator or max(_SEPARATORS, key=first.count)
    read = csv.ReadOptions(encoding=reading.encoding)
    ragged = _Ragged()
    parse = csv.ParseOptions(delimiter=separator, newlines_in_values=True, invalid_row_handler=ragged)
    names = wanted.among(csv.open_csv(path, read, parse).schema.names)
    convert = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), include_columns=names)
    try:
        table = csv.read_csv(path, read, parse, convert)
    except pa.ArrowInvalid as error:
        if "UTF8" in str(error):
            raise DataError(_other_encoding(path, "cp1252")) from error
        raise
    if ragged.rows:
        raise DataError(ragged.message(path, read, parse))
    if not len(table):
        raise DataError(f"{path}: there is a header, and no row after it")
    return table


def _first_line(path: Path, reading: Reading) -> str:
    """The header as text, without a byte order mark."""
    with _opened(path) as file:
        start = file.read(1 << 16)
    if not start.strip():
        raise DataError(f"{path}: the file is empty; expected a header and rows")
    if reading.encoding.lower().startswith("utf-8") and start.startswith(_UTF_16):
        raise DataError(_other_encoding(path, "utf-16"))
    text: str = start.decode(reading.encoding, errors="replace")
    return text.lstrip("\ufeff").partition("\n")[0]


def _other_encoding(path: Path, encoding: str) -> str:
    return f'{path}: its text is not in UTF-8; say how it is encoded in [data], as in encoding = "{encoding}"'


class _Ragged:
    """Receives the rows that have another number of fields than the header."""

    def __init__(self) -> None:
        self.rows: list[csv.InvalidRow] = []

    def __call__(self, row: csv.InvalidRow) -> str:
        self.rows.append(row)
        return "skip"

    def message(self, path: Path, read: csv.ReadOptions, parse: csv.ParseOptions) -> str:
        """Names their lines; these are counted in one thread alone, so the file is read again."""
        self.rows.clear()
        read.use_threads = False
        csv.read_csv(path, read, parse)
        shown = ", ".join(f"line {row.number:,} has {row.actual_columns}" for row in self.rows[:_SHOWN])
        more = f", and {len(self.rows) - _SHOWN:,} more lines" if len(self.rows) > _SHOWN else ""
        return (
            f"{path}: expected {self.rows[0].expected_columns} fields between {parse.delimiter!r} as in the header, but "
            f"{shown}{more}; quote fields that hold the separator, or set `separator` in [data]"
        )


def _read_json_lines(wanted: _Wanted, reading: Reading) -> pa.Table:
    """Objects one below the other; a key that a line does not have is null there."""
    values: dict[str, list[object]] = {name: [] for name in wanted.columns}
    there: dict[str, None] = {}
    for number, row in _objects(wanted.path, reading):
        if not isinstance(row, dict):
            raise DataError(f"{wanted.path}: line {number:,}: expected an object such as {{...}}, got {str(row)[:40]}")
        there |= dict.fromkeys(row)
        for name, column in values.items():
            column.append(row.get(name))
    names = wanted.among(there)
    return pa.table({name: _typed(wanted.path, name, values[name]) for name in names})


def _objects(path: Path, reading: Reading) -> Iterator[tuple[int, object]]:
    with _opened(path) as file:
        encoding = "utf-8-sig" if reading.encoding.lower() == "utf-8" else reading.encoding
        for number, line in enumerate(io.TextIOWrapper(file, encoding=encoding), 1):
            if line.strip():
                try:
                    yield number, json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise DataError(f"{path}: line {number:,} is no JSON: {error}") from error


def _typed(path: Path, name: str, values: list[object]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        kinds = {type(value) for value in values if value is not None}
        if kinds <= {int, float}:
            return pa.array([None if value is None else str(value) for value in values])
        kind = " and ".join(
            sorted({"text": "str", "str": "text", "bool": "true or false"}.get(k.__name__, k.__name__) for k in kinds)
        )
        raise DataError(f"{path}: key {name!r}: values of several types: {kind}; write them in one") from None


def _read_parquet(wanted: _Wanted, _: Reading) -> pa.Table:
    names = wanted.among(parquet.read_schema(wanted.path).names)
    return parquet.ParquetFile(wanted.path).read(columns=names).select(names)


def _read_arrow(wanted: _Wanted, _: Reading) -> pa.Table:
    with pa.memory_map(str(wanted.path)) as file:
        try:
            table = pa.ipc.open_file(file).read_all()
        except pa.ArrowInvalid:
            file.seek(0)
            table = pa.ipc.open_stream(file).read_all()
    return table.select(wanted.among(table.column_names))


def _opened(path: Path) -> pa.NativeFile:
    """A file's bytes, decompressed."""
    return pa.input_stream(str(path), compression="detect")


_READERS: dict[str, Callable[[_Wanted, Reading], pa.Table]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".txt": _read_csv,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".json": _read_json_lines,
    ".parquet": _read_parquet,
    ".pq": _read_parquet,
    ".arrow": _read_arrow,
    ".feather": _read_arrow,
    ".ipc": _read_arrow,
}
_BINARY = (_read_parquet, _read_arrow)


def _reader(path: Path) -> Callable[[_Wanted, Reading], pa.Table] | None:
    """How a file is read, by the end of its name."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSED:
        reader = _READERS.get(suffixes[-2]) if len(suffixes) > 1 else None
        return None if reader in _BINARY else reader
    return _READERS.get(suffixes[-1]) if suffixes else None


def _endings() -> str:
    *most, last = _READERS
    return f"{', '.join(most)} or {last}"
