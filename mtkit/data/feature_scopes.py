"""What lies under each scope of addresses: which rows have it, its raw values, and those that preprocessors learn from.

The scopes are listed here and, for what is read on the device, in `mtkit.feed.features`. Elsewhere, names of scopes decide only
where a rule is about one of them: a past has many values for each row, the context of a row has no catalog.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import pyarrow as pa

from mtkit.data.columns import raw
from mtkit.errors import DataError
from mtkit.schema import CONTEXT, HISTORY, KNOWN, Address
from mtkit.types import Fold, Part, RowTable


class Scope(Protocol):
    """How the columns of a scope are found."""

    def is_in(self, table: RowTable, column: str) -> bool:
        """Whether the rows of a table have the column."""

    def of_rows(self, fold: Fold, table: RowTable, column: str) -> np.ndarray:
        """Raw values `[rows]` for the rows of a table; rows of the entity's table for its `id`."""

    def of_catalog(self, fold: Fold, column: str) -> np.ndarray | None:
        """Raw values of the rows of an entity's table, row 0 = the unknown; None where the scope has no table."""

    def of_training(self, fold: Fold, tables: Mapping[str, Mapping[Part, RowTable]], column: str) -> np.ndarray:
        """Raw values that a preprocessor learns from.

        Raises:
            DataError: no rows have the column.
        """


class _Context:
    """The row itself."""

    def is_in(self, table: RowTable, column: str) -> bool:
        return column in table.context

    def of_rows(self, fold: Fold, table: RowTable, column: str) -> np.ndarray:
        return table.context[column]

    def of_catalog(self, fold: Fold, column: str) -> np.ndarray | None:
        return None

    def of_training(self, fold: Fold, tables: Mapping[str, Mapping[Part, RowTable]], column: str) -> np.ndarray:
        """Those of the training rows of the first table that has the column."""
        for parts in tables.values():
            if column in parts["train"].context:
                return parts["train"].context[column]
        raise DataError(f"{CONTEXT}.{column} is read by an encoder, but no row table has it")


class _History:
    """The row's own past: lists of events, which are read on the device alone."""

    def is_in(self, table: RowTable, column: str) -> bool:
        return len(table.history) > 0

    def of_rows(self, fold: Fold, table: RowTable, column: str) -> np.ndarray:
        raise DataError(f"{HISTORY}.{column} is a list of events, and no single value of a row")

    def of_catalog(self, fold: Fold, column: str) -> np.ndarray | None:
        return None

    def of_training(self, fold: Fold, tables: Mapping[str, Mapping[Part, RowTable]], column: str) -> np.ndarray:
        """Those of the events that the model is trained on."""
        before = pa.array(fold.events.time < fold.fit)
        return raw(fold.events.columns[column].filter(before), fold.schema.interactions[column])


class _Known:
    """What preprocessors make of what was known before the row: several numbers, which go together."""

    def is_in(self, table: RowTable, column: str) -> bool:
        return column in table.statistics

    def of_rows(self, fold: Fold, table: RowTable, column: str) -> np.ndarray:
        """The numbers, float32 `[rows, width]`."""
        return table.statistics[column]

    def of_catalog(self, fold: Fold, column: str) -> np.ndarray | None:
        return None

    def of_training(self, fold: Fold, tables: Mapping[str, Mapping[Part, RowTable]], column: str) -> np.ndarray:
        """Those of the training rows of the first table that has them."""
        for parts in tables.values():
            if column in parts["train"].statistics:
                return parts["train"].statistics[column]
        raise DataError(f"{KNOWN}.{column} is read by an encoder, but no row table has it")


class _Entity:
    """The row of an entity that the row has in a role."""

    def __init__(self, role: str) -> None:
        self.role = role

    def is_in(self, table: RowTable, column: str) -> bool:
        return self.role in table.ids

    def of_rows(self, fold: Fold, table: RowTable, column: str) -> np.ndarray:
        rows = table.ids[self.role]
        return rows if column == "id" else self.of_catalog(fold, column)[rows]

    def of_catalog(self, fold: Fold, column: str) -> np.ndarray:
        return raw(fold.catalog(self.role).columns[column], fold.schema.columns(self.role)[column])

    def of_training(self, fold: Fold, tables: Mapping[str, Mapping[Part, RowTable]], column: str) -> np.ndarray:
        """Those of the catalog, which is as of the cut."""
        return self.of_catalog(fold, column)[1 : fold.catalog(self.role).known]


def scope_of(address: Address) -> Scope:
    """How the columns of an address' scope are found."""
    rows: dict[str, Scope] = {CONTEXT: _Context(), HISTORY: _History(), KNOWN: _Known()}
    return rows.get(address.scope) or _Entity(address.scope)
