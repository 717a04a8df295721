"""Negatives that are drawn: sampled ones for labels that only ever say yes, and some of too many; positives more than once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mtkit.errors import DataError, nearest
from mtkit.types import ROW_WEIGHT, Events, Fold, RowTable


def with_negatives(fold: Fold, positives: RowTable, label: str, number: int, known_before: int, seed: int) -> RowTable:
    """The rows with label 1, then `number` copies of each with another item and label 0.

    Items are drawn uniformly from the catalog without those of the user's events before `known_before` (seconds).
    Users who have had every item get no negatives.
    """
    user_entity, item_entity = list(fold.events.ids)[:2]
    copies = np.repeat(np.arange(len(positives)), number)
    catalog = len(fold.catalog(item_entity)) - 1
    items = unknown_items(fold.events, positives.ids[user_entity][copies], catalog, known_before, seed)
    copies, items = copies[items > 0], items[items > 0]
    rows = np.concatenate([np.arange(len(positives)), copies])
    item = np.concatenate([positives.ids[item_entity], items])
    labeled = positives.take(rows)
    return replace(
        labeled,
        ids={**labeled.ids, item_entity: item},
        labels={label: (np.arange(len(rows)) < len(positives)).astype(np.float32)},
        weights={label: np.ones(len(rows), dtype=np.float32)},
    )


def unknown_items(events: Events, user: np.ndarray, catalog: int, before: int, seed: int) -> np.ndarray:
    """For each row an item that its user has not had, uniformly, int32 `[rows]`; 0 if there is none.

    The r-th item (from 0) that a user has not had is r plus the number of items had below it: one sorted search finds
    it, without rejection.

    Args:
        events: sorted by user, then time; the second entity is the item.
        user: int32 `[rows]`.
        catalog: number of items, numbered from 1.
        before: seconds; items of events strictly before it are had.
        seed: of the draws.
    """
    owner, item = list(events.ids.values())[:2]
    early = (events.time < before) & (item > 0)
    had = np.unique(owner[early] * np.int64(catalog) + item[early] - 1)
    had_user = had // catalog
    offsets = np.searchsorted(had_user, np.arange(len(events.offsets)))
    free_below = had % catalog - (np.arange(len(had)) - offsets[had_user])
    free = catalog - np.diff(offsets)[user]
    rank = np.random.default_rng(seed).integers(0, np.maximum(free, 1))
    wanted = user * np.int64(catalog) + rank
    had_below = np.searchsorted(had_user * catalog + free_below, wanted, side="right") - offsets[user]
    return np.where(free > 0, rank + had_below + 1, 0).astype(np.int32)


def some_negatives(table: RowTable, label: str, rate: float, seed: int) -> RowTable:
    """The rows without some of those with 0 in a label, of which each stays with probability `rate`.

    Those that stay count 1 / rate, so that means over the rows are what they were, but for tasks of the label they count 1: their
    heads correct what they predict (`RowTable.kept`), and the loss is not ruled by few rows.

    Raises:
        DataError: there is no such label of 0 and 1.
    """
    there = _of_two(table, label, "negatives_of")
    negative = there & (table.labels[label] == 0)
    kept = np.flatnonzero(~negative | (np.random.default_rng((seed, 1)).random(len(table)) < rate))
    some, negative = table.take(kept), negative[kept]
    counts = np.where(negative, np.float32(1 / rate), np.float32(1))
    weights = {**some.weights, label: np.where(negative, np.float32(rate), np.float32(1)) * some.weights[label]}
    note = (
        f"{table.note}; of those with 0 in {label} a share of {rate:g} (seed {seed}), {negative.sum():,} rows, which count "
        f"{1 / rate:g} for tasks of other labels"
    )
    return replace(
        some, weights=weights, dense={**some.dense, ROW_WEIGHT: counts}, kept={**some.kept, label: rate}, note=note
    )


def more_positives(table: RowTable, label: str, times: int) -> RowTable:
    """The rows with each of those with 1 in a label `times` over, one after another.

    Each counts 1 / times, so that means over the rows are what they were, but for tasks of the label 1: their heads correct what
    they predict (`RowTable.kept`), as they do where negatives are left out, for the odds are the same.

    Raises:
        DataError: there is no such label of 0 and 1.
    """
    there = _of_two(table, label, "positives_of")
    positive = there & (table.labels[label] == 1)
    rows = np.repeat(np.arange(len(table)), np.where(positive, times, 1))
    more, copied = table.take(rows), positive[rows]
    counts = np.where(copied, np.float32(1 / times), np.float32(1)) * more.dense.get(ROW_WEIGHT, np.float32(1))
    weights = {**more.weights, label: np.where(copied, np.float32(times), np.float32(1)) * more.weights[label]}
    found = f"each of the {positive.sum():,} with 1 in {label} {times} times, which count 1/{times} for tasks of other labels"
    note = f"{table.note}; {found}"
    return replace(
        more,
        weights=weights,
        dense={**more.dense, ROW_WEIGHT: counts},
        kept={**more.kept, label: more.kept.get(label, 1.0) / times},
        copies={**more.copies, label: times},
        note=note,
    )


def _of_two(table: RowTable, label: str, key: str) -> np.ndarray:
    """Which rows have a label of 0 and 1, bool `[rows]`."""
    if label not in table.labels:
        raise DataError(f"{key}: the rows have no label {label!r}; {nearest(label, table.labels)}")
    values, there = table.labels[label], table.weights[label] > 0
    if label in table.classes or ((values[there] != 0) & (values[there] != 1)).any():
        what = key.removesuffix("_of")
        raise DataError(f"{key}: label {label!r} is not of 0 and 1, so it has no {what}; name one that is")
    return there
