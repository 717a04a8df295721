"""Tables of text: CSV, and JSON lines, compressed or not."""

from __future__ import annotations

import codecs
import contextlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from mtkit.data.file_parts import Wanted
from mtkit.errors import DataError

_SEPARATORS = (",", ";", "\t", "|")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SHOWN, _SHOWN_FIELD = 5, 40
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
        separator: what stands between the fields of a CSV file; empty = told from its header.
        encoding: of text files, by Python's name.
        escape: what stands before a quote within a quoted field of a CSV file, if quotes are not doubled there.
    """

    separator: str = ""
    encoding: str = "utf-8"
    escape: str = ""


def read_csv(wanted: Wanted, reading: Reading) -> pa.Table:
    """The wanted columns of a CSV file as strings, as they stand there.

    Raises:
        DataError: it is no such file, rows are ragged, or a quote is not closed.
    """
    path = wanted.path
    first = _first_line(path, reading)
    separator = reading.separator or max(_SEPARATORS, key=first.count)
    read = csv.ReadOptions(encoding=reading.encoding)
    ragged = _Ragged()
    parse = csv.ParseOptions(
        delimiter=separator, newlines_in_values=True, invalid_row_handler=ragged, escape_char=reading.escape or False
    )
    with _explained(path):
        there = csv.open_csv(path, read, parse).schema.names
        names = wanted.among(there)
        convert = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), include_columns=names)
        table = csv.read_csv(path, read, parse, convert)
    if ragged.rows:
        raise DataError(ragged.message(path, read, parse))
    if not len(table):
        raise DataError(f"{path}: there is a header, and no row after it")
    if there.count(there[-1]) == 1:
        _refuse_open_quote(path, read, parse, there[-1])
    return table.select(names)


def names_of_csv(path: Path, reading: Reading) -> list[str]:
    """The columns of a CSV file, as its header has them.

    Raises:
        DataError: it is no such file.
    """
    separator = reading.separator or max(_SEPARATORS, key=_first_line(path, reading).count)
    read, parse = (
        csv.ReadOptions(encoding=reading.encoding),
        csv.ParseOptions(delimiter=separator, newlines_in_values=True),
    )
    with _explained(path):
        names: list[str] = csv.open_csv(path, read, parse).schema.names
    return names


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


def _first_line(path: Path, reading: Reading) -> str:
    """The header as text, without a byte order mark."""
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
    first = text.lstrip("\ufeff").partition("\n")[0]
    if first.startswith("sep="):
        raise DataError(
            f"{path}: its first line is {first.strip()!r}, a hint to spreadsheets; remove it, for the header comes first"
        )
    return first


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


def names_of_json_lines(path: Path, reading: Reading) -> dict[str, None]:
    """The keys that objects one below the other have.

    Raises:
        DataError: lines are no JSON.
    """
    return {name: None for _, row in _objects(path, reading) if isinstance(row, dict) for name in row}


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
