"""What some rows of a training step do not know: whose they are, or a part of what is known of that (`train.hide`).

So the row of the unknown is trained as a whole, in all that reads it: its id, its columns, what encoders derive of its texts, and
a past without events. A dropout of ids alone trains it beside columns that an unknown user or item does not have.

Who is unknown came after training ended, and newcomers are not like others. So ids are hidden as if training had ended at half
of its events: those that were not known then, and with them values of columns that were not (`newness`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from mtkit.backend import tf
from mtkit.data.columns import codes
from mtkit.feed.batch import Batch
from mtkit.feed.features import variable
from mtkit.recipe.hide_checks import ENCODER, hides_ids, hides_in
from mtkit.recipe.plan import Plan
from mtkit.recipe.settings import Catalog
from mtkit.schema import CONTEXT, HISTORY, KNOWN, Address
from mtkit.types import Fold

#: The least share of the training events that newcomers are to have, for others not to be hidden, and how many are enough.
LATE, ENOUGH = 0.005, 100

Draw = Callable[[str, tf.Tensor], tf.Tensor]
"""What draws numbers in [0, 1), float32 of a shape, int32 `[n]`; others for each name."""


@dataclass(frozen=True)
class Hiding:
    """What training hides.

    Attributes:
        shares: role, address or `encoder.NAME` -> share of the rows.
        newness: `ROLE.id`, and with it categorical columns of the role -> float32 `[ids]`, by which the share is multiplied.
    """

    shares: Mapping[str, float] = field(default_factory=dict)
    newness: Mapping[str, tf.Variable] = field(default_factory=dict)

    @classmethod
    def of(cls, shares: Mapping[str, float], fold: Fold, catalogs: Mapping[str, Catalog]) -> Hiding:
        """What a recipe hides on a fold, with the catalogs that it declares."""
        found = {}
        for role in fold.events.ids:
            entity = fold.schema.scopes[role]
            if hides_ids(shares, role):
                least = max(1, catalogs[entity].min_count if entity in catalogs else 1)
                found[f"{role}.id"] = newness(fold, role, np.arange(len(fold.catalog(role))), least)
            if f"{role}.id" in shares:
                found |= {
                    f"{role}.{name}": newness(fold, role, codes(fold.catalog(role).columns[name]) + 1)
                    for name, declared in fold.schema.columns(entity).items()
                    if declared.kind == "categorical"
                }
        return cls(dict(shares), {address: variable(f"{address}.newness", of) for address, of in found.items()})

    def rows(self, what: str, address: str, ids: tf.Tensor, drawn: tf.Tensor) -> tf.Tensor:
        """Which rows do not know an address that `what` hides, bool `[rows]`, by numbers in [0, 1) that were drawn for them."""
        by_id = what in (scope := address.partition(".")[0], f"{scope}.id") and address in self.newness
        return drawn < self.shares[what] * (tf.gather(self.newness[address], ids) if by_id else 1.0)

    def hides(self, what: str, encoder: str, address: Address) -> bool:
        """Whether a key says that something of what an encoder reads is hidden."""
        column = str(address).partition("/")[0]
        later = what == f"{address.scope}.id" and column in self.newness
        return later or what in (column, f"{ENCODER}.{encoder}")


def newness(fold: Fold, role: str, values: np.ndarray, least: int = 1) -> np.ndarray:
    """Whether the value of each id was not known yet when half of the training events had been, float32 `[ids]`, 0 or 1.

    Where hardly any came later, as with users who are divided at random, all are hidden alike: 1.

    Args:
        fold: the events, on the clock of the split.
        role: whose ids.
        values: int `[ids]`, 0 or more: the ids themselves, or numbers of a column's values.
        least: events from which on a value is known, the `min_count` of a catalog.
    """
    trains = fold.events.time < fold.fit
    times, ids = fold.events.time[trains], fold.events.ids[role][trains]
    known = _nth(values[ids], times, least, int(values.max()) + 1)
    place = np.searchsorted(np.sort(times), known) / max(len(times), 1)
    late = ((place >= 0.5) & (place < 1)).astype(np.float32)[values]
    plain = len(values) == len(known) and np.array_equal(values, np.arange(len(values)))
    return np.ones_like(late) if plain and late[ids].sum() <= min(LATE * len(ids), ENOUGH) else late


def _nth(values: np.ndarray, times: np.ndarray, n: int, size: int) -> np.ndarray:
    """When each of some values came for the n-th time, int64 `[size]`; the largest number there is for those that never did."""
    order = np.lexsort((times, values))
    begins = np.searchsorted(values[order], np.arange(size + 1))
    there = begins[:-1] + n <= begins[1:]
    found = np.full(size, np.iinfo(np.int64).max)
    found[there] = times[order][begins[:-1][there] + n - 1]
    return found


def without_unseen(values: np.ndarray, trained: np.ndarray) -> np.ndarray:
    """Integers `[ids]` of a column, those that no id has that trains being 0, the unknown; other columns as they are.

    Args:
        values: of the column.
        trained: which ids training sees, bool `[ids]`.
    """
    if values.ndim > 1 or not np.issubdtype(values.dtype, np.integer):
        return values
    return np.where(np.isin(values, values[trained]), values, 0).astype(values.dtype)


def without_ids(batches: Mapping[str, Batch], hide: Hiding, plan: Plan, draw: Draw) -> dict[str, Batch]:
    """Row table -> its batch, in which some rows are of the unknown user, or item, and of no past if they are of no user.

    Rows of tables on which tasks rank stay as they are: what they are followed by is theirs, whoever they are of.

    Args:
        batches: row table -> batch.
        hide: what is hidden; other keys than roles are not of ids.
        plan: who reads what.
        draw: draws numbers.
    """
    return {
        name: _without(name, batch, hide, draw) if batch.sequences is None and hides_in(name, plan.tasks) else batch
        for name, batch in batches.items()
    }


def _without(table: str, batch: Batch, hide: Hiding, draw: Draw) -> Batch:
    acting = next(iter(batch.ids), None)
    for role in hide.shares:
        if (ids := batch.ids.get(role)) is None:
            continue
        hidden = hide.rows(role, f"{role}.id", ids, draw(f"{table}/{role}", tf.shape(ids)))
        batch = replace(batch, ids={**batch.ids, role: tf.where(hidden, tf.zeros_like(ids), ids)})
        if role == acting and batch.history is not None:
            begin = tf.where(hidden, batch.history[:, 1], batch.history[:, 0])
            batch = replace(batch, history=tf.stack([begin, batch.history[:, 1]], 1))
    return batch


class Parts:
    """What an encoder is told of parts that are hidden: columns of the unknown, in the rows that do not know their own.

    Args:
        hide: what is hidden; roles are not of parts.
        draw: draws numbers.
    """

    def __init__(self, hide: Hiding, draw: Draw) -> None:
        self._hide, self._parts = hide, [what for what in hide.shares if "." in what]
        self._draw, self._drawn = draw, dict[tuple[str, int], tf.Tensor]()

    def of(self, encoder: str, address: Address, batch: Batch) -> list[tf.Tensor]:
        """Which rows do not know what an encoder reads, bool `[rows]`, once for each key that says so."""
        if address.scope in (CONTEXT, HISTORY, KNOWN):
            return []
        column, ids = str(address).partition("/")[0], batch.ids[address.scope]
        return [
            self._hide.rows(what, column, ids, self._numbers(what, batch, ids))
            for what in self._parts
            if self._hide.hides(what, encoder, address)
        ]

    def _numbers(self, what: str, batch: Batch, ids: tf.Tensor) -> tf.Tensor:
        # One draw for all that a key hides of a batch, whoever reads it.
        if (key := (what, id(batch))) not in self._drawn:
            self._drawn[key] = self._draw(f"{what}/{len(self._drawn)}", tf.shape(ids))
        return self._drawn[key]


def replaced(
    columns: Mapping[str, tf.Tensor], unknown: Mapping[str, tf.Tensor], hidden: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Columns `[rows, ...]`, with those of the unknown, `[1, ...]`, in the rows that are hidden."""
    return {
        name: tf.where(tf.reshape(hidden, [-1] + [1] * (len(values.shape) - 1)), unknown[name], values)
        for name, values in columns.items()
    }
