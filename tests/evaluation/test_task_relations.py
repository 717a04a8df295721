import numpy as np
import pytest
from scipy.stats import t, ttest_rel

from mtkit.evaluation.significance import paired
from mtkit.evaluation.task_relations import (
    Conflict,
    Effect,
    Gain,
    Spread,
    adjusted,
    conflict_of,
    effect_of,
    gain_of,
    gain_of_values,
    mean_gain,
    spread_of_fits,
    verdict_of,
)
from mtkit.evaluation.user_sums import UserSums


def sums_of(values, weights=None):
    weights = np.ones(len(values)) if weights is None else weights
    users = np.arange(len(values)).astype(str).astype(object)
    return UserSums("user", users, weights, {"m": values * weights}, {"m": weights})


def drawn(rng, seeds, users, of_users=1.0, of_seeds=1.0, of_both=1.0):
    """A fit's values by seed and user, of mean 0, in which users and seeds are drawn."""
    parts = (
        of_users * rng.normal(size=users),
        of_seeds * rng.normal(size=(seeds, 1)),
        of_both * rng.normal(size=(seeds, users)),
    )
    return sum(parts)


def test_of_one_seed_it_is_the_paired_test_of_runs():
    rng = np.random.default_rng(0)
    weights = rng.integers(1, 5, 40).astype(float)
    one, two = (sums_of(rng.normal(size=40), weights) for _ in range(2))
    effect, (expected,) = effect_of(gain_of([one], [two], "m", lower=False)), paired("a/", one, two)
    assert effect.gain == pytest.approx(expected.difference)
    assert effect.p == pytest.approx(expected.p)
    # Of normal quantiles there, of Student's here.
    assert effect.detectable == pytest.approx(expected.detectable, rel=0.05)


def test_less_may_be_better():
    one, two = sums_of(np.array([1.0, 2.0, 4.0])), sums_of(np.array([2.0, 3.0, 4.0]))
    more, less = (gain_of([one], [two], "m", lower=lower).value for lower in (False, True))
    assert (more, less) == pytest.approx((2 / 3, -2 / 3))


def test_figures_without_sums_are_tested_by_seeds():
    first, second = [0.5, 0.6, 0.55, 0.4], [0.58, 0.65, 0.6, 0.52]
    effect = effect_of(gain_of_values(first, second, lower=False))
    assert effect.p == pytest.approx(ttest_rel(first, second).pvalue)
    alone = effect_of(gain_of_values(first[:1], second[:1], lower=False))
    assert (alone.p, alone.interval, alone.detectable) == (None, None, None)
    assert adjusted({("", "a"): alone})["", "a"].told == 0


@pytest.mark.parametrize("seeds", [2, 3])
@pytest.mark.parametrize("spreads", [(1, 0, 0.5), (0, 0.3, 0.5), (1, 0.1, 1)], ids=["users", "seeds", "both"])
def test_intervals_hold_what_is_there(seeds, spreads):
    """Seeds and users drawn anew many times: where there is no gain, at least about 95 % of the intervals say so."""
    rng, held, times = np.random.default_rng(1), 0, 400
    for _ in range(times):
        fits = [[sums_of(values) for values in drawn(rng, seeds, 60, *spreads)] for _ in range(4)]
        pooled = spread_of_fits([[sums.totals["m"].mean() for sums in fit] for fit in fits])
        low, high = effect_of(gain_of(fits[0], fits[1], "m", lower=False, fits=pooled)).interval
        held += low <= 0 <= high
    assert held / times > 0.93


def test_what_would_be_seen_is_seen_eight_times_of_ten():
    rng, seen, times = np.random.default_rng(2), [], 400
    for _ in range(times):
        fits = [[sums_of(values) for values in drawn(rng, 3, 80, 1, 0.05, 0)] for _ in range(4)]
        pooled = spread_of_fits([[sums.totals["m"].mean() for sums in fit] for fit in fits])
        gain = gain_of(fits[0], fits[1], "m", lower=False, fits=pooled)
        moved = Gain(gain.values + effect_of(gain).detectable, gain.users, gain.parts, gain.fits)
        seen.append(effect_of(moved).p < 0.05)
    assert 0.72 < np.mean(seen) < 0.92


def test_fits_of_a_figure_tell_of_chance_together():
    figures = [[1.0, 3.0], [2.0, 2.0], [0.0, 4.0]]
    assert spread_of_fits(figures) == Spread(2 * np.mean([2.0, 0.0, 8.0]) / 2, 3)
    assert spread_of_fits([[1.0], [2.0]]) == Spread()


def test_a_mean_of_gains_knows_users_who_are_in_several():
    rng = np.random.default_rng(3)
    gain = gain_of([sums_of(rng.normal(size=30))], [sums_of(rng.normal(size=30))], "m", lower=False)
    same = effect_of(mean_gain([gain, gain]))
    assert (same.gain, same.p) == pytest.approx((gain.value, effect_of(gain).p))
    other = Gain(gain.values, np.array([f"item {n}" for n in range(30)], object), gain.parts)
    assert mean_gain([gain, other]).error()[0] == pytest.approx(gain.error()[0] / np.sqrt(2), rel=0.02)
    assert mean_gain([gain.scaled(2), gain.scaled(-2)]).value == 0


def test_conflicts_over_epochs_and_seeds():
    cosines = [np.array([[-0.5, -0.3], [-0.1, np.nan]]), np.array([[-0.4, 0.2]])]
    found = conflict_of(("a", "b"), "cut", cosines)
    assert found.cosine == pytest.approx(np.mean([-0.5, -0.3, -0.1, -0.4, 0.2]))
    assert (found.conflicts, found.by_epoch) == (0.8, pytest.approx([-0.25, -0.1]))
    means = np.array([-0.4, -0.1, -0.1])  # of two seeds, by epoch
    half = t.ppf(0.975, 2) * means.std(ddof=1) / np.sqrt(3)
    assert found.interval == pytest.approx((means.mean() - half, means.mean() + half))
    assert not found.told
    assert conflict_of(("a", "b"), "cut", [np.array([[-0.39, -0.39], [-0.4, -0.4]])]).told
    assert not conflict_of(("a", "b"), "cut", [np.array([[-0.039, -0.039], [-0.04, -0.04]])]).told
    assert conflict_of(("a", "b"), "cut", [np.full((2, 2), np.nan)]) is None


def effect(told):
    return Effect(0.1 * told, 0.5, [0.1 * told], (-0.2, 0.2), 0.5, 0.05, 0.001 if told else 0.9)


OPPOSED = Conflict(("a", "b"), "cut", -0.5, (-0.6, -0.4), 0.9, [-0.5])
EQUAL, WEAK = {"a": 1.0, "b": 2.0, "c": 1.0}, {"a": 0.1, "b": 2.0, "c": 1.0}


@pytest.mark.parametrize(
    ("effects", "conflicts", "norms", "verdict", "by"),
    [
        ({("", "a"): 1}, [OPPOSED], EQUAL, "keep", []),
        ({("", "a"): 0}, [OPPOSED], EQUAL, "keep", []),
        ({("", "a"): -1}, [OPPOSED], WEAK, "train apart", ["b"]),
        ({("", "a"): -1, ("b", "a"): -1}, [], WEAK, "re-weight", ["b"]),
        ({("", "a"): -1, ("b", "a"): -1, ("c", "a"): 1}, [], EQUAL, "train apart", ["b"]),
        ({("", "a"): -1, ("b", "a"): -1}, [], {}, "train apart", ["b"]),
        ({("", "a"): -1}, [], EQUAL, "re-weight", []),
        ({("", "a"): 0, ("a", "b"): -1}, [], EQUAL, "train apart", ["b"]),
        ({("", "a"): 0, ("a", "b"): -1, ("a", "c"): 1}, [], EQUAL, "keep", []),
        ({("", "a"): 1, ("a", "b"): -1}, [], EQUAL, "keep", []),
    ],
)
def test_the_rule(effects, conflicts, norms, verdict, by):
    found = verdict_of("a", {key: effect(told) for key, told in effects.items()}, conflicts, norms)
    assert (found.verdict, found.by) == (verdict, by)
    assert found.detectable == pytest.approx(0.1)
    assert bool(found.evidence) == (verdict == "train apart" or bool(conflicts) or norms is WEAK or len(effects) > 1)


def test_effects_are_adjusted_together():
    plain = {
        ("", name): Effect(0.1, 1.0, [0.1], (0.0, 0.2), p, 0.1) for name, p in {"a": 0.01, "b": 0.02, "c": 0.6}.items()
    }
    assert [one.p_holm for one in adjusted(plain).values()] == pytest.approx([0.03, 0.04, 0.6])
    assert [one.told for one in adjusted(plain).values()] == [1, 1, 0]
