"""Checks of who acts, and on what: robots, and what has most of the interactions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from mtkit.profile.findings import Found, finds, graded
from mtkit.profile.view import View
from mtkit.types import DAY

#: A count is extreme if it is this multiple of the count of the id above which a hundredth lies, and has this share of all rows.
TIMES_HIGH, SHARE = 20, 0.001
#: Ids of an entity from which on that can be said.
_IDS = 200
#: A user acts at fixed intervals if at least this many are known, of which this share is the same to the second.
INTERVALS, SAME = 20, 0.8
#: Popularity is concentrated where the top hundredth of at least this many items has this share of the interactions.
CONCENTRATED, ITEMS = 0.5, 1000


@finds("P040", quick=True)
def extreme_counts(view: View) -> Iterator[Found]:
    """Ids with far more interactions than nearly all others."""
    for place, role in enumerate(view.schema.roles):
        counts = _counts(view, role)
        if len(counts) < _IDS:
            continue
        limit = max(TIMES_HIGH * np.quantile(counts, 0.99), SHARE * counts.sum())
        extreme = np.flatnonzero(counts > limit)
        if len(extreme):
            high = extreme[np.argsort(-counts[extreme])]
            examples = tuple(f"{_id(view, role, code)} ({counts[code]:,})" for code in high[:3])
            yield Found(
                f"{role} ids",
                int(counts[extreme].sum()),
                int(counts.sum()),
                examples=examples,
                severity=graded(place == 0),
            )


@finds("P041")
def fixed_intervals(view: View) -> Iterator[Found]:
    """Users with nearly the same time between all they do."""
    if view.schema.time is None or not view.schema.roles or not (view.encoded.time % DAY).any():
        return
    role = next(iter(view.schema.roles))
    user, time = view.encoded.codes(view.schema.reference(role)), view.encoded.time
    order = np.lexsort((time, user))
    user, gap = user[order][1:], np.diff(time[order])
    inner = (user == view.encoded.codes(view.schema.reference(role))[order][:-1]) & (gap > 0) & (user >= 0)
    user, gap = user[inner].astype(np.int64), gap[inner]
    if not len(user):
        return
    number, pair = np.unique(gap, return_inverse=True)
    distinct, counts = np.unique(user * len(number) + pair, return_counts=True)
    intervals, most = np.bincount(user), np.zeros(int(user.max()) + 1, np.int64)
    np.maximum.at(most, distinct // len(number), counts)
    fixed = np.flatnonzero((intervals >= INTERVALS) & (most >= SAME * intervals))
    if len(fixed):
        examples = tuple(f"{_id(view, role, code)} ({intervals[code]:,} intervals)" for code in fixed[:3])
        yield Found(f"{role} ids", len(fixed), int(np.count_nonzero(intervals)), f"{role} ids", examples)


@finds("P042")
def concentration(view: View) -> Iterator[Found]:
    """The share of the most popular hundredth of the items."""
    for role in [*view.schema.roles][1:2]:
        counts = np.sort(_counts(view, role))[::-1]
        top = int(counts[: max(len(counts) // 100, 1)].sum())
        if len(counts) >= ITEMS and top > CONCENTRATED * counts.sum():
            yield Found(f"{role} ids", top, int(counts.sum()), detail=f"{len(counts) // 100:,} of {len(counts):,}")


def _counts(view: View, role: str) -> np.ndarray:
    code = view.encoded.codes(view.schema.reference(role))
    return np.bincount(code[code >= 0])


def _id(view: View, role: str, code: int) -> str:
    reference = view.schema.reference(role)
    row = int(np.argmax(view.encoded.codes(reference) == code))
    return repr(view.dataset.interactions[reference].take(pa.array([row]))[0].as_py())
