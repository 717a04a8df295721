import numpy as np
import pytest

from mtkit.data.running_sums import RunningSums, Timeline


def slowly(key, moment, values, half_life, asked_key, asked_moment):
    """One question after another, one event after another."""
    found = np.zeros((len(asked_key), values.shape[1]))
    for row, (of, at) in enumerate(zip(asked_key, asked_moment, strict=True)):
        for event in range(len(key)):
            if key[event] == of > 0 and moment[event] < at:
                fading = 1 if half_life is None else 2.0 ** ((int(moment[event]) - int(at)) / half_life)
                found[row] += values[event] * fading
    return found


@pytest.mark.parametrize("half_life", [None, 5.0, 0.01])
@pytest.mark.parametrize("seed", range(8))
def test_sums_are_those_of_the_events_before(seed, half_life):
    rng = np.random.default_rng(seed)
    events = int(rng.integers(0, 90))
    key, moment = rng.integers(0, 6, events), rng.integers(-20, 20, events)  # many at the same moment
    key[key == 5] = 2**61
    values = rng.normal(size=(events, 3))
    asked = rng.choice([0, 1, 2, 3, 4, 7, 2**61, 2**62], 60), rng.integers(-25, 40, 60)
    found = RunningSums(Timeline(moment), key, values, half_life).before(*asked)
    np.testing.assert_allclose(found, slowly(key, moment, values, half_life, *asked), atol=1e-12)


def test_counts_are_exact_and_large_values_of_other_keys_take_nothing_from_them():
    rng = np.random.default_rng(0)
    key, moment = rng.integers(1, 4, 5000), rng.integers(0, 10**9, 5000)
    values = np.where(key[:, None] == 1, 1e15, 1.0)
    sums = RunningSums(Timeline(moment), key, values).before(np.array([2, 3]), np.array([10**9, 10**9]))
    assert sums[:, 0].tolist() == [(key == 2).sum(), (key == 3).sum()]


def test_half_lives_that_are_short_for_the_time_between_do_not_overflow():
    moment = np.array([0, 10**9, 10**9 + 1])
    found = RunningSums(Timeline(moment), np.ones(3, int), np.ones((3, 1)), half_life=1.0)
    assert found.before(np.ones(1, int), np.array([10**9 + 2]))[0, 0] == 0.75
    assert found.keys.tolist() == [1]
