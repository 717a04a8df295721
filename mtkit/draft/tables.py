"""Files as tables to look at: names of columns, the number of rows, and a sample of these, in bounded memory."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from mtkit.data.file_parts import files_of
from mtkit.data.table_files import column_names, is_parquet, is_table, is_text, read_table
from mtkit.data.text_files import Reading, csv_batches, first_lines, separator_of
from mtkit.errors import DataError

#: The fewest rows of a sample, if the table has as many; it has less than twice as many.
SAMPLE = 20_000
#: Rows of a batch of Parquet files, and row groups of large ones that are looked at, evenly spread.
_BATCH, _GROUPS = 65_536, 8
_LINES = 20
#: Headers of atomic files: `user_id:token`.
_ATOMIC = re.compile(r"(.+):(token|float|token_seq|float_seq)")
_NUMBER = re.compile(r"\s*[+-]?\d+([.,]\d+)?\s*")


@dataclass(frozen=True, eq=False)
class Table:
    """One table of the user.

    Attributes:
        path: file, as it was given or found.
        rows: number of rows.
        sample: rows, evenly spread; columns by plain names.
        headers: plain name -> name in the file, where it is another.
        hints: plain name -> what the header of an atomic file says of it (`token`, `float`, `token_seq`, `float_seq`).
        reading: how it is read, if it is text.
    """

    path: Path
    rows: int
    sample: pa.Table
    headers: Mapping[str, str] = field(default_factory=dict)
    hints: Mapping[str, str] = field(default_factory=dict)
    reading: Reading = field(default_factory=Reading)

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.path.name

    @property
    def columns(self) -> list[str]:
        """Plain names of its columns."""
        return list(self.sample.column_names)

    @property
    def without_header(self) -> bool:
        """Whether its columns have no names but those given here."""
        return bool(self.reading.names)

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Some columns of all rows, by plain names."""
        called = [self.headers.get(name, name) for name in columns]
        return read_table(self.path, called, self.reading).rename_columns(list(columns))


@dataclass(frozen=True)
class Found:
    """The tables of the user, and files of folders that are none.

    Attributes:
        tables: the tables.
        passed_over: file -> why it is no table.
    """

    tables: tuple[Table, ...]
    passed_over: Mapping[str, str]


def find_tables(
    paths: Iterable[Path],
    encoding: str = "utf-8",
    separator: str = "",
    names: Mapping[str, Sequence[str]] | None = None,
) -> Found:
    """The tables of files and folders.

    Args:
        paths: files, and folders whose files are tables each.
        encoding: of text files.
        separator: between the fields of text files; empty = told from each.
        names: name of a file without a header -> its columns, in their order.

    Raises:
        DataError: a file that was given cannot be read, or there is no table.
    """
    names, tables, passed_over = dict(names or {}), [], {}
    for path in paths:
        for file in _files(path):
            try:
                tables.append(_table(file, encoding, separator, names.pop(file.name, ())))
            except DataError as error:
                if path == file:
                    raise
                passed_over[file.name] = str(error).splitlines()[0]
    if names:
        raise DataError(f"--names {next(iter(names))}: no such file was found; found {_listed(t.name for t in tables)}")
    if not tables:
        reasons = "".join(f"\n  {reason}" for reason in passed_over.values())
        raise DataError(
            f"no table was found; give CSV, TSV, JSON lines, Parquet or Arrow files, or a folder of them{reasons}"
        )
    return Found(tuple(tables), passed_over)


def _files(path: Path) -> list[Path]:
    """A file itself, or the files of a folder that are tables by their names."""
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.is_file() and file.name[0] not in "._" and is_table(file))
    return files_of(path, is_table)


def _table(path: Path, encoding: str, separator: str, names: Sequence[str]) -> Table:
    reading = _reading(path, encoding, separator, names) if is_text(path) else Reading(encoding=encoding)
    try:
        rows, sample = _thinned(_batches(path, reading))
        if is_parquet(path):
            rows = parquet.read_metadata(path).num_rows
    except (OSError, pa.ArrowException, UnicodeError, EOFError) as error:
        raise DataError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from error
    if not rows:
        raise DataError(f"{path}: the file has no rows")
    return _named(path, rows, sample, reading)


def _batches(path: Path, reading: Reading) -> Iterator[pa.Table]:
    if is_text(path):
        yield from (pa.Table.from_batches([batch]) for batch in csv_batches(path, reading))
    elif is_parquet(path):
        file = parquet.ParquetFile(path)
        groups = sorted({number * file.num_row_groups // _GROUPS for number in range(_GROUPS)})
        yield from (pa.Table.from_batches([batch]) for batch in file.iter_batches(_BATCH, row_groups=groups))
    else:
        yield read_table(path, column_names(path, reading), reading)


def _thinned(batches: Iterable[pa.Table]) -> tuple[int, pa.Table]:
    """The number of rows, and every n-th row, such that these are `SAMPLE` to twice as many, or all."""
    rows, step, kept = 0, 1, []
    held = 0
    for batch in batches:
        chosen = batch.take(np.arange(-rows % step, len(batch), step)) if step > 1 else batch
        kept.append(chosen)
        rows, held = rows + len(batch), held + len(chosen)
        while held >= 2 * SAMPLE:
            together = pa.concat_tables(kept)
            kept = [together.take(np.arange(0, len(together), 2))]
            step, held = 2 * step, len(kept[0])
    return rows, pa.concat_tables(kept) if kept else pa.table({})


def _reading(path: Path, encoding: str, separator: str, names: Sequence[str]) -> Reading:
    """How a text file is read: its separator, and names for columns of a file without a header."""
    lines = first_lines(path, Reading(encoding=encoding))[:_LINES]
    between = separator or separator_of(lines)
    fields = [part.strip('" ') for part in lines[0].split(between)]
    stated = "" if separator == "" and between in (",", ";", "\t", "|") and not names else between
    if names or any(map(_NUMBER.fullmatch, fields)):
        return Reading(stated or between, encoding, names=tuple(names) or _names(lines, between))
    return Reading(stated, encoding)


def _names(lines: Sequence[str], separator: str) -> tuple[str, ...]:
    """Names for the columns of a file without a header: those of a log of ratings, if it looks like one."""
    rows = [line.split(separator) for line in lines]
    numbers = all(_NUMBER.fullmatch(value) for row in rows for value in row)
    if numbers and len(rows[0]) in (2, 3, 4):
        return ("user", "item", "rating", "time")[: len(rows[0])]
    return tuple(f"column_{number}" for number in range(1, len(rows[0]) + 1))


def _named(path: Path, rows: int, sample: pa.Table, reading: Reading) -> Table:
    """The table with plain names: letters, digits and underscores, as addresses of recipes have them."""
    headers: dict[str, str] = {}
    hints, taken = {}, []
    for number, header in enumerate(sample.column_names):
        if not header.strip():
            continue
        atomic = _ATOMIC.fullmatch(header)
        plain = re.sub(r"[^A-Za-z0-9_]+", "_", atomic[1] if atomic else header).strip("_") or f"column_{number + 1}"
        if plain in headers:
            plain = f"{plain}_{number + 1}"
        headers[plain] = header
        taken.append(number)
        if atomic:
            hints[plain] = atomic[2]
    sample = sample.select(taken).rename_columns(list(headers))
    return Table(path, rows, sample, {k: v for k, v in headers.items() if k != v}, hints, reading)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
