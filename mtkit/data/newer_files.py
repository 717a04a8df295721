"""Folders with newer rows of the tables of files: rows that are added, and rows of entities that take the place of older ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from mtkit.data.columns import codes
from mtkit.data.file_parts import files_of, is_pattern, root_of
from mtkit.data.table_files import is_table
from mtkit.errors import DataError
from mtkit.schema import INTERACTIONS
from mtkit.shown import counted

#: Share of the newer interactions that may be among the older ones, too: of a day that is divided between files.
MOST_AGAIN = 0.5


def newer_paths(folder: Path, paths: Mapping[str, Path]) -> dict[str, Path]:
    """Table -> where a folder has newer rows of it: what is called there as the older files are.

    Args:
        folder: the folder.
        paths: table -> file, folder or pattern of the older rows.

    Raises:
        DataError: the folder has no table.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: expected a folder with newer files; there is none")
    wanted = {table: folder / _called(path) for table, path in paths.items()}
    found = {table: path for table, path in wanted.items() if _there(path)}
    if not found:
        names = ", ".join(str(path.relative_to(folder)) for path in wanted.values())
        raise DataError(f"{folder}: has no newer file; they are called there as the older ones are: {names}")
    return found


def _called(path: Path) -> Path:
    """What follows the folder of a file; of a pattern, all of it."""
    return path.relative_to(root_of(path)) if is_pattern(str(path)) and not path.exists() else Path(path.name)


def _there(path: Path) -> bool:
    try:
        return bool(files_of(path, is_table))
    except DataError:
        return False


def with_newer(older: pa.Table, newer: pa.Table, table: str, key: Sequence[str], path: Path) -> pa.Table:
    """A table with newer rows behind the older ones; of entities, a newer row takes the place of that of the same id.

    Args:
        older: the rows that are there.
        newer: those of a later file, of the same columns.
        table: `interactions`, or an entity.
        key: of an entity the column of the ids; of interactions those by which it shows that they are there already.
        path: of the newer rows.

    Raises:
        DataError: columns are of other types, or most of the newer interactions are among the older ones.
    """
    try:
        joined = pa.concat_tables([older, newer], promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"{path}: has columns of other types than the older files: {error}") from error
    places = np.stack([codes(joined[name]) for name in key]) if key else np.zeros((0, len(joined)), int)
    _, first, number = np.unique(places, axis=1, return_index=True, return_inverse=True)
    again = first[number.ravel()[len(older) :]] < len(older)
    if table != INTERACTIONS:
        replaced = np.isin(number.ravel()[: len(older)], number.ravel()[len(older) :])
        return joined.filter(pa.array(np.append(~replaced, np.ones(len(newer), bool))))
    if key and again.mean() > MOST_AGAIN:
        raise DataError(
            f"{path}: {counted(int(again.sum()), 'row')} of {len(newer):,} are in the older files, too, and would count twice; "
            "newer files have the newer rows alone. Where they have all rows, name them by data.interactions instead"
        )
    return joined
