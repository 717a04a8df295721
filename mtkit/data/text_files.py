"""Tables of text: CSV, and JSON lines, compressed or not."""

from __future__ import annotations

import codecs
import contextlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from mtkit.data.file_parts import Wanted
from mtkit.errors import DataError

_SEPARATORS = (",", ";", "\t", "|")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
#: In the place of a separator of several characters, which pyarrow does not read: the unit separator of ASCII.
_ONE = "\x1f"
_SHOWN, _SHOWN_FIELD = 5, 40
#: Objects of a JSON file whose keys are looked at.
_FIRST_OBJECTS = 1_000
#: How files begin that are no text, whatever their name: with what they are.
_NO_TEXT = {
    b"PK\x03\x04": "a spreadsheet or another archive (zip)",
    b"\xd0\xcf\x11\xe0": "a spreadsheet (xls)",
    b"\x1f\x8b": "compressed by gzip",
    b"PAR1": "Parquet",
    b"ARROW1": "Arrow",
}


@dataclass(frozen=True)
class Reading:
    """How text files are read.

    Attributes:
        separator: what stands between the fields of a CSV file; empty = told from its header. Files with a separator of
            several characters have no quotes.
        encoding: of text files, by Python's name.
        escape: what stands before a quote within a quoted field of a CSV file, if quotes are not doubled there.
        names: names of the columns of a CSV file without a header, in their order.
    """

    separator: str = ""
    encoding: str = "utf-8"
    escape: str = ""
    names: tuple[str, ...] = ()


def read_csv(wanted: Wanted, reading: Reading) -> pa.Table:
    """The wanted columns of a CSV file as strings, as they stand there.

    Raises:
        DataError: it is no such file, rows are ragged, or a quote is not closed.
    """
    path = wanted.path
    text = _Text.of(path, reading)
    read, parse = text.read, text.parse
    with _explained(path):
        there = csv.open_csv(text.source, read, parse).schema.names
        names = wanted.among(there)
        convert = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), include_columns=names)
        table = csv.read_csv(text.source, read, parse, convert)
    if text.ragged.rows:
        raise DataError(text.ragged.message(text))
    if not len(table):
        raise DataError(f"{path}: there is a header, and no row after it")
    if parse.quote_char and there.count(there[-1]) == 1:
        _refuse_open_quote(path, read, parse, there[-1])
    return table.select(names)


def names_of_csv(path: Path, reading: Reading) -> list[str]:
    """The columns of a CSV file, as its header or `reading` has them.

    Raises:
        DataError: it is no such file.
    """
    text = _Text.of(path, reading)
    with _explained(path):
        names: list[str] = csv.open_csv(text.source, text.read, text.parse).schema.names
    return names


def csv_batches(path: Path, reading: Reading) -> Iterator[pa.RecordBatch]:
    """All columns of a CSV file as strings, some rows at a time.

    Raises:
        DataError: it is no such file, or rows are ragged.
    """
    text = _Text.of(path, reading)
    with _explained(path):
        names = csv.open_csv(text.source, text.read, text.parse).schema.names
        text.ragged.rows.clear()
        convert = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
        yield from csv.open_csv(text.source, text.read, text.parse, convert)
    if text.ragged.rows:
        raise DataError(text.ragged.message(text))


@dataclass(frozen=True)
class _Text:
    """A CSV file, and how pyarrow reads it.

    Attributes:
        path: the file.
        separator: what is between its fields.
        content: all of it, with one character for a separator of several; None = it is read from the file.
        read: options of pyarrow.
        parse: options of pyarrow.
        ragged: what rows are ragged, once it was read.
        header: whether its first line names the columns.
    """

    path: Path
    separator: str
    content: bytes | None
    read: csv.ReadOptions
    parse: csv.ParseOptions
    ragged: _Ragged
    header: bool

    @classmethod
    def of(cls, path: Path, reading: Reading) -> _Text:
        first = _first_line(path, reading)
        separator = reading.separator or max(_SEPARATORS, key=first.count)
        several = len(separator) > 1
        ragged = _Ragged()
        read = csv.ReadOptions(encoding="utf-8" if several else reading.encoding, column_names=reading.names or None)
        parse = csv.ParseOptions(
            delimiter=_ONE if several else separator,
            quote_char=False if several else '"',
            newlines_in_values=not several,
            invalid_row_handler=ragged,
            escape_char=reading.escape or False,
        )
        content = _with_one(path, separator, reading.encoding) if several else None
        return cls(path, separator, content, read, parse, ragged, not reading.names)

    @property
    def source(self) -> Path | pa.BufferReader:
        """Where pyarrow reads it."""
        return self.path if self.content is None else pa.BufferReader(self.content)


def _with_one(path: Path, separator: str, encoding: str) -> bytes:
    """A file's text in UTF-8, with one character in the place of a separator of several."""
    with _opened(path) as file:
        try:
            text: str = file.read().decode(encoding)
        except UnicodeDecodeError as error:
            raise DataError(_other_encoding(path, "cp1252")) from error
    return text.replace(separator, _ONE).encode()


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Says what to do about the errors that a CSV file meets most."""
    try:
        yield
    except pa.ArrowInvalid as error:
        if "UTF8" in str(error):
            raise DataError(_other_encoding(path, "cp1252")) from error
        if "straddling" in str(error):
            raise DataError(f"{path}: a field is longer than 1 MB; is a quote before it not closed?") from error
        raise


def _refuse_open_quote(path: Path, read: csv.ReadOptions, parse: csv.ParseOptions, last: str) -> None:
    """Refuses a quote in the last column that is never closed: all lines after it would be in one field.

    In other columns it makes a row of too few fields.
    """
    value = b""  # a column that is not declared may be in any encoding
    convert = csv.ConvertOptions(column_types={last: pa.binary()}, include_columns=[last])
    with csv.open_csv(path, read, parse, convert) as batches:
        for batch in batches:
            if len(batch):
                value = batch.column(0)[-1].as_py()
    if b"\n" in value or b"\r" in value:
        with _opened(path) as file:
            end = _tail(file).rstrip(b"\r\n\0")  # of UTF-16, too
        if not end.endswith(b'"'):
            start, *lines = value.decode(errors="replace").splitlines()
            raise DataError(
                f"{path}, column {last!r}: the quote before {start[:_SHOWN_FIELD]!r} is never closed, so that {len(lines):,} "
                'lines after it are in its field; close it, or write quotes within quoted fields twice ("")'
            )


def _tail(file: pa.NativeFile) -> bytes:
    """The last bytes of a file that may be compressed."""
    end = b""
    while block := file.read(1 << 20):
        end = (end + block)[-64:]
    return end


def first_lines(path: Path, reading: Reading) -> list[str]:
    """The lines at the beginning of a CSV file that are there whole, without a byte order mark.

    Raises:
        DataError: it is no text, or empty.
    """
    lines = _start(path, reading).splitlines()
    return lines[:-1] if len(lines) > 1 else lines


def separator_of(lines: Sequence[str]) -> str:
    """What stands between the fields of some lines: as `read_csv` tells it, or `::`, or one blank where nothing else does."""
    first = lines[0]
    best = max((*_SEPARATORS, "::"), key=first.count)
    if first.count(best):
        return best
    even = len({line.count(" ") for line in lines}) == 1
    return " " if even and " " in first else ","


def json_keys(path: Path, reading: Reading) -> list[str]:
    """The keys of the first objects of a file, in the order of their first occurrence.

    Raises:
        DataError: lines are no objects.
    """
    keys: dict[str, None] = {}
    for number, row in islice(_objects(path, reading), _FIRST_OBJECTS):
        if not isinstance(row, dict):
            raise DataError(f"{path}: line {number:,}: expected an object such as {{...}}, got {str(row)[:40]}")
        keys |= dict.fromkeys(row)
    return list(keys)


def _first_line(path: Path, reading: Reading) -> str:
    """The header as text, without a byte order mark."""
    first = _start(path, reading).partition("\n")[0]
    if first.startswith("sep="):
        raise DataError(
            f"{path}: its first line is {first.strip()!r}, a hint to spreadsheets; remove it, for the header comes first"
        )
    return first


def _start(path: Path, reading: Reading) -> str:
    """How a file begins, as text, without a byte order mark."""
    with _opened(path) as file:
        start = file.read(1 << 16)
    if not start.strip():
        raise DataError(f"{path}: the file is empty; expected a header and rows")
    if what := next((what for magic, what in _NO_TEXT.items() if start.startswith(magic)), ""):
        raise DataError(
            f"{path}: is no text, but {what}; name it so that its end says what it is, or save it as CSV or Parquet"
        )
    if reading.encoding.lower().startswith("utf-8") and start.startswith(_UTF_16):
        raise DataError(_other_encoding(path, "utf-16"))
    text: str = start.decode(reading.encoding, errors="replace")
    return text.lstrip("\ufeff")


def _other_encoding(path: Path, encoding: str) -> str:
    return f'{path}: its text is not in UTF-8; say how it is encoded in [data], as in encoding = "{encoding}"'


class _Ragged:
    """Receives the rows that have another number of fields than the header."""

    def __init__(self) -> None:
        self.rows: list[csv.InvalidRow] = []

    def __call__(self, row: csv.InvalidRow) -> str:
        self.rows.append(row)
        return "skip"

    def message(self, text: _Text) -> str:
        """Names their lines; these are counted in one thread alone, so the file is read again."""
        self.rows.clear()
        text.read.use_threads = False
        csv.read_csv(text.source, text.read, text.parse)
        shown = ", ".join(f"line {row.number:,} has {row.actual_columns}" for row in self.rows[:_SHOWN])
        more = f", and {len(self.rows) - _SHOWN:,} more lines" if len(self.rows) > _SHOWN else ""
        return (
            f"{text.path}: expected {self.rows[0].expected_columns} fields between {text.separator!r} as in the "
            f"{'header' if text.header else 'names that are given'}, but "
            f"{shown}{more}; quote fields that hold the separator, or set `separator` or `escape` in [data]"
        )


def read_json_lines(wanted: Wanted, reading: Reading) -> pa.Table:
    """The wanted keys of objects one below the other; a key that a line does not have is null there.

    Raises:
        DataError: lines are no objects, or a key has values of several types.
    """
    values: dict[str, list[object]] = {name: [] for name in wanted.columns}
    there: dict[str, None] = {}
    for number, row in _objects(wanted.path, reading):
        if not isinstance(row, dict):
            raise DataError(
                f"{wanted.path}: line {number:,}: expected an object such as {{...}}, got {str(row)[:40]}; write objects one "
                "below the other, a line each"
            )
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
                    raise DataError(
                        f"{path}: line {number:,} is no JSON: {error}; expected an object such as {{...}} on each line"
                    ) from error


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


def _opened(path: Path) -> pa.NativeFile:
    """A file's bytes, decompressed."""
    return pa.input_stream(str(path), compression="detect")
