"""Values of tables that change, and columns that come from elsewhere: what `mtkit.standard.column_cleaners` does."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtkit.conditions import Scalar, as_text
from mtkit.data.cleaning import cleaned
from mtkit.data.column_values import UnfitError, identifiers
from mtkit.data.columns import codes
from mtkit.data.id_types import matched
from mtkit.data.table_files import read_table
from mtkit.data.text_files import Reading
from mtkit.errors import DataError
from mtkit.schema import INTERACTIONS, Column, Schema
from mtkit.shown import counted
from mtkit.types import Dataset, Origin

Tables = Mapping[str, pa.Table]

#: What is done to ids, by name.
STEPS: Mapping[str, Callable[[str], str]] = {
    "strip": str.strip,
    "nfkc": lambda text: unicodedata.normalize("NFKC", text),
    "casefold": str.casefold,
}


def set_column(table: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    """The table with other values of a column, or with one more column."""
    at = table.column_names.index(name) if name in table.column_names else len(table.column_names)
    return table.set_column(at, name, values) if at < len(table.column_names) else table.append_column(name, values)


def read_side(
    path: Path, key: str, columns: Mapping[str, Column], reading: Reading
) -> tuple[pa.Table, tuple[str, ...]]:
    """The declared columns of a file as mtkit reads them, with its key as `id`, which no two rows share; and notes.

    Raises:
        DataError: the file cannot be read, or does not have such columns or keys.
    """
    wanted = [key, *(name for name in columns if name != key)]
    table = read_table(path, wanted, reading)
    keyed = table.select(list(columns)).append_column("id", table[key])
    schema = Schema(interactions={}, entities={"side": columns})
    read = cleaned(Dataset(pa.table({}), {"side": keyed}, schema, {"side": Origin(path.name, key)}))
    return read.entities["side"], read.notes


def looked_up(
    keys: pa.ChunkedArray, table: pa.Table, columns: Mapping[str, str]
) -> tuple[dict[str, pa.ChunkedArray], int]:
    """Columns of a table with unique `id` for keys, null where it has none; and how many rows these are.

    Args:
        keys: ids, or categories, `[rows]`.
        table: has the columns.
        columns: name -> what it is called in the table.

    Raises:
        DataError: an id is in several rows, or text such as `07` is to be found among integers.
    """
    try:
        both = matched({"the key": table["id"], "the table": identifiers(keys)})
    except UnfitError as error:
        raise DataError(str(error)) from error
    known = both["the key"].combine_chunks()
    if (repeated := len(known) - len(known.unique())) > 0:
        raise DataError(
            f"{counted(repeated, 'row')} repeat ids of others, so which is meant is not clear; make them one before"
        )
    rows = pc.index_in(both["the table"], value_set=known, skip_nulls=True)
    return {name: table[column].take(rows) for name, column in columns.items()}, rows.null_count


def sessions(users: pa.ChunkedArray, times: pa.ChunkedArray, gap: int) -> pa.Array:
    """Numbers int64 `[rows]` of the sessions of each user, which end where nothing follows within `gap` seconds.

    They follow the order in which sessions begin, so that none depends on what happens later.
    """
    seconds, user = times.to_numpy(), codes(users)
    in_time = np.arange(len(user)) if (np.diff(seconds) >= 0).all() else np.argsort(seconds, kind="stable")
    seconds, user = seconds[in_time], user[in_time]
    own = np.argsort(user, kind="stable")
    begins = (np.diff(user[own], prepend=-1) != 0) | (np.diff(seconds[own], prepend=0) > gap)
    first = np.zeros(len(own), bool)
    first[own[begins]] = True
    number = (np.cumsum(first) - 1)[own[begins]]
    numbers = np.empty(len(own), np.int64)
    numbers[in_time[own]] = number[np.cumsum(begins) - 1]
    return pa.array(numbers)


def canonical(column: pa.ChunkedArray, steps: Sequence[str]) -> pa.ChunkedArray:
    """Ids after steps such as `strip`, null where nothing is left; integers stay as they are."""
    if not pa.types.is_string(column.type):
        return column
    encoded = column.combine_chunks().dictionary_encode()
    written = []
    for text in encoded.dictionary.to_pylist():
        for step in steps:
            text = STEPS[step](text)  # noqa: PLW2901 - one step after another
        written.append(text or None)
    return pa.chunked_array([pa.array(written, pa.string()).take(encoded.indices)])


def clipped(
    column: pa.ChunkedArray, low: float | None, high: float | None, *, null: bool
) -> tuple[pa.ChunkedArray, int]:
    """Numbers within bounds: others become the bound, or null; and how many these are."""
    if pa.types.is_integer(column.type) and not all(float(b).is_integer() for b in (low, high) if b is not None):
        column = column.cast(pa.float64())
    changed = 0
    for bound, is_beyond in ((low, pc.less), (high, pc.greater)):
        if bound is not None:
            limit = pa.scalar(bound, pa.float64()).cast(column.type)
            beyond = is_beyond(column, limit).fill_null(pa.scalar(value=False))
            changed += pc.sum(beyond).as_py() or 0
            column = pc.if_else(beyond, pa.scalar(None, column.type) if null else limit, column)
    return column, changed


def without_values(column: pa.ChunkedArray, values: Sequence[Scalar], *, numbers: bool) -> tuple[pa.ChunkedArray, int]:
    """The column with null in the place of some values, which are compared as numbers, or as text; and how many these are."""
    if numbers:
        found = pc.is_in(column.cast(pa.float64()), pa.array([float(value) for value in values], pa.float64()))
    else:
        found = pc.is_in(column.cast(pa.string()), pa.array([as_text(value) for value in values], pa.string()))
    found = pc.and_(found, column.is_valid())
    return pc.if_else(found, pa.scalar(None, column.type), column), pc.sum(found).as_py() or 0


def id_columns(schema: Schema, entity: str) -> list[tuple[str, str]]:
    """(table, column) of all ids of an entity."""
    references = [(INTERACTIONS, schema.reference(role)) for role, of in schema.roles.items() if of == entity]
    return [*references, (entity, "id")]
