"""Data sources that read the files of a published data set from a directory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from mtkit.errors import DataError
from mtkit.files import data_directory
from mtkit.spec import DataSource, PublishedData

if TYPE_CHECKING:
    import pyarrow as pa


class Published(DataSource):
    """A data set whose files have to be fetched from its publisher."""

    #: Where the files come from, and under which license.
    published: ClassVar[PublishedData]

    directory: Path | None = Field(
        None,
        description="directory of the files; default: the folder named above in that of the variable MTKIT_DATA, or where "
        "`mtkit data get` puts it",
    )
    check_counts: bool = Field(True, description="whether files must have as many rows as were published")

    @property
    def folder(self) -> str:
        """The folder that is read by default, in the directory of all data."""
        return self.published.folder

    @property
    def address(self) -> str:
        """Where the files come from."""
        return self.published.page

    def file(self, name: str) -> Path:
        """The path of a file.

        Raises:
            DataError: it does not exist.
        """
        path = (self.directory or data_directory() / self.folder) / name
        if not path.is_file():
            raise DataError(
                f"{path}: no such file; {self._fetched}from {self.address} by hand, and say where it is by `directory` or the "
                f"variable MTKIT_DATA; or make up data of this kind: mtkit data make {self.published.like}"
            )
        return path

    @property
    def _fetched(self) -> str:
        """How the files are had by a command, if they are."""
        return f"mtkit data get {self.published.name} fetches it; or get it " if self.published.fetched else "get it "

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
