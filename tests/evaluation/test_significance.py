import numpy as np
import pytest
from scipy.stats import norm, ttest_rel

from mtkit.evaluation.significance import REPLICATES, Difference, holm, interval_results, intervals, paired, replicates
from mtkit.evaluation.user_sums import MODEL, UserSums
from mtkit.recipe.settings import Evaluate
from mtkit.standard.order_metrics import Auc
from mtkit.standard.prediction_metrics import LogLoss


def sums(values, weights=None, users=None):
    """One metric `m` of users with means `values`."""
    weights = np.ones(len(values)) if weights is None else weights
    users = np.arange(len(values)) if users is None else users
    return UserSums("user", users, np.ones(len(values)), {"m": values * weights}, {"m": weights})


def test_intervals_are_those_of_the_normal_distribution_where_users_are_many():
    generator = np.random.default_rng(0)
    values = generator.normal(3, 2, 4000)
    low, high = intervals({"next/": sums(values)})["next/m"]
    spread = 1.96 * values.std() / np.sqrt(len(values))
    assert [low, high] == pytest.approx([values.mean() - spread, values.mean() + spread], abs=0.1 * spread)


def test_intervals_cover_as_often_as_they_say():
    """In 300 samples of 60 users; binomial spread of the share is about 1.3 points, small samples lose one."""
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(300):
        low, high = intervals({"a/": sums(generator.exponential(1, 60))})["a/m"]
        covered += low <= 1 <= high
    assert 0.88 <= covered / 300 <= 0.98


def test_users_are_drawn_with_all_their_rows():
    """Against a plain loop: users with many rows count as often as they are drawn, with all of them."""
    weights, values = np.array([1.0, 5, 2]), np.array([0.0, 1, 0.5])
    found = replicates((weights * values)[:, None], weights[:, None])[:, 0]
    assert len(found) == REPLICATES
    generator = np.random.default_rng(0)
    drawn = [generator.integers(0, 3, 3) for _ in range(REPLICATES)]
    expected = [np.average(values[some], weights=weights[some]) for some in drawn]
    np.testing.assert_allclose(found, expected)


def test_blocks_of_replicates_are_the_same_whatever_their_size(monkeypatch):
    weights, totals = np.ones((50, 2)), np.random.default_rng(2).random((50, 2))
    whole = replicates(totals, weights)
    monkeypatch.setattr("mtkit.evaluation.significance._BLOCK", 333)
    np.testing.assert_allclose(replicates(totals, weights), whole)


def test_one_user_and_what_is_undefined_have_no_interval():
    assert intervals({"a/": sums(np.array([1.0]))}) == {}
    assert intervals({"a/": sums(np.array([1.0, np.nan]))}) == {}
    assert interval_results({MODEL: {}, "majority": {}}) == {"test": {}, "baselines": {"majority": {}}}


def test_one_row_per_user_is_the_paired_t_test():
    generator = np.random.default_rng(3)
    one, two = generator.random(40), generator.random(40) + 0.1
    (found,) = paired("next/", sums(one), sums(two))
    assert found.key == "next/m"
    assert found.p == pytest.approx(ttest_rel(one, two).pvalue)
    assert found.difference == pytest.approx(two.mean() - one.mean())
    assert found.interval[0] < found.difference < found.interval[1]


def test_users_of_several_rows_are_tested_as_the_bootstrap_says():
    """The p of the influences, and the share of replicates on the other side of 0, twice."""
    generator = np.random.default_rng(4)
    weights = generator.integers(1, 30, 400).astype(float)
    one = generator.random(400)
    two = one + generator.normal(0.012, 0.2, 400)
    (found,) = paired("a/", sums(one, weights), sums(two, weights))
    drawn = replicates(((two - one) * weights)[:, None], weights[:, None])
    assert found.p == pytest.approx(2 * min(np.mean(drawn < 0), np.mean(drawn > 0)), abs=0.04)
    assert 0.02 < found.p < 0.9


def test_models_that_differ_by_chance_are_rarely_told_apart():
    generator = np.random.default_rng(5)
    weights = generator.integers(1, 10, 100).astype(float)
    found = [
        paired("a/", sums(generator.random(100), weights), sums(generator.random(100), weights))[0].p
        for _ in range(400)
    ]
    assert 0.02 <= np.mean(np.array(found) < 0.05) <= 0.09


def test_ratios_over_rows_of_their_own():
    """Precision: each model has found other rows; against drawing users in a loop."""
    generator = np.random.default_rng(8)
    found = generator.integers(0, 4, (300, 2)).astype(float)
    right = generator.binomial(found.astype(int), [0.5, 0.6]).astype(float)
    one, two = (UserSums("user", np.arange(300), np.ones(300), {"m": right[:, i]}, {"m": found[:, i]}) for i in (0, 1))
    (difference,) = paired("a/", one, two)
    assert difference.values == pytest.approx(tuple(right.sum(axis=0) / found.sum(axis=0)))
    moved = []
    for _ in range(2000):
        drawn = generator.integers(0, 300, 300)
        ratios = right[drawn].sum(axis=0) / found[drawn].sum(axis=0)
        moved.append(ratios[1] - ratios[0])
    assert difference.interval == pytest.approx(tuple(np.quantile(moved, [0.025, 0.975])), abs=0.006)
    z = difference.difference / np.std(moved)
    assert difference.p == pytest.approx(2 * norm.sf(abs(z)), rel=0.5, abs=0.002)


def test_rare_rows_keep_the_interval_of_a_share_within_its_range():
    weights = np.zeros(200)
    weights[:3] = 1
    values = np.array([1.0, 0, 0] + [0.0] * 197)
    low, high = intervals({"a/": sums(values, weights)})["a/m"]
    assert 0 <= low <= 1 / 3 <= high <= 1


def test_equal_and_constant_differences():
    values = np.arange(10.0)
    assert paired("a/", sums(values), sums(values))[0].p == 1
    assert paired("a/", sums(values), sums(values + 1))[0].p == 0
    assert paired("a/", sums(values[:1]), sums(values[:1])) == []
    assert paired("a/", sums(values), sums(np.full(10, np.nan))) == []


def test_holm_against_its_definition():
    p = np.random.default_rng(6).random(20) ** 3
    expected = np.empty(20)
    running = 0.0
    for rank, place in enumerate(np.argsort(p)):
        running = max(running, min(1, (20 - rank) * p[place]))
        expected[place] = running
    np.testing.assert_allclose(holm(p), expected)
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


def test_differences_are_the_second_less_the_first():
    assert Difference("a/m", (0.25, 0.75), (0.4, 0.6), 0.1).difference == 0.5


def test_an_effect_and_what_would_be_seen_are_those_of_the_differences():
    generator = np.random.default_rng(5)
    one = generator.normal(1, 0.3, 400)
    gains = generator.normal(0.1, 0.5, 400)
    (found,) = paired("a/", sums(one), sums(one + gains))
    assert found.effect == pytest.approx(gains.mean() / gains.std(ddof=1))
    assert found.relative == pytest.approx(gains.mean() / one.mean())
    assert found.detectable == pytest.approx((1.959964 + 0.841621) * gains.std(ddof=1) / 20)


def test_a_detectable_difference_is_found_four_times_out_of_five():
    """In 1,000 samples of 200 users; binomial spread of the share is 1.3 points."""
    generator = np.random.default_rng(6)
    noise = np.zeros(200)
    (found,) = paired("a/", sums(noise), sums(generator.normal(0, 1, 200)))
    spread = found.detectable / (1.959964 + 0.841621) * np.sqrt(200)
    samples = generator.normal(found.detectable, spread, (1000, 200))
    share = (ttest_rel(samples, np.zeros_like(samples), axis=1).pvalue < 0.05).mean()
    assert 0.75 <= share <= 0.85


def test_where_all_users_differ_alike_there_is_no_effect():
    values = np.linspace(0, 1, 8)
    (found,) = paired("a/", sums(values), sums(values))
    assert (found.effect, found.detectable, found.p, found.relative) == (None, 0.0, 1.0, 0.0)
    (found,) = paired("a/", sums(np.zeros(8)), sums(values))
    assert found.relative is None


def test_intervals_end_where_their_metric_does():
    """An AUC near 1, drawn by influences, would go beyond it."""
    values = np.r_[np.full(20, 1.2), np.full(20, 0.7)]
    parts = {"a/": sums(values)}
    assert interval_results({MODEL: parts})["test"]["a/m"][1] > 1
    low, high = interval_results({MODEL: parts}, lambda _: (0, 1))["test"]["a/m"]
    assert (low < 1, high) == (True, 1.0)
    settings = Evaluate(prediction_metrics={"auc": Auc(), "log_loss": LogLoss()})
    assert settings.limits("click/new/auc") == (0, 1)
    assert settings.limits("click/log_loss")[1] == settings.limits("next/recall@10")[1] == np.inf
