"""Data sources that read the files of a published data set from a directory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from mtkit.errors import DataError
from mtkit.spec import DataSource

if TYPE_CHECKING:
    import pyarrow as pa


class Published(DataSource):
    """A data set whose files have to be fetched from its publisher."""

    #: Where the files come from.
    address: ClassVar[str]

    directory: Path | None = Field(
        None, description="directory of the files; default: the folder named above in that of the variable MTKIT_DATA"
    )
    check_counts: bool = Field(True, description="whether files must have as many rows as were published")

    @property
    def folder(self) -> str:
        """The folder of MTKIT_DATA that is read by default."""
        raise NotImplementedError

    def file(self, name: str) -> Path:
        """The path of a file.

        Raises:
            DataError: it does not exist, or neither `directory` nor MTKIT_DATA is set.
        """
        root = os.environ.get("MTKIT_DATA")
        if self.directory is None and not root:
            raise DataError(
                f"where is {name}? set `directory`, or the environment variable MTKIT_DATA to a directory with a "
                f"folder {self.folder}; the files are at {self.address}"
            )
        path = (self.directory or Path(root or "") / self.folder) / name
        if not path.is_file():
            raise DataError(f"{path}: no such file; get it from {self.address}, or set `directory`")
        return path

    def check(self, found: Mapping[str, int], published: Mapping[str, int]) -> None:
        """Compares numbers of rows with the published ones, unless `check_counts` is off.

        Raises:
            DataError: they differ.
        """
        if self.check_counts and found != published:
            raise DataError(
                f"{self.folder}: expected {_listed(published)}, got {_listed(found)}; get the files anew from "
                f"{self.address}, or set `check_counts = false` for another version"
            )


def renamed(table: pa.Table, columns: Mapping[str, str], path: Path) -> pa.Table:
    """The columns of a file's table that are asked for, by their new names.

    Raises:
        DataError: one is missing.
    """
    if missing := [column for column in columns if column not in table.column_names]:
        raise DataError(f"{path}: no column {missing[0]!r}; it has {', '.join(table.column_names)}")
    return table.select(list(columns)).rename_columns(list(columns.values()))


def numbers(column: Iterable[str], kind: pa.DataType, path: Path) -> pa.Array:
    """Numbers of one type from what a file says.

    Raises:
        DataError: something is no number of this type.
    """
    import pyarrow as pa

    try:
        return pa.array(column, pa.string()).cast(kind)
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: expected numbers of type {kind}: {error}") from error


def separated(path: Path, separator: str, columns: int, skip: int = 0) -> list[tuple[str, ...]]:
    """The columns of a UTF-8 file of separated fields, without its first `skip` lines and empty ones.

    Raises:
        DataError: a line has another number of fields, or there is none.
    """
    rows = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            fields = line.rstrip("\n").split(separator)
            if number <= skip or fields == [""]:
                continue
            if len(fields) != columns:
                raise DataError(f"{path}:{number}: expected {columns} fields between {separator!r}, got {len(fields)}")
            rows.append(fields)
    if not rows:
        raise DataError(f"{path}: expected lines of {columns} fields, got none")
    return list(zip(*rows, strict=True))


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in counts.items())
