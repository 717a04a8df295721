import math

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, mean_tweedie_deviance

from mtkit.standard.decision_metrics import F1, Accuracy, Lift, Precision, Profit, Recall
from mtkit.standard.order_metrics import Auc, PrAuc
from mtkit.standard.prediction_metrics import (
    Brier,
    CalibrationError,
    LogLoss,
    Mae,
    NormalizedEntropy,
    PoissonDeviance,
    QuadraticKappa,
    Rmse,
    TweedieDeviance,
)
from mtkit.testing import check_prediction_metric, check_spec

BOTH = [LogLoss(), NormalizedEntropy(), Brier(), CalibrationError(), Accuracy(), Recall(), Precision(), F1()]
METRICS = [Auc(), PrAuc(), *BOTH]


def binary(rows=200, seed=0):
    """Labels, probabilities with ties, and weights."""
    generator = np.random.default_rng(seed)
    labels = (generator.random(rows) < 0.3).astype(np.float32)
    predictions = np.clip(generator.random(rows).round(1) * 0.6 + labels * 0.3, 0.01, 0.99).astype(np.float32)
    return labels, predictions, (generator.random(rows) + 0.1).astype(np.float32)


def classes(rows=200, number=5):
    generator = np.random.default_rng(1)
    labels = generator.integers(0, number - 1, rows).astype(np.int32)
    logits = generator.standard_normal((rows, number)) + 2 * np.eye(number)[labels]
    predictions = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return labels, predictions.astype(np.float32), (generator.random(rows) + 0.1).astype(np.float32)


def auc(labels, predictions, weights):
    won = total = 0.0
    for label, high, weight in zip(labels, predictions, weights, strict=True):
        for other, low, other_weight in zip(labels, predictions, weights, strict=True):
            if label == 1 and other == 0:
                total += float(weight) * float(other_weight)
                won += float(weight) * float(other_weight) * (float(high > low) + 0.5 * float(high == low))
    return won / total


def log_loss(labels, predictions, weights):
    chances = [
        float(p[int(label)]) if predictions.ndim == 2 else float(p if label else 1 - p)
        for label, p in zip(labels, predictions, strict=True)
    ]
    return -np.average(np.log(chances), weights=weights)


def decided(predictions):
    return [int(np.argmax(p)) if predictions.ndim == 2 else int(p > 0.5) for p in predictions]


def accuracy(labels, predictions, weights):
    return np.average([a == b for a, b in zip(labels, decided(predictions), strict=True)], weights=weights)


def counts(labels, predictions, weights, alone=True):
    """For each class that counts: weight of true positives, of labels, of predictions."""
    chosen = decided(predictions)
    for number in range(predictions.shape[1]) if predictions.ndim == 2 else [1] if alone else [0, 1]:
        is_label, is_chosen = labels == number, np.array(chosen) == number
        yield weights[is_label & is_chosen].sum(), weights[is_label].sum(), weights[is_chosen].sum()


def recall(labels, predictions, weights, alone=True):
    return np.mean([true / labeled for true, labeled, _ in counts(labels, predictions, weights, alone) if labeled])


def f1(labels, predictions, weights, alone=True):
    values = [2 * t / (n + m) for t, n, m in counts(labels, predictions, weights, alone) if n + m]
    return np.mean(values)


def pr_auc(labels, predictions, weights):
    """Steps from the highest threshold down."""
    area = reached = 0.0
    for threshold in sorted(set(predictions), reverse=True):
        found = predictions >= threshold
        hits, recalled = weights[found & (labels == 1)].sum(), reached
        reached = hits / weights[labels == 1].sum()
        area += (reached - recalled) * hits / weights[found].sum()
    return area


def normalized_entropy(labels, predictions, weights):
    shares = [weights[labels == number].sum() / weights.sum() for number in set(labels)]
    return log_loss(labels, predictions, weights) / -sum(share * math.log(share) for share in shares)


def brier(labels, predictions, weights):
    errors = [
        sum((float(p) - (number == label)) ** 2 for number, p in enumerate(row))
        if predictions.ndim == 2
        else (float(row) - label) ** 2
        for label, row in zip(labels, predictions, strict=True)
    ]
    return np.average(errors, weights=weights)


def calibration_error(labels, predictions, weights, bins=15):
    error = 0.0
    confidence = predictions.max(axis=1) if predictions.ndim == 2 else predictions
    right = decided(predictions) == labels if predictions.ndim == 2 else labels
    below = [weights[confidence < own].sum() + weights[confidence == own].sum() / 2 for own in confidence]
    place = np.floor(np.array(below) / weights.sum() * bins)
    for number in range(bins):
        inside = place == number
        if inside.any():
            share = weights[inside].sum() / weights.sum()
            error += share * abs(np.average((confidence - right)[inside], weights=weights[inside]))
    return error


def precision(labels, predictions, weights, alone=True):
    return np.mean([true / found for true, _, found in counts(labels, predictions, weights, alone) if found])


def weighted_recall(labels, predictions, weights):
    values = [(true / n, n) for true, n, _ in counts(labels, predictions, weights, alone=False) if n]
    return np.average([value for value, _ in values], weights=[n for _, n in values])


def weighted_precision(labels, predictions, weights):
    values = [(true / found, n) for true, n, found in counts(labels, predictions, weights, alone=False) if found]
    return np.average([value for value, _ in values], weights=[n for _, n in values])


def weighted_f1(labels, predictions, weights):
    values = [(2 * t / (n + m), n) for t, n, m in counts(labels, predictions, weights, alone=False) if n + m]
    return np.average([value for value, _ in values], weights=[n for _, n in values])


SLOW = [
    (LogLoss(), log_loss),
    (NormalizedEntropy(), normalized_entropy),
    (Brier(), brier),
    (CalibrationError(), calibration_error),
    (CalibrationError(bins=3), lambda *rows: calibration_error(*rows, bins=3)),
    (Accuracy(), accuracy),
    (Recall(), recall),
    (Precision(), precision),
    (Recall(average="macro"), lambda *rows: recall(*rows, alone=False)),
    (Precision(average="macro"), lambda *rows: precision(*rows, alone=False)),
    (F1(average="macro"), lambda *rows: f1(*rows, alone=False)),
    (Recall(average="weighted"), weighted_recall),
    (Precision(average="weighted"), weighted_precision),
    (F1(), f1),
    (F1(average="weighted"), weighted_f1),
]


@pytest.mark.parametrize("metric", METRICS)
def test_specs(metric):
    check_spec(metric)


@pytest.mark.parametrize(("metric", "slow"), [(Auc(), auc), (PrAuc(), pr_auc), *SLOW])
def test_binary_equals_plain_loops(metric, slow):
    assert metric.value(*binary()) == pytest.approx(slow(*binary()), rel=1e-5)


@pytest.mark.parametrize(("metric", "slow"), SLOW)
def test_classes_equal_plain_loops_where_one_is_never_a_label(metric, slow):
    assert metric.value(*classes()) == pytest.approx(slow(*classes()), rel=1e-5)


def influences(metric, labels, predictions, weights):
    """How the metric moves with the weight of each row, by differences, on the scale of all rows."""
    found = []
    for row in range(len(labels)):
        step = 1e-5 * (np.arange(len(labels)) == row)
        low, high = (metric.value(labels, predictions, weights + sign * step) for sign in (-1, 1))
        found.append((high - low) / 2e-5 * weights.sum())
    return np.array(found)


NUMERIC = [Rmse(), Mae()]


@pytest.mark.parametrize("metric", [*dict(SLOW), Auc(), PrAuc(), *NUMERIC], ids=repr)
@pytest.mark.parametrize("rows", [binary, classes])
def test_contributions_are_the_metric_and_its_derivative(metric, rows):
    if rows is classes and "classes" not in metric.labels:
        return
    labels, predictions, weights = (values.astype(float) for values in rows(60))
    value, (values, own) = (
        metric.value(labels, predictions, weights),
        metric.contributions(labels, predictions, weights),
    )
    assert np.average(values, weights=own) == pytest.approx(value)
    moved = (values - value) * own / weights * weights.sum() / own.sum()
    np.testing.assert_allclose(moved, influences(metric, labels, predictions, weights), atol=1e-6)


@pytest.mark.parametrize("metric", [*METRICS, *NUMERIC])
def test_what_is_undefined_has_no_contributions(metric):
    labels, predictions, weights = binary(20)
    predictions[3] = np.nan
    assert metric.contributions(labels, predictions, weights) is None
    assert metric.contributions(*binary(0)) is None


@pytest.mark.parametrize("metric", NUMERIC)
def test_errors_of_numbers_equal_scikit_learn(metric):
    from sklearn.metrics import mean_absolute_error, root_mean_squared_error

    generator = np.random.default_rng(3)
    labels, predictions = generator.normal(3, 2, 50).astype(np.float32), generator.normal(3, 2, 50).astype(np.float32)
    weights = generator.random(50).astype(np.float32)
    slow = mean_absolute_error if isinstance(metric, Mae) else root_mean_squared_error
    assert metric.value(labels, predictions, weights) == pytest.approx(slow(labels, predictions, sample_weight=weights))
    assert metric.value(labels, labels, weights) == 0
    assert math.isnan(metric.value(labels[:0], labels[:0], weights[:0]))


@pytest.mark.parametrize("metric", METRICS)
def test_weight_2_is_the_row_twice(metric):
    labels, predictions, _ = binary()
    twice = np.arange(len(labels)) < 50
    repeated = np.concatenate([np.arange(len(labels)), np.flatnonzero(twice)])
    ones = np.ones(len(repeated), np.float32)
    weighted = metric.value(labels, predictions, (1 + twice).astype(np.float32))
    assert weighted == pytest.approx(metric.value(labels[repeated], predictions[repeated], ones))


@pytest.mark.parametrize(
    ("metric", "label", "prediction"),
    [
        (Auc(), 1, 0.7),
        (Auc(), 0, 0.7),
        (PrAuc(), 0, 0.7),
        (NormalizedEntropy(), 0, 0.7),
        (NormalizedEntropy(), 1, 0.7),
        (Recall(), 0, 0.7),
        (Recall(), 0, 0.2),
        (Precision(), 1, 0.2),
        (F1(), 0, 0.2),
    ],
)
def test_is_nan_where_undefined(metric, label, prediction):
    for rows in (1, 3):
        ones = np.ones(rows, np.float32)
        assert math.isnan(metric.value(label * ones, prediction * ones, ones))


@pytest.mark.parametrize(
    ("metric", "label", "prediction", "value"),
    [
        (LogLoss(), 1, 0.5, math.log(2)),
        (Accuracy(), 1, 0.7, 1),
        (Accuracy(), 1, 0.5, 0),
        (PrAuc(), 1, 0.2, 1),
        (Brier(), 1, 0.5, 0.25),
        (CalibrationError(), 1, 1.0, 0),
        (CalibrationError(), 0, 1.0, 1),
        (Recall(), 1, 0.2, 0),
        (Precision(), 0, 0.7, 0),
        (F1(), 0, 0.7, 0),
        (F1(), 1, 0.7, 1),
    ],
)
def test_one_row(metric, label, prediction, value):
    one = np.ones(1, np.float32)
    assert metric.value(label * one, prediction * one, one) == pytest.approx(value)


@pytest.mark.parametrize("metric", METRICS)
def test_no_rows_and_predictions_that_are_no_numbers_give_nan(metric):
    assert math.isnan(metric.value(*binary(0)))
    labels, predictions, weights = binary(20)
    predictions[3] = np.nan
    assert math.isnan(metric.value(labels, predictions, weights))


def test_brier_equals_scikit_learn():
    from sklearn.metrics import brier_score_loss

    labels, predictions, weights = binary()
    assert Brier().value(*binary()) == pytest.approx(brier_score_loss(labels, predictions, sample_weight=weights))


def test_normalized_entropy_of_the_base_rate_is_1():
    labels, _, weights = binary()
    rate = np.average(labels, weights=weights)
    assert NormalizedEntropy().value(labels, np.full(len(labels), rate), weights) == pytest.approx(1)


def test_log_loss_of_certainty_is_finite():
    certain = np.array([0, 1], np.float32)
    assert LogLoss().value(certain, certain, certain + 1) == pytest.approx(0, abs=1e-6)
    assert 10 < LogLoss().value(1 - certain, certain, certain + 1) < 50


@pytest.mark.parametrize("metric", BOTH)
def test_few_rows_of_many_classes_raise_no_warning(metric):
    predictions = np.full((30, 25), 1 / 25, np.float32)
    assert math.isfinite(metric.value(np.arange(30, dtype=np.int32) % 25, predictions, np.ones(30, np.float32)))


def test_deviances_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    labels, weights = rng.poisson(2, 100).astype(np.float32), rng.random(100) + 0.1
    means = (rng.random(100) * 4 + 0.1).astype(np.float32)
    for metric, power in ((PoissonDeviance(), 1), (TweedieDeviance(), 1.5), (TweedieDeviance(power=1.9), 1.9)):
        expected = mean_tweedie_deviance(labels, means, sample_weight=weights, power=power)
        assert metric.value(labels, means, weights) == pytest.approx(expected, rel=1e-6)
    ones = np.ones(2)
    for labels, means in (([-1, 0], [1, 1]), ([1, 0], [-1, 1]), ([1, 0], [0, 1]), ([1, 0], [np.nan, 1])):
        assert math.isnan(PoissonDeviance().value(np.array(labels), np.array(means, float), ones))
    assert PoissonDeviance().value(np.zeros(2), np.zeros(2), ones) == 0


def test_classes_in_an_order_are_predicted_by_their_median():
    labels, predictions, weights = classes()
    chosen = np.array([int(np.argmax(np.cumsum(p) >= p.sum() / 2)) for p in predictions.astype(float)])
    assert Mae().value(labels, predictions, weights) == pytest.approx(
        np.average(np.abs(chosen - labels), weights=weights)
    )
    expected = cohen_kappa_score(labels, chosen, weights="quadratic", sample_weight=weights)
    assert QuadraticKappa().value(labels, predictions, weights) == pytest.approx(expected)
    assert math.isnan(QuadraticKappa().value(np.zeros(3), predictions[:1].repeat(3, 0) * 0 + np.eye(5)[0], np.ones(3)))


def test_influences_on_the_kappa_are_its_derivatives_by_the_weights():
    labels, predictions, weights = classes(50)
    weights = weights.astype(float)
    values, _ = QuadraticKappa().contributions(labels, predictions, weights)
    kappa = QuadraticKappa().value(labels, predictions, weights)
    for row in range(0, 50, 7):
        moved = weights.copy()
        moved[row] += 1e-5 * weights.sum()
        slope = (QuadraticKappa().value(labels, predictions, moved) - kappa) / 1e-5
        assert values[row] - kappa == pytest.approx(slope, abs=1e-3)


def test_profit_is_what_those_bring_who_are_acted_on():
    labels, predictions, weights = (
        np.array([1, 0, 1, 0]),
        np.array([0.9, 0.3, 0.1, 0.1]),
        np.array([1.0, 2.0, 1.0, 1.0]),
    )
    metric = Profit(gain=10, cost=2)
    assert metric.value(labels, predictions, weights) == pytest.approx((8 * 1 - 2 * 2) / 5)
    values, _ = metric.contributions(labels, predictions, weights)
    assert values.tolist() == [8, -2, 0, 0]
    assert np.isnan(metric.value(labels, np.full(4, np.nan), weights))
    assert metric.contributions(labels, np.full(4, np.nan), weights) is None


def test_no_other_threshold_brings_more_with_true_probabilities():
    generator = np.random.default_rng(0)
    chances = generator.random(200_000) ** 3
    labels, weights = (generator.random(200_000) < chances).astype(int), np.ones(200_000)

    def brought(threshold):
        return Profit(gain=10, cost=2).value(labels, (chances > threshold).astype(float), weights)

    own = Profit(gain=10, cost=2).value(labels, chances, weights)
    assert own == brought(0.2)
    assert all(own > brought(other) for other in (0.05, 0.1, 0.4, 0.6))


def test_lift_is_the_rate_at_the_top_over_the_rate_of_all():
    labels, ones = np.array([1, 1, 0, 1, 0, 0, 0, 0, 0, 0]), np.ones(10)
    order = np.arange(10, 0, -1) / 10
    assert Lift(share=0.2).value(labels, order, ones) == pytest.approx(1 / 0.3)
    assert Lift(share=0.3).value(labels, order, ones) == pytest.approx(2 / 3 / 0.3)
    assert Lift().value(labels, np.full(10, 0.5), ones) == pytest.approx(1)
    twice = np.r_[0, 0, 1:10]
    weighed = Lift(share=0.25).value(labels, order, np.array([2.0, *ones[1:]]))
    assert weighed == pytest.approx(Lift(share=0.25).value(labels[twice], order[twice], np.ones(11)))
    assert np.isnan(Lift().value(np.zeros(10), order, ones))
    assert np.isnan(Lift().value(labels, np.full(10, np.nan), ones))


@pytest.mark.parametrize("metric", [Profit(gain=3, cost=1), Lift(share=0.3)])
def test_metrics_of_campaigns_keep_to_the_rules(metric):
    check_spec(metric)
    check_prediction_metric(metric)
