"""Exact ranking of the full catalog in blocks of rows, so that memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from mtkit.errors import DataError
from mtkit.types import Events, Ragged, Ranking


class SomeScores(NamedTuple):
    """Scores of some items of each row.

    Attributes:
        values: floats `[rows, n]`.
        items: int32 `[rows, n]`, ascending, the first of them 0; 0 is no candidate.
        catalog: number of items of the catalog.
    """

    values: np.ndarray
    items: np.ndarray | None
    catalog: int


Scorer = Callable[[np.ndarray], np.ndarray | SomeScores]
"""From row numbers int64 `[b]` to a new array of floats `[b, items]`, or the scores of some items."""

_ITEM = 0xFFFFFFFF
_CROWD = 4
"""Groups or columns are too many to sort if they are more than this multiple of k."""


def rank(
    scores: Scorer,
    targets: Ragged,
    k: int,
    exclude: Ragged | None = None,
    block: int = 256,
    *,
    shares: np.ndarray | None = None,
    vectors: Mapping[str, Any] | None = None,
    whole: bool = False,
) -> tuple[Ranking, np.ndarray]:
    """The top `k` of the catalog for every row that has relevant items, and the numbers of these rows.

    A candidate is every item but 0 (the unknown), the row's `exclude`d items, and items whose score is -inf. Rows
    whose relevant items are all excluded, or that have none, are left out and not scored. Equal scores are ordered by
    item id, lower first, as by `np.argsort(-scores, kind="stable")`.

    Args:
        scores: what it gives is overwritten.
        targets: each row's relevant items (values `item`); repeated ones count once.
        k: length of the top.
        exclude: each row's items (values `item`) that are neither candidates nor relevant.
        block: rows scored at once; memory is `block * items * (itemsize + 1)` bytes.
        shares: float64 `[items]`, the share of users who have had each item, for metrics of popularity.
        vectors: address or encoder -> vectors of the items, for metrics of diversity.
        whole: whether metrics read `Ranking.targets.above`, which takes a sort of the catalog for each row.

    Returns:
        The ranking of the rows that are left, and their numbers int64 `[rows]`. Its `catalog` is 0 if no row is left.

    Raises:
        DataError: a score is nan.
    """
    return rank_each(scores, targets, k, [exclude], block, shares=shares, vectors=vectors, whole=whole)[0]


def rank_each(
    scores: Scorer,
    targets: Ragged,
    k: int,
    excludes: Sequence[Ragged | None],
    block: int = 256,
    *,
    shares: np.ndarray | None = None,
    vectors: Mapping[str, Any] | None = None,
    whole: bool = False,
) -> list[tuple[Ranking, np.ndarray]]:
    """What `rank` gives for one `exclude` after another, of rows that are scored once; each excludes what those before it do."""
    tops = [_Top(_relevant(targets, exclude, block), k, whole) for exclude in excludes]
    rows = tops[0].rows if len(tops) == 1 else np.unique(np.concatenate([top.rows for top in tops]))
    for start in range(0, len(rows), block):
        some = rows[start : start + block]
        given = _candidate_scores(scores(some))
        for top, exclude in zip(tops, excludes, strict=True):
            if exclude is not None and given.items is None:
                given.values[_flatten(exclude, some)] = -np.inf
            top.take(some, given)
    return [(top.ranking(shares, vectors or {}), top.rows) for top in tops]


class _Top:
    """A ranking that is made block by block.

    Args:
        keys: the sorted keys of what is relevant.
        k: length of the top.
        whole: whether metrics read `Ranking.targets.above`.
    """

    def __init__(self, keys: np.ndarray, k: int, whole: bool) -> None:
        self.rows, self._relevant = np.unique(keys >> 32, return_counts=True)
        self._keys, self._k, self._whole, self._catalog = keys, k, whole, 0
        self._top = np.zeros((len(self.rows), k), np.int32)
        self._hits = np.zeros((len(self.rows), k), np.bool_)
        self._begin = np.append(0, np.cumsum(self._relevant))
        self._found = {"item": (keys & _ITEM).astype(np.int32)} | ({"above": np.zeros(len(keys))} if whole else {})

    def take(self, rows: np.ndarray, scores: SomeScores) -> None:
        """Ranks those of the next rows that are its own."""
        start, end = np.searchsorted(self.rows, [rows[0], rows[-1] + 1])
        if not len(own := self.rows[start:end]):
            return
        values, given, self._catalog = scores
        if len(own) < len(rows):
            values, given = values[there := np.isin(rows, own)], None if given is None else given[there]
        columns = top_k(values, self._k)
        items = columns if given is None else np.take_along_axis(given, columns, axis=1)
        self._top[start:end] = items
        self._hits[start:end] = _contains(self._keys, _key(own[:, None], items))
        if self._whole:
            ends = self._begin[start : end + 1]
            columns = _columns(given, ends - ends[0], self._found["item"][ends[0] : ends[-1]])
            self._found["above"][ends[0] : ends[-1]] = _above(values, ends - ends[0], columns)

    def ranking(self, shares: np.ndarray | None, vectors: Mapping[str, Any]) -> Ranking:
        """All of it."""
        top = self._top, self._hits, self._relevant, self._catalog
        return Ranking(*top, shares, Ragged(self._begin, self._found), vectors)


def of_rows(ranking: Ranking, rows: np.ndarray) -> Ranking:
    """The ranking of some of its rows, given by number."""
    assert ranking.targets is not None
    targets = {name: values[_flat(ranking.targets, rows)[1]] for name, values in ranking.targets.values.items()}
    relevant = ranking.relevant[rows]
    return replace(
        ranking,
        items=ranking.items[rows],
        hits=ranking.hits[rows],
        relevant=relevant,
        targets=Ragged(np.append(0, np.cumsum(relevant)), targets),
        weights=None if ranking.weights is None else ranking.weights[rows],
    )


def of_items(ranking: Ranking, members: np.ndarray) -> tuple[Ranking, np.ndarray]:
    """Restricts relevance to `members`; drops rows left without relevant items, and returns the numbers of the others.

    Args:
        ranking: the ranking, whose lists stay.
        members: bool `[catalog + 1]`, the items that stay relevant.
    """
    assert ranking.targets is not None
    kept = members[ranking.targets.values["item"]]
    place = np.repeat(np.arange(len(ranking.relevant)), ranking.relevant)
    relevant = np.bincount(place[kept], minlength=len(ranking.relevant))
    targets = {name: values[kept] for name, values in ranking.targets.values.items()}
    offsets = np.append(0, np.cumsum(relevant))
    narrowed = replace(
        ranking, hits=ranking.hits & members[ranking.items], relevant=relevant, targets=Ragged(offsets, targets)
    )
    rows = np.flatnonzero(relevant)
    return of_rows(narrowed, rows), rows


def user_shares(events: Events, cut: int, items: int) -> np.ndarray:
    """The share of users who have had each item, of those with a past.

    Args:
        events: all events; those strictly before `cut` count.
        cut: seconds.
        items: number of rows of the item table, the unknown included.

    Returns:
        float64 `[items]` in (0, 1]; an item that nobody has had counts as had by one.
    """
    users, had = (ids[events.time < cut] for ids in list(events.ids.values())[:2])
    count = np.bincount(_distinct(_key(users, had)) & _ITEM, minlength=items)
    shares: np.ndarray = count.clip(min=1) / max(1, np.count_nonzero(np.bincount(users)))
    return shares


def top_k(scores: np.ndarray, k: int) -> np.ndarray:
    """Columns of the `k` largest scores of each row, best first, lower column first among equals.

    Columns fall into disjoint groups. The k-th largest of the groups' maxima bounds the k-th largest score from below, so
    that one pass for the maxima leaves few groups to look at, and few columns to sort.

    Args:
        scores: floats `[rows, columns]`; -inf marks what must not be returned.
        k: length of the top.

    Returns:
        int32 `[rows, k]`, 0 where fewer than `k` scores are above -inf.

    Raises:
        DataError: a score is nan.
    """
    peaks, place = _peaks(scores, k), -min(k, scores.shape[1])
    bound = np.partition(peaks, place, axis=1)[:, place]
    mask = peaks >= bound[:, None]
    crowded = np.count_nonzero(mask, axis=1) > _CROWD * k
    mask[crowded] = False
    parts = [_within(scores, bound, mask)] + [_tied(scores, bound, row, k) for row in np.flatnonzero(crowded).tolist()]
    row, column = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return _sorted(scores, row, column, k)


def _peaks(scores: np.ndarray, k: int) -> np.ndarray:
    """Maxima of groups of columns, `[rows, groups]`; group g has the columns g, g + groups and so on."""
    rows, columns = scores.shape
    groups = min(columns, max(_CROWD * k, int(2 * columns**0.5)))
    whole = columns // groups * groups
    peaks: np.ndarray = scores[:, :whole].reshape(rows, -1, groups).max(axis=1)
    rest = columns - whole
    np.maximum(peaks[:, :rest], scores[:, whole:], out=peaks[:, :rest])
    if np.isnan(peaks).any():
        raise DataError("cannot rank the catalog: scores must be numbers, got nan; the model has probably diverged")
    return peaks


def _within(scores: np.ndarray, bound: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the scores in the masked groups `[rows, groups]` that are not below the row's bound."""
    columns, groups = scores.shape[1], mask.shape[1]
    row, group = np.nonzero(mask)
    column = group[:, None] + np.arange(0, columns, groups)
    values = scores[row[:, None], np.minimum(column, columns - 1)]
    pair, depth = np.nonzero((values >= bound[row, None]) & (column < columns))
    return row[pair], column[pair, depth]


def _tied(scores: np.ndarray, bound: np.ndarray, row: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Row and columns of a row's scores above its bound, and of the first `k` that equal it."""
    above, tied = np.flatnonzero(scores[row] > bound[row]), np.flatnonzero(scores[row] == bound[row])
    column = np.append(above, tied[:k])
    return np.full(len(column), row), column


def _sorted(scores: np.ndarray, row: np.ndarray, column: np.ndarray, k: int) -> np.ndarray:
    """The `k` best of the given candidates `[n]` of each row, int32 `[rows, k]`; 0 where there are fewer above -inf."""
    rows, columns = scores.shape
    order = np.argsort(row, kind="stable")
    row, column = row[order], column[order]
    counts = np.bincount(row, minlength=rows)
    place = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    found = np.full((rows, max(k, counts.max(initial=0))), columns, np.int32)
    found[row, place] = column
    found.sort(axis=1)
    values = np.take_along_axis(scores, np.minimum(found, columns - 1), axis=1)
    values[found == columns] = -np.inf
    best = np.argsort(-values, axis=1, kind="stable")[:, :k]
    top = np.take_along_axis(found, best, axis=1)
    top[np.take_along_axis(values, best, axis=1) == -np.inf] = 0
    return top


def _columns(given: np.ndarray | None, offsets: np.ndarray, items: np.ndarray) -> np.ndarray:
    """The columns of relevant items, which are among the `given` of their row `[rows, n]`; None = column i is item i."""
    if given is None:
        return items
    place = np.repeat(np.arange(len(given)), np.diff(offsets))
    keys = _key(np.arange(len(given))[:, None], given).ravel()
    columns: np.ndarray = np.searchsorted(keys, _key(place, items)) - place * given.shape[1]
    return columns


def _above(scores: np.ndarray, offsets: np.ndarray, items: np.ndarray) -> np.ndarray:
    """For each relevant item, the share of the row's other candidates, not relevant, that it is above; ties are half.

    Args:
        scores: floats `[rows, columns]`; -inf marks what is no candidate.
        offsets: int64 `[rows + 1]`, where each row's relevant items begin.
        items: int, columns of the relevant items.
    """
    shares = np.full(len(items), np.nan)
    for row, (begin, end) in enumerate(pairwise(offsets)):
        relevant = items[begin:end]
        others = np.sort(np.delete(scores[row], relevant))
        others = others[np.searchsorted(others, -np.inf, "right") :]
        if len(others):
            below, not_above = (np.searchsorted(others, scores[row, relevant], side) for side in ("left", "right"))
            shares[begin:end] = (below + not_above) / (2 * len(others))
    return shares


def _candidate_scores(given: np.ndarray | SomeScores) -> SomeScores:
    """The scores, of which those of the unknown are -inf."""
    if isinstance(given, SomeScores):
        given.values[given.items == 0] = -np.inf
        return given
    values = np.require(given, requirements="W")
    values[:, 0] = -np.inf
    return SomeScores(values, None, values.shape[1] - 1)


def _relevant(targets: Ragged, exclude: Ragged | None, block: int) -> np.ndarray:
    """Sorted keys of the distinct (row, item) that are relevant."""
    parts = [np.zeros(0, np.int64)]
    for start in range(0, len(targets.offsets) - 1, block):
        rows = np.arange(start, min(start + block, len(targets.offsets) - 1))
        excluded = _key(rows, np.zeros_like(rows))
        if exclude is not None:
            excluded = np.append(excluded, _keys(exclude, rows))
        keys = _distinct(_keys(targets, rows))
        parts.append(keys[~_contains(np.sort(excluded), keys)])
    return np.concatenate(parts)


def _distinct(keys: np.ndarray) -> np.ndarray:
    """Sorted, each once; sorting integers is several times as fast as `np.unique`."""
    keys = np.sort(keys)
    return keys[np.flatnonzero(np.diff(keys, prepend=-1))]


def _keys(ragged: Ragged, rows: np.ndarray) -> np.ndarray:
    place, items = _flatten(ragged, rows)
    return _key(rows[place], items)


def _key(rows: np.ndarray, items: np.ndarray) -> np.ndarray:
    key: np.ndarray = (rows.astype(np.int64) << 32) | items
    return key


def _contains(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Which of `wanted` are among the sorted `keys` (at least one)."""
    found: np.ndarray = keys[np.searchsorted(keys, wanted).clip(max=len(keys) - 1)] == wanted
    return found


def _flatten(ragged: Ragged, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places in `rows`, and items, of everything in these rows."""
    place, flat = _flat(ragged, rows)
    return place, ragged.values["item"][flat]


def _flat(ragged: Ragged, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places in `rows`, and positions among the values, of everything in these rows."""
    begin, end = ragged.offsets[rows], ragged.offsets[rows + 1]
    place = np.repeat(np.arange(len(rows)), end - begin)
    first = np.cumsum(end - begin) - (end - begin)
    return place, begin[place] + np.arange(len(place)) - first[place]
