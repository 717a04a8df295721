"""Sampled negatives for labels that only ever say yes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mtkit.types import Events, Fold, RowTable


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
