import math

import numpy as np
import pandas as pd
import pytest

from mtkit.data.split_clocks import (
    DAY,
    SHUFFLED_DAYS,
    TEST,
    TRAIN,
    VALID,
    drawn_parts,
    last_parts,
    own_clock,
    shuffled_moments,
)


@pytest.fixture
def log():
    """Interactions of few moments, so that there are ties, of users of whom some have little."""
    rng = np.random.default_rng(0)
    user = np.append(rng.integers(0, 30, 300), [30, 31, 31, 32, 32, 32])
    return pd.DataFrame({"user": user, "time": rng.integers(0, 50, len(user)) * DAY})


def test_the_last_are_left_out_as_pandas_would(log):
    for count in (1, 2):
        parts = last_parts(log["user"].to_numpy(), np.arange(len(log)), log["time"].to_numpy(), count)
        for _, mine in log.sort_values("time", kind="stable").groupby("user"):
            size = len(mine)
            test = list(mine.index[-count:]) if size > count else []
            valid = list(mine.index[-2 * count : -count]) if size > 2 * count else []
            assert sorted(test) == [i for i in sorted(mine.index) if parts[i] == TEST]
            assert sorted(valid) == [i for i in sorted(mine.index) if parts[i] == VALID]
    assert parts[log["user"] == 30].tolist() == [TRAIN]


def test_a_basket_is_left_out_as_one():
    user, basket = np.zeros(6, np.int64), np.array([0, 1, 1, 2, 2, 0])
    parts = last_parts(user, basket, np.array([5, 1, 2, 3, 9, 0]), 1)
    assert parts.tolist() == [TRAIN, VALID, VALID, TEST, TEST, TRAIN]


@pytest.mark.parametrize("part", [VALID, TEST])
def test_on_a_clock_of_ones_own_the_part_begins_at_the_cut(log, part):
    user, time = log["user"].to_numpy(), log["time"].to_numpy()
    parts = last_parts(user, np.arange(len(log)), time, 2)
    moments, cut, end = own_clock(user, time, parts, part)
    assert (moments[parts < part] < cut).all()
    assert ((moments[parts == part] >= cut) & (moments[parts == part] < end)).all()
    assert (moments[parts > part] >= end).all()
    for one in np.unique(user[parts == part]):
        mine = user == one
        begin = time[mine & (parts == part)].min()
        assert moments[mine & (parts == part)].min() == cut
        for known in np.flatnonzero(mine & (parts < part)):
            assert cut - moments[known] == max(begin - time[known], 1)


def recbole(size, valid, test):
    """Sizes of validation and test as in `recbole.data.dataset.Dataset._calcu_split_ids`."""
    ratios = [1 - valid - test, valid, test]
    counts = [int(ratio * size) for ratio in ratios]
    counts[0] = size - sum(counts[1:])
    for i in range(1, len(ratios)):
        if counts[0] <= 1:
            break
        if 0 < ratios[-i] * size < 1:
            counts[-i] += 1
            counts[0] -= 1
    return counts[1:]


@pytest.mark.parametrize("shares", [(0.1, 0.1), (0.25, 0.3), (0.05, 0.2)])
def test_shares_of_users_are_those_of_recbole(shares):
    user = np.random.default_rng(1).permutation(np.repeat(np.arange(45), np.arange(45)))
    parts = drawn_parts(np.arange(len(user)), user, *shares, seed=3)
    for one in range(1, 45):
        mine = parts[user == one]
        assert [int((mine == part).sum()) for part in (VALID, TEST)] == recbole(one, *shares)


def test_draws_are_uniform_and_of_the_seed():
    one = np.zeros(10, np.int64)
    drawn = np.array([drawn_parts(np.arange(10), one, 0.3, 0.2, seed) for seed in range(400)])
    assert (np.abs((drawn == TEST).mean(0) - 0.2) < 4 * math.sqrt(0.2 * 0.8 / 400)).all()
    assert ((drawn == TEST).sum(1) == 2).all()
    np.testing.assert_array_equal(drawn[3], drawn_parts(np.arange(10), one, 0.3, 0.2, 3))


def test_units_are_drawn_whole():
    unit = np.random.default_rng(2).integers(0, 20, 100)
    parts = pd.Series(drawn_parts(unit, np.zeros(100, np.int64), 0.2, 0.2, seed=0))
    assert (parts.groupby(unit).min() == parts.groupby(unit).max()).all()
    assert parts.groupby(unit).first().value_counts().to_dict() == {TRAIN: 12, VALID: 4, TEST: 4}


def test_shuffled_moments_are_uniform_and_one_for_each_basket():
    group = np.repeat(np.arange(2000), 2)
    moments = shuffled_moments(group, seed=0)
    np.testing.assert_array_equal(moments[::2], moments[1::2])
    share, _ = np.histogram(moments[::2], 10, (0, SHUFFLED_DAYS * DAY))
    assert (np.abs(share / 2000 - 0.1) < 4 * math.sqrt(0.1 * 0.9 / 2000)).all()
