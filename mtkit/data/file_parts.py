"""The files of a table: which ones a path means, and which columns are read from each, and from the names of its folders."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa
from pyarrow import dataset

from mtkit.errors import DataError, nearest

#: Columns of a file that a message names, and characters of a name.
_SHOWN, _LONG = 50, 80


def files_of(path: Path, known: Callable[[Path], object]) -> list[Path]:
    """The files that a path means: itself, those in a folder, or those of a pattern; in the order of their names.

    Args:
        path: the file, folder or pattern.
        known: whether a file in a folder is one to be read, by its name.

    Raises:
        DataError: there is none.
    """
    if path.is_file():
        return [path]
    if path.is_dir():
        return _within(path, known)
    pattern, root = is_pattern(str(path)), root_of(path)
    matching = sorted(root.glob(str(path.relative_to(root)))) if pattern else []
    if matching:
        return [file for found in matching for file in (_within(found, known) if found.is_dir() else [found])]
    what = "no file has a name like this" if pattern else "there is no such file"
    raise DataError(f"{path}: {what}")


def _within(folder: Path, known: Callable[[Path], object]) -> list[Path]:
    """The files of a known kind in a folder and in those below it, in the order of their names."""
    return sorted(file for file in folder.rglob("*") if known(file) and not _hidden(file.relative_to(folder)))


def _hidden(path: Path) -> bool:
    """Whether a file is no data, by its name or that of a folder; but `_day=2024-05-01` names a column."""
    return any(part.startswith(".") or (part.startswith("_") and "=" not in part) for part in path.parts)


def is_pattern(text: str) -> bool:
    """Whether a path names files by a pattern."""
    return any(character in text for character in "*?[")


def root_of(path: Path) -> Path:
    """The folder below which the names of folders may hold columns: a folder itself, or what stands before a pattern."""
    if path.exists():
        return path if path.is_dir() else path.parent
    for above in reversed(path.parents):
        part = path.relative_to(above).parts[0]
        if is_pattern(part) and not (above / part).exists():
            return above
    return path.parent


@dataclass(frozen=True)
class Wanted:
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
        missing = [name for name in names if name not in there]
        mistakes = [self._missing(name, there) for name in missing]
        if len(missing) > 1 and missing == names and not self.key_of and "did you mean" not in "".join(mistakes):
            mistakes = [self._without_header(there)]
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
        if name == "id" and self.key_of:
            cure = f'; name the one that holds the ids in [data], as in keys = {{{self.key_of} = "{next(iter(there), "sku")}"}}'
        else:
            near = nearest(name, there).partition(" (")[0]
            cure = f"; {near}" if near.startswith("did you mean") else ""
        return f"{self.path}: no column {name!r}; it has {_listed(there)}{cure}"

    def _without_header(self, there: Collection[str]) -> str:
        return (
            f"{self.path}: none of the columns {_listed(self.columns)} is there; it has {_listed(there)}; the first line "
            "of a text file has to name its columns, with `separator` of [data] between them"
        )


def _listed(names: Collection[str]) -> str:
    """Names of columns; those of a line that is no header may be many, and long."""
    some = [repr(name if len(name) <= _LONG else f"{name[:_LONG]}…") for name in [*names][:_SHOWN]]
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return (", ".join(some) or "none") + more
