"""Which rows belong to one query: those of a user, of a session, or of whatever a column says."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
import pyarrow as pa

from mtkit.spec.heads import query_column
from mtkit.types import Fold, RowTable


def with_queries(fold: Fold, table: RowTable, asked: Collection[str]) -> RowTable:
    """The table with the number of each row's query, int32 `[rows]`, as a dense column (`query_column`).

    Args:
        fold: the fold.
        table: the rows.
        asked: `TaskHead.query_by` of tasks on the table; what the rows do not have is left out.
    """
    found = {query_column(by): values for by in asked if (values := _numbers(fold, table, by)) is not None}
    return replace(table, dense={**table.dense, **found}) if found else table


def _numbers(fold: Fold, table: RowTable, by: str) -> np.ndarray | None:
    """Numbers of queries; None if the rows do not have them."""
    if not by or by in table.ids:
        return next((ids for role, ids in table.ids.items() if by in ("", role)), None)
    if table.event is None or by not in fold.schema.interactions:
        return None
    if fold.schema.interactions[by].kind == "id":
        values = fold.events.group[table.event]
    else:
        column = fold.events.columns[by].take(pa.array(table.event)).combine_chunks().dictionary_encode()
        codes = column.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        # Of rows that do not say it, each is alone.
        values = np.where(codes < 0, len(column.dictionary) + np.arange(len(codes)), codes)
    return np.unique(values, return_inverse=True)[1].astype(np.int32)
