"""Features of prepared rows: what preprocessors learned, and columns as encoders read them, made a part of the rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtkit.data.column_files import ColumnWriter, read_columns
from mtkit.data.columns import raw
from mtkit.data.fit_features import FeatureTables, fit_features
from mtkit.data.row_tables import Tables
from mtkit.recipe.loader import Recipe
from mtkit.types import Events, Fold, Part, RowTable

_ROWS = 1 << 18
"""Rows that are preprocessed at once."""

#: Row table -> part -> its rows, their context and statistics preprocessed, as a feed holds them.
Encoded = Mapping[str, Mapping[Part, RowTable]]


def add_features(writer: ColumnWriter, recipe: Recipe, fold: Fold, tables: Tables) -> None:
    """Learns what preprocessors learn, and writes that and the columns that they make of rows and events."""
    features = fit_features(recipe.plan.addresses(), recipe.preprocess, fold, tables)
    writer.about["states"] = dict(features.states)
    for name, parts in tables.items():
        for part, table in parts.items():
            for rows in _parts(len(table)):
                made = features.apply(_some(fold, table, rows))
                for column, values in made.context.items():
                    writer.add(f"{name}/{part}/context/{column}", values)
                for column, values in made.dense.items():
                    writer.add(f"{name}/{part}/dense/{column}", values)
    for rows in _parts(len(fold.events)):
        for column, values in features.of_events(replace(fold, events=_slice(fold.events, rows))).items():
            writer.add(f"events/{column}", values)


def read_features(
    directory: Path, recipe: Recipe, fold: Fold, tables: Tables
) -> tuple[FeatureTables, dict[str, dict[Part, RowTable]], dict[str, np.ndarray]]:
    """The features, the tables as a feed holds them, and columns of past events, mapped.

    Raises:
        DataError: a file is missing or damaged.
    """
    found = read_columns(directory)
    features = fit_features(recipe.plan.addresses(), recipe.preprocess, fold, tables, learned=found.about["states"])
    encoded = {
        name: {part: _encoded(found.arrays, f"{name}/{part}/", table) for part, table in parts.items()}
        for name, parts in tables.items()
    }
    return features, encoded, _under("events/", found.arrays)


def _encoded(arrays: Mapping[str, np.ndarray], prefix: str, table: RowTable) -> RowTable:
    dense = {**table.dense, **_under(f"{prefix}dense/", arrays)}
    return replace(table, context=_under(f"{prefix}context/", arrays), statistics={}, dense=dense)


def _under(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}


def _parts(size: int) -> Iterator[slice]:
    # One of no rows, where there are none: its columns are written, too.
    for begin in range(0, max(size, 1), _ROWS):
        yield slice(begin, min(begin + _ROWS, size))


def _some(fold: Fold, table: RowTable, rows: slice) -> RowTable:
    """Some rows, with no more than what is preprocessed."""
    statistics = {name: values[rows] for name, values in table.statistics.items()}
    none = np.zeros(0, np.int64)
    context = {} if table.event is None else {name: _context(fold, table, name, rows) for name in table.context}
    return RowTable(table.name, {}, none, none, none, context=context, statistics=statistics)


def _context(fold: Fold, table: RowTable, name: str, rows: slice) -> np.ndarray:
    """Raw values of a column; of lists, as wide as the longest of the table."""
    assert table.event is not None
    column, declared = fold.events.columns[name], fold.schema.interactions[name]
    if not declared.listed:
        return raw(column.take(pa.array(table.event[rows])), declared)
    longest = table.event[int(np.argmax(_lengths(column, table.event)))]
    values: np.ndarray = raw(column.take(pa.array(np.append(table.event[rows], longest))), declared)[:-1]
    return values


def _lengths(column: pa.ChunkedArray, event: np.ndarray) -> np.ndarray:
    sizes: np.ndarray = pc.list_value_length(column).fill_null(0).to_numpy()
    found: np.ndarray = sizes[event]
    return found


def _slice(events: Events, rows: slice) -> Events:
    """Some events, with their columns alone."""
    size = rows.stop - rows.start
    some = {role: ids[rows] for role, ids in events.ids.items()}
    columns = events.columns.slice(rows.start, size)
    return replace(events, ids=some, time=events.time[rows], group=events.group[rows], columns=columns, weight=None)
