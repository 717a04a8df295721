"""Row tables of a fold: events, windows with targets, entities."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pyarrow as pa

from mtkit.conditions import Where
from mtkit.data.columns import raw
from mtkit.data.conditions import events_where, holding
from mtkit.data.known_as_of import before_group, history_bounds
from mtkit.data.labels import Labels, entity_labels
from mtkit.errors import NoRowsError
from mtkit.schema import CONTEXT
from mtkit.types import Events, Fold, Part, Ragged, RowTable

NO_TIME = np.zeros(0, dtype=np.int64)
NO_HISTORY = np.zeros((0, 2), dtype=np.int64)


def event_positions(
    fold: Fold, part: Part, since: int | None = None, where: Where | None = None, length: int | None = None
) -> np.ndarray:
    """Positions int64 of the events of a part.

    Args:
        fold: the events.
        part: which part.
        since: seconds; training uses only events within this duration before its end.
        where: those for which it holds.
        length: seconds; of evaluation, what happened so shortly from the cut on.
    """
    time = fold.events.time
    meant = np.ones(len(time), bool) if where is None else holding(where, fold.events.columns, fold.schema.interactions)
    if part == "eval":
        end = fold.end if length is None else fold.cut + length
        return np.flatnonzero(meant & (time >= fold.cut) & (time < end))
    begin = fold.fit - since if since is not None else np.iinfo(np.int64).min
    return np.flatnonzero(meant & (time < fold.fit) & (time >= begin))


def sample(rows: np.ndarray, size: int | None, seed: int) -> np.ndarray:
    """At most `size` of the rows, drawn uniformly without replacement, in their order."""
    if size is None or len(rows) <= size:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, size, replace=False))


def event_table(fold: Fold, positions: np.ndarray, labels: Labels, note: str) -> RowTable:
    """One row per event: its ids, time, context, and its user's events before its group.

    Raises:
        DataError: there are no rows.
    """
    if not len(positions):
        raise _no_rows(fold, note)
    events = fold.events
    ids = {entity: values[positions] for entity, values in events.ids.items()}
    known = before_group(events, positions)
    return RowTable(
        name="",
        ids=ids,
        time=events.time[positions],
        history=history_bounds(events, next(iter(ids.values())), known) if ids else NO_HISTORY,
        known=known,
        context=_context(fold, positions),
        labels=labels.values,
        weights=labels.weights,
        classes=labels.classes,
        unseen=labels.lacking,
        note=note + labels.remarks(),
        event=positions,
    )


def in_sequences(table: RowTable, length: int) -> RowTable:
    """The rows that have a past, in the order of users and time, as places in sequences of at most `length` past events.

    The latest sequence of a user is full, and holds the rows whose past ends with one of the user's last `length` events.

    Raises:
        DataError: no row has a past.
    """
    begin, end = table.history.T
    there = np.flatnonzero(end > begin)
    if not len(there):
        raise NoRowsError(f"no row has a past here, so there are no sequences: {table.note}")
    # Events are in the order of users and time, so ends of pasts are, too.
    rows = there[np.argsort(end[there], kind="stable")]
    begin, end = begin[rows], end[rows]
    latest = end[np.searchsorted(begin, begin, side="right") - 1]
    piece = (latest - end) // length
    first = np.append(True, (np.diff(begin) != 0) | (np.diff(piece) != 0))
    number = (np.cumsum(first) - 1).astype(np.int32)
    left_out = {**table.left_out, "event without a past": len(table) - len(rows)}
    return replace(table.take(rows), sequence=number, left_out=left_out)


def window_table(
    fold: Fold,
    windows: Iterable[tuple[int, int]],
    note: str,
    targets_of: Where | None = None,
    past_of: Where | None = None,
    *,
    without_past: bool = False,
) -> RowTable:
    """One row per user and window `[start, stop)` in which the user acts; targets are the distinct items.

    Args:
        fold: the events.
        windows: begin and end of each, seconds.
        note: states the population.
        targets_of: which events targets are made of; None = all.
        past_of: which events make a past; None = all.
        without_past: whether users without a past before the window have rows; else they are counted (`left_out`).

    Raises:
        DataError: there are no rows.
    """
    acts, past = (events_where(fold.events, where, fold.schema.interactions) for where in (targets_of, past_of))
    windows = list(windows)
    parts = [_window(acts, *window) for window in windows]
    user, time, counts, targets = (np.concatenate(values) for values in zip(*parts, strict=True))
    ends = np.repeat([stop for _, stop in windows], [len(part[0]) for part in parts])
    table = replace(_target_table(fold, user, time, counts, targets, note), ends=ends)
    return table if without_past else _with_past(table, past, fold)


def profile_table(fold: Fold, note: str, targets_of: Where | None = None, past_of: Where | None = None) -> RowTable:
    """One row per user who acts before the end of training, with all of this as past, and its distinct items as targets.

    Args:
        fold: the events.
        note: states the population.
        targets_of: which events targets are made of; None = all.
        past_of: which events make a past; None = all.

    Raises:
        DataError: there are no rows.
    """
    acts, past = (events_where(fold.events, where, fold.schema.interactions) for where in (targets_of, past_of))
    user, time, counts, targets = _window(acts, np.iinfo(np.int64).min, fold.fit)
    table = _target_table(fold, user, np.full_like(time, fold.fit), counts, targets, note)
    # Users stand in the order of their numbers, and each one's events in that of time.
    inside = np.flatnonzero(acts.time < fold.fit)
    last = inside[np.searchsorted(acts.ids[next(iter(acts.ids))][inside], user, side="right") - 1]
    return _with_past(replace(table, ends=acts.time[last] + 1), past, fold)


def _target_table(
    fold: Fold, user: np.ndarray, time: np.ndarray, counts: np.ndarray, targets: np.ndarray, note: str
) -> RowTable:
    """Rows of users and moments, and their targets, `counts` of each row, end to end."""
    if not len(user):
        raise _no_rows(fold, note)
    return RowTable(
        name="",
        ids={next(iter(fold.events.ids)): user},
        time=time,
        history=history_bounds(fold.events, user, time),
        known=time,
        lists={"target": Ragged(np.append(0, np.cumsum(counts)), {"item": targets})},
        note=note,
    )


def _with_past(table: RowTable, past: Events, fold: Fold) -> RowTable:
    """The rows with a past; the others are counted."""
    ((acting, user),) = table.ids.items()
    begin, end = history_bounds(past, user, table.time).T
    kept = np.flatnonzero(end > begin)
    if not len(kept):
        raise _no_rows(fold, table.note)
    return replace(table.take(kept), left_out={f"{acting} without a past": len(table) - len(kept)})


def _no_rows(fold: Fold, note: str) -> NoRowsError:
    return NoRowsError(f"fold {fold.name!r} has no rows here: {note}")


def entity_table(fold: Fold, entity: str, rows: np.ndarray, note: str) -> RowTable:
    """Rows of an entity table with its labels; classes are those of the whole catalog.

    Args:
        fold: the fold.
        entity: name of the entity.
        rows: int32 `[rows]`, ids.
        note: states the population.

    Raises:
        DataError: there are no rows.
    """
    if not len(rows):
        raise _no_rows(fold, note)
    labels = entity_labels(fold, entity, rows)
    return RowTable(
        name="",
        ids={entity: rows.astype(np.int32)},
        time=NO_TIME,
        history=NO_HISTORY,
        known=NO_TIME,
        labels=labels.values,
        weights=labels.weights,
        classes=labels.classes,
        unseen=labels.lacking,
        note=note + labels.remarks(),
    )


def held_out(values: np.ndarray, low: float, high: float, seed: int) -> np.ndarray:
    """Whether each value's hash, a number in [0, 1) that depends on value and seed alone, is in `[low, high)`."""
    distinct, number = np.unique(values, return_inverse=True)
    fractions = np.array([_fraction(f"{seed}:{value}") for value in distinct])[number]
    inside: np.ndarray = (fractions >= low) & (fractions < high)
    return inside


def first_in_group(events: Events, positions: np.ndarray) -> np.ndarray:
    """Those of the positions at which an item comes for the first time in its group."""
    item = list(events.ids.values())[1][positions]
    _, first = np.unique(events.group[positions] * (item.max(initial=0) + np.int64(1)) + item, return_index=True)
    return positions[np.sort(first)]


def _context(fold: Fold, positions: np.ndarray) -> dict[str, np.ndarray]:
    rows = pa.array(positions)
    features, made = fold.schema.features(), fold.schema.groups
    names = [address.column for address in features if address.scope == CONTEXT and address not in made]
    return {name: raw(fold.events.columns[name].take(rows), fold.schema.interactions[name]) for name in names}


def _window(events: Events, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Users `[rows]`, times `[rows]`, numbers of targets `[rows]` and the targets of one window, end to end."""
    user, item = list(events.ids.values())[:2]
    inside = (events.time >= start) & (events.time < stop)
    size = item.max(initial=0) + np.int64(1)
    inside &= item > 0  # the unknown is no target
    pairs = np.unique(user[inside] * size + item[inside])
    users, counts = np.unique(pairs // size, return_counts=True)
    return users.astype(np.int32), np.full(len(users), start), counts, (pairs % size).astype(np.int32)


def _fraction(text: str) -> float:
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
