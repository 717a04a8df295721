"""Arrow columns under a declared schema: checks, and conversion to plain NumPy values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtkit.data.cleaners import applied, unreadable
from mtkit.data.cleaning import cleaned
from mtkit.data.list_values import padded, written
from mtkit.data.prepared import open_dataset
from mtkit.errors import DataError
from mtkit.schema import INTERACTIONS, Column
from mtkit.shown import counted
from mtkit.spec import Cleaned, Cleaner, DataSource
from mtkit.types import Dataset

#: Rows of an entity table without an id of its own: the unknown.
UNKNOWN_TEXT, UNKNOWN_NUMBER = "", -1


def load(source: DataSource) -> Dataset:
    """A source's tables, read as declared, changed by its cleaners, and checked against their schema.

    Raises:
        DataError: files are missing, or the tables do not fit the schema, or a cleaner.
    """
    if isinstance(source, Cleaned) and source.prepared:
        return open_dataset(source.prepared, source.schema())
    return prepared(source.load(), source.cleaners)


def prepared(raw_tables: Dataset, cleaners: Mapping[str, Cleaner]) -> Dataset:
    """Tables as they came, read as declared, changed by cleaners, and checked.

    Raises:
        DataError: as `load`.
    """
    dataset = cleaned(raw_tables, unreadable(raw_tables.schema, cleaners), repeated=bool(cleaners))
    dataset = applied(dataset, cleaners, frozenset(dataset.entities) - frozenset(raw_tables.entities))
    check(dataset)
    return dataset


def check(dataset: Dataset) -> None:
    """Checks raw tables against their declared schema.

    Raises:
        DataError: a table, a column or a key is missing or has another type than declared; a key is null, repeated or
            the placeholder of the unknown; a time or an id that groups rows is null; ids are of one entity alone.
    """
    schema = dataset.schema
    _check_columns(INTERACTIONS, dataset.interactions, schema.interactions)
    if len(roles := schema.roles) == 1:
        raise DataError(
            f"{INTERACTIONS}: the only ids are those of {next(iter(roles))!r}; expected who acts and what is acted on, in "
            "this order, or no ids at all"
        )
    for name in filter(None, (schema.time, schema.group)):
        if nulls := dataset.interactions[name].null_count:
            raise DataError(f"{INTERACTIONS}.{name}: {nulls} nulls; every interaction needs a value")
    for entity, columns in schema.entities.items():
        if entity not in dataset.entities:
            raise DataError(f"the schema declares the entity {entity!r}, but the data have no such table")
        table = dataset.entities[entity]
        _check_columns(entity, table, {"id": Column(kind="id"), **columns})
        _check_key(entity, table["id"])


def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column without dictionary encoding, strings as `string`, integers as `int64`."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_large_string(column.type):
        return column.cast(pa.string())
    return column.cast(pa.int64()) if pa.types.is_integer(column.type) else column


def seconds(column: pa.ChunkedArray) -> np.ndarray:
    """Times as int64 `[rows]` seconds since 1970-01-01 UTC; integers are taken as such, naive times as UTC."""
    if pa.types.is_integer(column.type):
        return np.asarray(column.to_numpy(), dtype=np.int64)
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("ms"))
    result: np.ndarray = column.to_numpy().astype("datetime64[s]").astype(np.int64)
    return result


def raw(column: pa.ChunkedArray, declared: Column) -> np.ndarray:
    """Raw values `[rows]` of a column: float32 with nan for numbers, otherwise objects (`str`, or None where null).

    Numeric columns, weights, and labels that are not classes are numbers; categorical columns, texts and classes are strings.
    Lists are `[rows, n]`, as of `list_values.padded`.
    """
    if declared.listed:
        return padded(column)
    column = plain(column)
    if is_number(declared):
        numbers: np.ndarray = column.cast(pa.float64(), safe=False).to_numpy().astype(np.float32)
        return numbers
    values, numbers_of = distinct(column)
    objects: np.ndarray = values[numbers_of]
    return objects


def distinct(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct values of a column as text, objects with None at the end, and the number of each row's value among them."""
    encoded = plain(column).cast(pa.string()).combine_chunks().dictionary_encode()
    values = np.array([*encoded.dictionary.to_pylist(), None], dtype=object)
    return values, encoded.indices.fill_null(len(values) - 1).to_numpy(zero_copy_only=False)


def is_number(declared: Column) -> bool:
    """Whether raw values of a column are numbers: numeric columns, weights, and labels that are not classes."""
    return declared.kind in ("numeric", "weight") or (declared.kind == "label" and not declared.classes)


def codes(column: pa.ChunkedArray) -> np.ndarray:
    """Numbers int64 `[rows]` of the distinct values, from 0 on in the order of the data; -1 where null."""
    column = written(column) if pa.types.is_list(column.type) else plain(column)
    indices = column.combine_chunks().dictionary_encode().indices
    return np.asarray(indices.fill_null(-1).to_numpy(zero_copy_only=False), dtype=np.int64)


def layer_input(values: np.ndarray) -> Any:
    """Raw values as TensorFlow can take them: null strings become empty; numbers stay, and fields stand beside one another."""
    if values.dtype.names:
        return tuple(layer_input(values[name]) for name in values.dtype.names)
    if values.dtype != object:
        return values
    missing = pc.is_null(pa.array(values.ravel(), pa.string())).to_numpy(zero_copy_only=False).reshape(values.shape)
    return np.where(missing, UNKNOWN_TEXT, values)


def _check_columns(table: str, data: pa.Table, columns: Mapping[str, Column]) -> None:
    for name, column in columns.items():
        if name not in data.column_names:
            raise DataError(f"{table}.{name}: declared, but the table has only {', '.join(data.column_names)}")
        kind, fits = _expected(column)
        found = data.schema.field(name).type
        value = found.value_type if pa.types.is_dictionary(found) else found
        if not fits(value):
            raise DataError(f"{table}.{name}: expected {kind} ({column.kind}), got values of type {found}")


def _check_key(entity: str, key: pa.ChunkedArray) -> None:
    if key.null_count:
        raise DataError(f"{entity}.id: {counted(key.null_count, 'null')}; every row of an entity needs an id")
    counts = pc.value_counts(key).flatten()
    repeated = counts[0].filter(pc.greater(counts[1], 1))
    if len(repeated):
        occur = counted(len(repeated), "id occurs", "ids occur")
        raise DataError(
            f"{entity}.id: {occur} more than once, for example {repeated[0].as_py()!r}; let a cleaner make one row of each: "
            f'[clean.NAME] use = "one_per_entity", entity = "{entity}"'
        )
    for placeholder in (UNKNOWN_TEXT, UNKNOWN_NUMBER):
        if placeholder in counts[0].to_pylist():
            raise DataError(
                f"{entity}.id: {placeholder!r} stands for the unknown and cannot be an id; write another, or none (null)"
            )


def _is_string(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_key(kind: pa.DataType) -> bool:
    return _is_string(kind) or bool(pa.types.is_integer(kind))


def _is_category(kind: pa.DataType) -> bool:
    return _is_key(kind) or bool(pa.types.is_boolean(kind) or pa.types.is_null(kind))


def _is_number(kind: pa.DataType) -> bool:
    types = pa.types
    return any(is_type(kind) for is_type in (types.is_integer, types.is_floating, types.is_boolean, types.is_null))


def _is_time(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind) or pa.types.is_integer(kind))


_EXPECTED: Mapping[str, tuple[str, Callable[[pa.DataType], bool]]] = {
    "id": ("strings or integers", _is_key),
    "categorical": ("strings, integers or booleans", _is_category),
    "numeric": ("numbers", _is_number),
    "text": ("strings", lambda kind: _is_string(kind) or bool(pa.types.is_null(kind))),
    "time": ("timestamps, dates, or integers in seconds", _is_time),
    "list": ("lists", pa.types.is_list),
    "label": ("numbers or booleans", _is_number),
    "weight": ("numbers", _is_number),
}


def _expected(column: Column) -> tuple[str, Callable[[pa.DataType], bool]]:
    if column.listed:
        return _EXPECTED["list"]
    return _EXPECTED["categorical" if column.kind == "label" and column.classes else column.kind]
