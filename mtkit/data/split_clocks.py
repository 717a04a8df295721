"""Which part an interaction belongs to where time alone does not say it, and clocks on which the parts lie in order."""

from __future__ import annotations

import numpy as np

from mtkit.types import DAY

TRAIN, VALID, TEST = range(3)

#: Days before the cut over which a split that draws spreads known interactions.
SHUFFLED_DAYS = 100


def last_parts(user: np.ndarray, group: np.ndarray, time: np.ndarray, count: int) -> np.ndarray:
    """Parts int64 `[interactions]` that leave out the last groups of each user.

    The last `count` groups are test if any lie before, and as many before them validation if any lie before those.

    Args:
        user: int64 `[interactions]`, from 0 on.
        group: int64 `[interactions]`, from 0 on, each of one user; ties in time are in the order of the numbers.
        time: int64 `[interactions]`, seconds; a group is where it begins.
        count: how many groups.
    """
    groups, first, group = np.unique(group, return_index=True, return_inverse=True)
    begin = np.full(len(groups), np.iinfo(np.int64).max)
    np.minimum.at(begin, group, time)
    owner = user[first]
    later, size = _places(owner, np.lexsort((-np.arange(len(groups)), -begin, owner)))
    parts = np.full(len(groups), TRAIN)
    parts[(later < 2 * count) & (size > 2 * count)] = VALID
    parts[(later < count) & (size > count)] = TEST
    return parts[group]


def drawn_parts(unit: np.ndarray, stratum: np.ndarray, valid: float, test: float, seed: int) -> np.ndarray:
    """Parts int64 `[interactions]`, drawn for whole units and in each stratum for itself.

    Shares are rounded down; a part that would be empty, though it has a share, gets a unit of training's, test first, if one is
    left there.
    Source: RecBole's `ratio` split.

    Args:
        unit: int64 `[interactions]`, what falls to a part as a whole.
        stratum: int64 `[interactions]`, from 0 on, the same for all of a unit.
        valid: share of validation.
        test: share of test.
        seed: of the draws.
    """
    units, first, unit = np.unique(unit, return_index=True, return_inverse=True)
    stratum = stratum[first]
    key = np.random.default_rng(seed).permutation(len(units))
    place, size = _places(stratum, np.lexsort((key, stratum)))
    tests, valids = (np.floor(share * size).astype(np.int64) for share in (test, valid))
    tests += (tests == 0) & (size - tests - valids > 1) & (test > 0)
    valids += (valids == 0) & (size - tests - valids > 1) & (valid > 0)
    return np.select([place < tests, place < tests + valids], [TEST, VALID], TRAIN)[unit]


def own_clock(user: np.ndarray, time: np.ndarray, parts: np.ndarray, part: int) -> tuple[np.ndarray, int, int]:
    """Shifts each user's times so that the evaluated part starts at the cut; gaps are preserved.

    What is in later parts lies at the end. Users without interactions in the part have their last one just before the
    cut.

    Args:
        user: int64 `[interactions]`, from 0 on.
        time: int64 `[interactions]`, seconds.
        parts: int64 `[interactions]`.
        part: the part that is evaluated.

    Returns:
        Moments int64 `[interactions]`, the cut and the end, in seconds.
    """
    cut = int(time.max()) + 1
    known, evaluated = parts < part, parts == part
    begin, after = np.full(user.max() + 1, np.iinfo(np.int64).max), np.zeros(user.max() + 1, np.int64)
    np.minimum.at(begin, user[evaluated], time[evaluated])
    np.maximum.at(after, user[known], time[known] + 1)
    begin = np.where(begin == np.iinfo(np.int64).max, after, begin)
    moments = cut + time - begin[user]
    moments[known] = np.minimum(moments[known], cut - 1)
    end = int(moments[evaluated].max()) + 1
    moments[parts > part] = end
    return moments, cut, end


def shuffled_moments(group: np.ndarray, seed: int) -> np.ndarray:
    """Moments int64 `[interactions]` drawn uniformly from `SHUFFLED_DAYS` days, one for each group."""
    _, group = np.unique(group, return_inverse=True)
    rng = np.random.default_rng([seed, 1])
    moments: np.ndarray = rng.integers(0, SHUFFLED_DAYS * DAY, group.max(initial=-1) + 1)
    return moments[group]


def _places(owner: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The place of each thing among those of its owner, from 0 on, in an order that has owners together; how many."""
    size = np.bincount(owner)
    place = np.empty(len(owner), np.int64)
    place[order] = np.arange(len(owner)) - (np.cumsum(size) - size)[owner[order]]
    return place, size[owner]
