"""What a run goes on with of an earlier one, and which training rows it still has to learn from; no TensorFlow."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mtkit.errors import DataError
from mtkit.recipe.plan import Plan
from mtkit.spec.heads import query_column
from mtkit.types import Fold, Part, RowTable


@dataclass(frozen=True)
class Earlier:
    """An earlier run, as one sees it that goes on with it.

    Attributes:
        until: it has learned from what happened strictly before, seconds.
        sizes: entity -> how many ids it has; they are the first ones of the catalog.
        numbered: entity -> ids `[rows]` that have the numbers 1, 2, ...; those of the earlier run, or also later ones.
        states: address -> what its preprocessors have learned.
        replay: share of the rows that it has learned from to train on again.
        seed: of what is drawn of them.
    """

    until: int
    sizes: Mapping[str, int]
    numbered: Mapping[str, np.ndarray]
    states: Mapping[str, Mapping[str, Any]]
    replay: float
    seed: int

    def fold(self, fold: Fold) -> Fold:
        """The fold that knows which ids are of the earlier run."""
        return replace(fold, earlier=self.sizes)

    def tables(
        self, plan: Plan, fold: Fold, tables: Mapping[str, Mapping[Part, RowTable]]
    ) -> dict[str, dict[Part, RowTable]]:
        """The row tables with those training rows alone that are new, and some of the others.

        Raises:
            DataError: nothing is left of a table.
        """
        found = {name: dict(parts) for name, parts in tables.items()}
        for name, parts in found.items():
            columns = [query_column(by) for by in plan.queries(name)]
            parts["train"] = self._replayed(fold, name, parts["train"], _units(parts["train"], columns))
        return found

    def _replayed(self, fold: Fold, name: str, table: RowTable, unit: np.ndarray) -> RowTable:
        is_new = self._is_new(fold, table)
        if is_new.all():
            return table
        fresh = np.bincount(unit, is_new) > 0
        old = np.flatnonzero(~fresh)
        drawn = _drawn(old, self.replay, self.seed + zlib.crc32(name.encode()))
        fresh[drawn] = True
        rows = np.flatnonzero(fresh[unit])
        if not len(rows):
            raise DataError(
                f"row table {name!r} has no training row that the earlier run has not learned from, and train.replay = 0 draws "
                "none of the others; set it above 0"
            )
        taken = replace(table.take(rows), note=f"{table.note}; {self._told(len(drawn), len(old))}")
        if table.sequence is None:
            return taken
        return replace(taken, sequence=np.unique(table.sequence[rows], return_inverse=True)[1].astype(np.int32))

    def _told(self, drawn: int, old: int) -> str:
        return f"those that the earlier run has not learned from, and {drawn:,} of {old:,} others, drawn (seed {self.seed})"

    def _is_new(self, fold: Fold, table: RowTable) -> np.ndarray:
        """Whether the earlier run has not learned from rows, or not from all that they teach, bool `[rows]`.

        Labels that look ahead were not known to it where their horizon ended later than it did. Rows without time count as new:
        they are few, and how many a step has does not depend on their number.
        """
        if not len(table.time):
            return np.ones(len(table), bool)
        if table.ends is not None:
            return np.asarray(table.ends > self.until)
        return np.asarray(table.time >= self.until - _horizon(fold, table))


def _units(table: RowTable, queries: Sequence[str]) -> np.ndarray:
    """The number of what each row is drawn together with: a sequence, a query, or the row alone."""
    together = [table.dense[name] for name in queries] if table.sequence is None else [table.sequence]
    return np.unique(together[0], return_inverse=True)[1] if together else np.arange(len(table))


def _drawn(units: np.ndarray, share: float, seed: int) -> np.ndarray:
    """A share of the units, and one at least unless it is 0."""
    size = min(len(units), max(round(share * len(units)), int(share > 0)))
    return np.random.default_rng(seed).choice(units, size, replace=False)


def _horizon(fold: Fold, table: RowTable) -> int:
    """The longest horizon of a table's labels, seconds."""
    columns = fold.schema.interactions
    found = [columns[label].horizon for label in table.labels if label in columns]
    return max((int(horizon.total_seconds()) for horizon in found if horizon), default=0)
