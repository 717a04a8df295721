import json

import numpy as np
import pytest
from sklearn.metrics import mean_tweedie_deviance

from mtkit.data.label_statistics import count_statistics, label_statistics, thresholds, tweedie_deviance

LABELS, WEIGHTS = np.float32([0, 0, 3, 8, 1e6]), np.float32([1, 1, 1, 2, 0])


def test_moments_are_those_of_rows_with_a_weight():
    rows = np.repeat([0, 0, 3, 8, 8], 1)
    found = label_statistics("standard", LABELS, WEIGHTS)
    assert found == pytest.approx({"mean": rows.mean(), "std": rows.std()})
    assert label_statistics("none", LABELS, WEIGHTS) == {}


def test_logarithms_begin_with_the_factor_by_which_their_mean_becomes_that_of_the_labels():
    rows = np.array([0, 0, 3, 8, 8])
    found = label_statistics("log", LABELS, WEIGHTS)
    logs = np.log1p(rows)
    assert found == pytest.approx(
        {"mean": logs.mean(), "std": logs.std(), "largest": 8, "smearing": (1 + rows.mean()) / np.exp(logs.mean())}
    )


def test_equal_labels_share_their_mean_rank():
    found = label_statistics("rank", LABELS, WEIGHTS)
    assert found["values"] == [0, 3, 8]
    assert found["ranks"] == pytest.approx([0.2, 0.5, 0.8])


def test_many_values_have_as_many_knots_as_are_needed():
    labels = np.random.default_rng(0).lognormal(size=50_000).astype(np.float32)
    found = label_statistics("rank", labels, np.ones(len(labels)))
    assert len(found["values"]) == len(found["ranks"]) <= 1024
    assert (found["values"][0], found["values"][-1]) == (labels.min(), labels.max())
    assert np.interp(np.median(labels), found["values"], found["ranks"]) == pytest.approx(0.5, abs=1e-4)


@pytest.mark.parametrize("target", ["standard", "log", "rank"])
@pytest.mark.parametrize("value", [0.1, 800.0, 0.0])
def test_a_constant_divides_by_nothing(target, value):
    found = label_statistics(target, np.full(7, value, np.float32), np.ones(7))
    assert found.get("std", 1) == 1
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize("power", [1, 1.5])
def test_counts_have_their_mean_and_the_deviance_from_it(power):
    rows = np.array([0, 0, 3, 8, 8])
    found = count_statistics(power, LABELS, WEIGHTS)
    expected = mean_tweedie_deviance(rows, np.full(5, rows.mean()), power=power)
    assert found == pytest.approx({"mean": rows.mean(), "deviance": expected})


@pytest.mark.parametrize("power", [1, 1.5])
@pytest.mark.parametrize("value", [0.0, 0.25, 3.0])
def test_counts_that_are_all_the_same_divide_by_nothing(power, value):
    found = count_statistics(power, np.full(5, value, np.float32), np.ones(5))
    assert found["mean"] == (value or 1)
    assert found["deviance"] > 0


def test_a_mean_of_0_fits_a_label_of_0_alone():
    np.testing.assert_array_equal(tweedie_deviance(np.array([0.0, 2]), np.zeros(2), 1), [0, np.inf])
    assert tweedie_deviance(np.array([0.0]), np.zeros(1), 1.5).tolist() == [0]


def test_thresholds_are_log_odds_of_the_shares_of_classes():
    labels, weights = np.array([0, 0, 1, 3, 3, 3, 2]), np.array([1, 1, 2, 1, 2, 1, 0])
    found = np.array(thresholds(labels, weights, 4))
    np.testing.assert_allclose(1 / (1 + np.exp(-found)), [0.25, 0.5, 0.5], atol=1e-3)
    assert (np.diff(found) > 0).all()
