"""Columns with several values a row, in one form whatever they came as: sorted, each value once, with its weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtkit.data.column_values import UnfitError, categories, decoded, numbers, texts
from mtkit.schema import Column

#: A value and its weight in text, as in `Drama:0.5`; what has no colon is a value alone.
_WEIGHTED = r"(?s)^(?P<value>.*):(?P<weight>[^:]*)$"


@dataclass(frozen=True)
class _Entries:
    """Values end to end.

    Attributes:
        row: int64 `[entries]`, ascending.
        value: strings `[entries]`.
        weight: float64 `[entries]`.
    """

    row: np.ndarray
    value: pa.Array
    weight: np.ndarray

    def take(self, chosen: np.ndarray) -> _Entries:
        """Those of some numbers."""
        return _Entries(self.row[chosen], self.value.take(pa.array(chosen)), self.weight[chosen])


def lists(column: pa.ChunkedArray, declared: Column) -> tuple[pa.ChunkedArray, int]:
    """The values of a column of lists, or of text that a separator divides; and how many rows had more than `length`.

    Values are trimmed, blank ones dropped, and the same value counts once in a row, with the sum of its weights; what weighs
    0 is dropped. Of a longer row the first `length` values in sorted order stay, or the heaviest.

    Returns:
        `list<string>`, or `list<struct<value: string, weight: float>>`; null where there is no value. Labels keep lists that are
        empty: no class applies there.

    Raises:
        UnfitError: the values are not what the column is declared to be.
    """
    several = _divided(column, declared)
    entries = _once(_known(_entries(several, declared)), weighted=declared.weighted)
    kept, longer = _within(entries, declared.length, weighted=declared.weighted)
    counts = np.bincount(kept.row, minlength=len(several))
    values = kept.value
    if declared.weighted:
        values = pa.StructArray.from_arrays([values, pa.array(kept.weight.astype(np.float32))], ["value", "weight"])
    nothing = several.is_null() if declared.kind == "label" else pa.array(counts == 0)
    offsets = pa.array(np.append(0, np.cumsum(counts)).astype(np.int32))
    return pa.chunked_array([pa.ListArray.from_arrays(offsets, values, mask=nothing)]), longer


def padded(column: pa.ChunkedArray) -> np.ndarray:
    """Lists, as `lists` returns them, as a matrix `[rows, n]`, filled up at the end; n is the length of the longest, or 1.

    Returns:
        Objects, `str` or None; for weighted ones with fields `value`, such objects, and `weight`, float32, 0 where there is none.
    """
    array = column.combine_chunks()
    flat, counts = array.flatten(), _lengths(array)
    place = np.arange(len(flat)) - np.repeat(np.cumsum(counts) - counts, counts)
    at = np.repeat(np.arange(len(array)), counts), place
    shape = len(array), max(1, int(counts.max(initial=0)))
    if not pa.types.is_struct(flat.type):
        return _filled(shape, at, flat)
    matrix = np.zeros(shape, [("value", object), ("weight", np.float32)])
    matrix["value"] = _filled(shape, at, pc.struct_field(flat, "value"))
    matrix["weight"][at] = pc.struct_field(flat, "weight").to_numpy()
    return matrix


def values_of(matrix: np.ndarray) -> np.ndarray:
    """The values of a matrix of `padded`, objects `[rows, n]`."""
    values: np.ndarray = matrix["value"] if matrix.dtype.names else matrix
    return values


def there(values: np.ndarray) -> np.ndarray:
    """Which of some objects are not None, bool of their shape."""
    found: np.ndarray = np.not_equal(values, np.array(None, object)).astype(bool)
    return found


def bag(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The entries of a matrix of `padded` end to end: their rows, values, and weights float64, 1 where they have none."""
    values = values_of(matrix)
    row, place = np.nonzero(there(values))
    weights = matrix["weight"][row, place].astype(np.float64) if matrix.dtype.names else np.ones(len(row))
    return row, values[row, place], weights


def told_by_one(matrix: np.ndarray, labels: np.ndarray) -> str | None:
    """A value that all rows of one label hold, and no other rows that have a label; None if there is none.

    Args:
        matrix: `[rows, n]`, as of `padded`.
        labels: int `[rows]`, from 0 on; -1 where there is none.
    """
    labels = labels + 1
    size = np.bincount(labels)
    row, held, _ = bag(matrix)
    known, code = np.unique(held, return_inverse=True)
    counts = np.bincount(code * len(size) + labels[row], minlength=len(known) * len(size)).reshape(len(known), -1)[
        :, 1:
    ]
    telling = (counts > 0) & (counts == size[1:]) & (counts == counts.sum(1, keepdims=True))
    found = np.flatnonzero(telling.any(1))
    return str(known[found[0]]) if len(found) else None


def written(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Lists, as `lists` returns them, as text that is the same where they are."""
    array = column.combine_chunks()
    flat = array.flatten()
    if pa.types.is_struct(flat.type):
        weight = pc.struct_field(flat, "weight").cast(pa.string())
        flat = pc.binary_join_element_wise(pc.struct_field(flat, "value"), weight, ":")
    offsets = pa.array(np.append(0, np.cumsum(_lengths(array))).astype(np.int32))
    plain = pa.ListArray.from_arrays(offsets, flat, mask=array.is_null())
    return pa.chunked_array([pc.binary_join(plain, "\x1f")])


def _lengths(array: pa.Array) -> np.ndarray:
    return np.asarray(pc.list_value_length(array).fill_null(0).to_numpy(), np.int64)


def _filled(shape: tuple[int, int], at: tuple[np.ndarray, np.ndarray], flat: pa.Array) -> np.ndarray:
    matrix = np.full(shape, None, object)
    encoded = flat.dictionary_encode()
    matrix[at] = np.array([*encoded.dictionary.to_pylist(), None], object)[encoded.indices.to_numpy()]
    return matrix


def _divided(column: pa.ChunkedArray, declared: Column) -> pa.Array:
    """A row for each of the column's, of type `list`."""
    types, kind = pa.types, column.type
    if types.is_map(kind):
        column = column.cast(pa.list_(pa.struct([("value", kind.key_type), ("weight", kind.item_type)])))
    elif types.is_list_view(kind) or types.is_large_list_view(kind):
        column = pa.chunked_array([pa.array(column.to_pylist(), pa.list_(kind.value_type))])
    elif types.is_large_list(kind) or types.is_fixed_size_list(kind):
        column = column.cast(pa.list_(kind.value_type))
    elif not types.is_list(kind):
        column = _separated(column, declared)
    return column.combine_chunks()


def _separated(column: pa.ChunkedArray, declared: Column) -> pa.ChunkedArray:
    """Text, divided."""
    kind = decoded(column).type
    if declared.separator:
        return pc.split_pattern(texts(column), declared.separator)
    if pa.types.is_null(kind):
        return column.cast(pa.list_(pa.string()))
    cure = 'say what separates them, as in separator = "|"' if pa.types.is_string(kind) else "give each row a list"
    raise UnfitError(f"expected lists, got values of type {kind}; {cure}")


def _entries(array: pa.Array, declared: Column) -> _Entries:
    """All values that are not null, with their weights."""
    row = np.asarray(pc.list_parent_indices(array).to_numpy(), np.int64)
    flat: Any = pc.list_flatten(array)
    try:
        value, weight = _weighted(flat) if declared.weighted else (_plain(flat), np.ones(len(row)))
    except UnfitError as error:
        raise UnfitError(str(error), None if error.row is None else int(row[error.row])) from None
    return _Entries(row, value, weight).take(np.flatnonzero(value.is_valid()))


def _plain(flat: pa.Array) -> pa.Array:
    """Values as trimmed strings, null where they are blank."""
    if pa.types.is_nested(flat.type):
        cure = "expected strings or integers, or weighted = true for values with weights"
        raise UnfitError(f"its values have parts, of type {flat.type}; {cure}")
    found = categories(pa.chunked_array([flat])).cast(pa.string()).combine_chunks()
    trimmed = pc.utf8_trim_whitespace(found)
    return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)


def _weighted(flat: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Values, and weights float64, 1 where text has none."""
    if pa.types.is_struct(flat.type):
        if names := {"value", "weight"} - {field.name for field in flat.type}:
            raise UnfitError(
                f"values with weights need the fields value and weight, and have no {' and no '.join(names)}"
            )
        value, weight = _plain(pc.struct_field(flat, "value")), pc.struct_field(flat, "weight")
    else:
        whole = _plain(flat)
        parts = pc.extract_regex(whole, _WEIGHTED)
        value = _plain(pc.if_else(parts.is_valid(), pc.struct_field(parts, "value"), whole))
        weight = pc.if_else(parts.is_valid(), pc.struct_field(parts, "weight"), pa.scalar("1"))
    found = numbers(pa.chunked_array([weight])).cast(pa.float64(), safe=False).to_numpy()
    wrong = ~((found >= 0) & (found < np.finfo(np.float32).max)) & np.asarray(value.is_valid())
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        shown = "no weight" if np.isnan(found[at]) else f"the weight {found[at]:g}"
        raise UnfitError(f"{value[at].as_py()!r} has {shown}; expected a finite number, 0 or more", at)
    return value, found


def _known(entries: _Entries) -> _Entries:
    """Those that weigh something."""
    return entries.take(np.flatnonzero(entries.weight > 0))


def _once(entries: _Entries, *, weighted: bool) -> _Entries:
    """Each value of a row once, in sorted order, with the sum of its weights."""
    encoded = entries.value.dictionary_encode()
    words = np.array(encoded.dictionary.to_pylist(), object)
    order = np.argsort(words)
    rank = np.empty(len(words), np.int64)
    rank[order] = np.arange(len(words))
    key = entries.row * max(len(words), 1) + rank[encoded.indices.to_numpy()]
    if weighted:  # added up in an order that does not depend on how they came
        by_size = np.lexsort((entries.weight, key))
        key, weight = key[by_size], entries.weight[by_size]
        key, first = np.unique(key, return_index=True)
        weight = np.add.reduceat(weight, first) if len(first) else weight
    else:
        key = np.unique(key)
        weight = np.ones(len(key))
    row, code = np.divmod(key, max(len(words), 1))
    return _Entries(row, pa.array(words[order], pa.string()).take(pa.array(code)), weight)


def _within(entries: _Entries, length: int, *, weighted: bool) -> tuple[_Entries, int]:
    """At most `length` entries of each row, the first or the heaviest; and how many rows had more."""
    counts = np.bincount(entries.row)
    longer = int(np.count_nonzero(counts > length))
    if not longer:
        return entries, 0
    order = np.lexsort((-entries.weight, entries.row)) if weighted else np.arange(len(entries.row))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    return entries.take(np.flatnonzero(place < length)), longer
