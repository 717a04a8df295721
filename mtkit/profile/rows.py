"""Checks of interactions as rows: what is there twice, and what is taken back."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from mtkit.profile.findings import Found, finds, graded
from mtkit.profile.view import Place, View
from mtkit.schema import INTERACTIONS
from mtkit.types import DAY

#: From this share of the rows on, repeated rows are more than a note; and rows with repeated ids and times.
REPEATED, SEVERAL_VERSIONS = 0.001, 0.01
#: Names of what cannot be negative, unless something is taken back.
_COUNTED = frozenset((
    "amount", "clicks", "cost", "count", "duration", "paid", "pieces", "price", "prices", "qty", "quantities", "quantity",
    "revenue", "sales", "spend", "spent", "total", "units", "views",
))  # fmt: skip
#: Of other columns, what share of negative values is odd among positive ones.
_FEW = 0.02
#: Of the negative values, the share that takes back an earlier row, from which on that is no coincidence.
MIRRORED = 0.3
_MIX = np.uint64(0x9E3779B97F4A7C15)


@finds("P012")
def repeated_rows(view: View) -> Iterator[Found]:
    """Rows that are equal in all declared columns."""
    if not len(view.dataset.interactions):
        return
    again = _repeated(view.encoded.row_hashes(()))
    if count := int(again.sum()):
        certain = bool(view.schema.time and view.schema.roles) and view.schema.group is None and not _by_day(view)
        severity = graded(certain and count > REPEATED * len(again))
        yield Found(INTERACTIONS, count, len(again), examples=view.examples(np.flatnonzero(again)), severity=severity)


@finds("P013")
def repeated_keys(view: View) -> Iterator[Found]:
    """Rows of the same user, item and time that are not the same elsewhere."""
    schema = view.schema
    if schema.time is None or len(schema.roles) < 2:
        return
    key = view.encoded.time.astype(np.uint64)
    for role in [*schema.roles][:2]:
        key = (key * _MIX) ^ (view.encoded.codes(schema.reference(role)) + 2).astype(np.uint64)
        key ^= key >> np.uint64(29)
    again = _repeated(key)
    same = _repeated(view.encoded.row_hashes(()))
    if count := int((again & ~same).sum()):
        certain = schema.group is None and not _by_day(view) and count > SEVERAL_VERSIONS * len(again)
        severity = graded(certain)
        yield Found(
            INTERACTIONS, count, len(again), examples=view.examples(np.flatnonzero(again & ~same)), severity=severity
        )


@finds("P014", quick=True)
def negative_values(view: View) -> Iterator[Found]:
    """Negative numbers where they are few among positive ones, or where the name says that they count something."""
    for place, numbers in _signed(view):
        negative = np.flatnonzero(numbers < 0)
        counted, there = not _COUNTED.isdisjoint(_words(place.name)), int(np.count_nonzero(~np.isnan(numbers)))
        if counted or (len(negative) < _FEW * there and len(np.unique(numbers[negative])) > 1):
            examples = view.examples(negative, place.name)
            yield Found(str(place), len(negative), there, examples=examples, severity=graded(counted))


@finds("P015")
def mirrored_rows(view: View) -> Iterator[Found]:
    """Negative numbers of a user and an item that have the positive one in an earlier row."""
    roles = [*view.schema.roles][:2]
    if len(roles) < 2:
        return
    user, item = (view.encoded.codes(view.schema.reference(role)).astype(np.uint64) for role in roles)
    for place, numbers in _signed(view):
        size = np.abs(numbers).view(np.uint64)
        key = ((size * _MIX ^ user) * _MIX) ^ item
        key ^= key >> np.uint64(29)
        negative = np.flatnonzero(numbers < 0)
        taken = negative[np.isin(key[negative], key[numbers > 0])]
        if len(taken) and len(taken) >= MIRRORED * len(negative):
            examples = view.examples(taken, place.name)
            yield Found(str(place), len(taken), len(numbers), examples=examples)


def _signed(view: View) -> Iterator[tuple[Place, np.ndarray]]:
    """Numeric columns of the interactions with negative values that are a minority."""
    for place in view.columns("numeric"):
        if place.table == INTERACTIONS:
            numbers = view.numbers(place)
            if 0 < np.count_nonzero(numbers < 0) < np.count_nonzero(numbers > 0) / 2:
                yield place, numbers


def _words(name: str) -> list[str]:
    """The words of a name, in lower case: `unit_price` and `UnitPrice` have two."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().split("_")


def _by_day(view: View) -> bool:
    """Whether times are days alone, so that a user may well have an item twice in one."""
    return not (view.encoded.time % DAY).any()


def _repeated(key: np.ndarray) -> np.ndarray:
    """Whether an earlier row has the key of a row, bool `[rows]`."""
    order = np.argsort(key, kind="stable")
    again = np.zeros(len(key), bool)
    again[order[1:]] = key[order][1:] == key[order][:-1]
    return again
