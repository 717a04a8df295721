"""Rows of data frames as inputs of signatures: what each input is called in the data, and its values as training read them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from mtkit.data.column_values import UnfitError, converted, identifiers, within_float32
from mtkit.data.columns import UNKNOWN_TEXT, layer_input, raw
from mtkit.data.list_values import lists
from mtkit.errors import DataError, nearest
from mtkit.schema import CONTEXT, WEIGHT, Schema
from mtkit.shown import counted

#: Values that a message names.
_SHOWN = 3


@dataclass(frozen=True)
class Asked:
    """An input of a signature that rows of data answer.

    Attributes:
        name: of the input.
        column: as the data call it.
        role: whose ids it holds; empty for a column of the context.
    """

    name: str
    column: str
    role: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """What a column of rows may be called, first what the data call it."""
        return tuple(dict.fromkeys((self.column, self.role or self.name, self.name)))

    def among(self, columns: Iterable[Any]) -> str | None:
        """The name of the column that rows have for it; None if they have none."""
        found = set(columns)
        return next((name for name in self.names if name in found), None)


def asked(inputs: Iterable[str], schema: Schema) -> list[Asked]:
    """What of some inputs rows have to say; weights of lists come with the lists."""
    found = []
    for name in inputs:
        role, _, _ = name.rpartition("_id")
        context = name.removeprefix(f"{CONTEXT}_")
        if name.endswith("_id") and role in schema.roles:
            found.append(Asked(name, schema.reference(role), role))
        elif name.endswith("_id") and role in schema.entities:
            found.append(Asked(name, "id", role))
        elif context in schema.interactions:
            found.append(Asked(name, context))
    return found


def frame_of(rows: Any) -> pd.DataFrame:
    """Rows as a frame.

    Args:
        rows: a frame, or a dictionary from names to columns of one length.

    Raises:
        DataError: they are something else.
    """
    if isinstance(rows, pd.DataFrame):
        return rows
    if not isinstance(rows, Mapping):
        raise DataError(
            f"rows: expected a pandas.DataFrame, or a dictionary from names to arrays, got a {type(rows).__name__}"
        )
    columns = {name: [values] if np.ndim(values) == 0 else list(values) for name, values in rows.items()}
    if len(lengths := {len(values) for values in columns.values()}) > 1:
        shown = ", ".join(f"{name} {len(values):,}" for name, values in columns.items())
        raise DataError(f"rows: expected columns of one length, got {shown}")
    return pd.DataFrame(columns, index=pd.RangeIndex(max(lengths, default=0)))


def missing(frame: pd.DataFrame, wanted: Mapping[str, Sequence[Asked]]) -> str:
    """What to say of columns that some rows lack; empty if they have all.

    Args:
        frame: the rows.
        wanted: task -> what is asked for it.
    """
    lacking: dict[str, list[str]] = {}
    for task, inputs in wanted.items():
        for given in inputs:
            if given.among(frame.columns) is None:
                lacking.setdefault(given.column if given.column != "id" else given.name, []).append(task)
    if not lacking:
        return ""
    named = "; ".join(
        f"{column!r} (for {', '.join(dict.fromkeys(tasks))})" for column, tasks in sorted(lacking.items())
    )
    first = min(lacking)
    return (
        f"rows: a column is missing: {named}; {nearest(first, map(str, frame.columns))}. Add it, with None where a value is "
        "not known, or name the `tasks` that do without"
    )


def inputs_of(frame: pd.DataFrame, wanted: Iterable[Asked], schema: Schema) -> dict[str, np.ndarray]:
    """Name of an input -> its values `[rows]`, or `[rows, n]` for lists.

    Raises:
        DataError: values are not what their column is declared to be.
    """
    found: dict[str, np.ndarray] = {}
    for given in wanted:
        name = given.among(frame.columns)
        assert name is not None, "rows were checked before"
        try:
            column = pa.chunked_array([pa.array(frame[name], from_pandas=True)])
            if given.role:
                found[given.name] = texts_of(column)
            else:
                found |= _context(given, column, schema)
        except UnfitError as error:
            row = "" if error.row is None else f", row {error.row + 1:,}"
            raise DataError(f"rows, column {name!r}{row}: {error}") from None
        except (pa.ArrowException, OverflowError, ValueError) as error:
            raise DataError(
                f"rows, column {name!r}: values of several types, or of one that is no number, text or time: {error}"
            ) from error
    return found


def texts_of(column: pa.ChunkedArray) -> np.ndarray:
    """Ids as the signatures take them, texts `[rows]`, empty where there is none.

    Raises:
        UnfitError: they name nothing.
    """
    texts = identifiers(column).cast(pa.string()).fill_null(UNKNOWN_TEXT)
    return np.asarray(texts.to_numpy(), object)


def ids_of(ids: Any, what: str) -> np.ndarray:
    """Ids that are given alone, or several of them, as texts `[ids]`.

    Raises:
        DataError: these are no ids.
    """
    if isinstance(ids, pd.DataFrame | Mapping):
        raise DataError(f"{what}: expected ids, got a {type(ids).__name__}; give a column of it")
    listed = [ids] if np.ndim(ids) == 0 else list(ids)
    try:
        return texts_of(pa.chunked_array([pa.array(listed, from_pandas=True)]))
    except (UnfitError, pa.ArrowException, OverflowError) as error:
        raise DataError(f"{what}: expected ids as in the data, texts or integers of one type: {error}") from None


def warn_of_unknown(ids: np.ndarray, known: np.ndarray, what: str, consequence: str) -> None:
    """Says that ids are not known, where they are not; those that are missing say so themselves.

    Args:
        ids: texts `[rows]`.
        known: texts.
        what: whose ids they are.
        consequence: what follows.
    """
    if not (strange := unknown(ids, known)):
        return
    named = ", ".join(map(repr, strange[:_SHOWN])) + (", …" if len(strange) > _SHOWN else "")
    like = f" such as {known[0]!r}" if len(known) else ""
    count = counted(len(strange), f"{what} is", f"{what}s are")
    warnings.warn(f"{count} not known: {named}; {consequence}. Ids are as in the data,{like}", stacklevel=4)


def unknown(ids: np.ndarray, known: np.ndarray) -> list[str]:
    """Which ids are not known, each once, in their order."""
    there = {*known, UNKNOWN_TEXT}
    return [name for name in dict.fromkeys(ids) if name not in there]


def _context(given: Asked, column: pa.ChunkedArray, schema: Schema) -> dict[str, np.ndarray]:
    declared = schema.interactions[given.column]
    if declared.listed:
        values = layer_input(raw(lists(column, declared)[0], declared))
        if isinstance(values, tuple):
            return {given.name: values[0], f"{given.name}_{WEIGHT.removeprefix('/')}": values[1]}
        return {given.name: values}
    values = converted(column, declared)
    if declared.kind in ("numeric", "label"):
        values, _ = within_float32(values)
    return {given.name: layer_input(raw(values, declared))}
