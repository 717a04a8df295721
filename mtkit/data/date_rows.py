"""Rows of users at dates, with what they do in the time that follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mtkit.conditions import Where
from mtkit.data.columns import raw
from mtkit.data.conditions import events_where
from mtkit.data.known_as_of import history_bounds
from mtkit.errors import DataError
from mtkit.types import Events, Fold, RowTable


def date_table(
    fold: Fold,
    dates: Sequence[int],
    ahead: int,
    note: str,
    *,
    active: int | None = None,
    where: Where | None = None,
    sums: Mapping[str, str] | None = None,
) -> RowTable:
    """One row per date and user with a past before it; labels are of the time from the date on.

    Labels, float32: `gone`, 1 where the user does nothing in this time; `acts`, how often he or she acts in it; and the sums.

    Args:
        fold: the events.
        dates: begin of what labels see, seconds.
        ahead: how far they see, seconds.
        note: states the population.
        active: seconds; only users who act within so long before the date; None = ever.
        where: which events count, in the past and ahead; None = all.
        sums: name of a label -> numeric column of the events that is summed up; nulls count 0.

    Raises:
        DataError: there are no rows.
    """
    acts = events_where(fold.events, where, fold.schema.interactions)
    role, acting = next(iter(acts.ids.items()))
    since = [np.iinfo(np.int64).min if active is None else date - active for date in dates]
    inside = [(acts.time < date) & (acts.time >= begin) for date, begin in zip(dates, since, strict=True)]
    users = [np.unique(acting[known & (acting > 0)]) for known in inside]
    user = np.concatenate(users).astype(np.int32)
    if not len(user):
        raise DataError(f"fold {fold.name!r} has no rows here: {note}")
    time = np.repeat(np.asarray(dates, np.int64), [len(found) for found in users])
    begin, end = (history_bounds(acts, user, moment)[:, 1] for moment in (time, time + ahead))
    labels = {"gone": end == begin, "acts": end - begin}
    labels |= {name: _between(fold, acts, column, begin, end) for name, column in (sums or {}).items()}
    return RowTable(
        name="",
        ids={role: user},
        time=time,
        history=history_bounds(fold.events, user, time),
        known=time,
        ends=time + ahead,
        labels={name: values.astype(np.float32) for name, values in labels.items()},
        weights={name: np.ones(len(user), np.float32) for name in labels},
        note=note,
    )


def _between(fold: Fold, acts: Events, column: str, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The sum of a column over the events from `begin` to `end` of each row, float64 `[rows]`."""
    values = np.nan_to_num(raw(acts.columns[column], fold.schema.interactions[column]).astype(np.float64))
    total = np.append(0.0, np.cumsum(values))
    return np.asarray(total[end] - total[begin])
