import math

import numpy as np
import pytest

from mtkit.standard.prediction_metrics import F1, Accuracy, Auc, LogLoss, Recall

METRICS = [Auc(), LogLoss(), Accuracy(), Recall(), F1()]


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


def counts(labels, predictions, weights):
    """For each class that counts: weight of true positives, of labels, of predictions."""
    chosen = decided(predictions)
    for number in range(predictions.shape[1]) if predictions.ndim == 2 else [1]:
        is_label, is_chosen = labels == number, np.array(chosen) == number
        yield weights[is_label & is_chosen].sum(), weights[is_label].sum(), weights[is_chosen].sum()


def recall(labels, predictions, weights):
    return np.mean([true / labeled for true, labeled, _ in counts(labels, predictions, weights) if labeled])


def f1(labels, predictions, weights):
    values = [2 * t / (n + m) for t, n, m in counts(labels, predictions, weights) if n + m]
    return np.mean(values)


SLOW = [(LogLoss(), log_loss), (Accuracy(), accuracy), (Recall(), recall), (F1(), f1)]


@pytest.mark.parametrize(("metric", "slow"), [(Auc(), auc), *SLOW])
def test_binary_equals_plain_loops(metric, slow):
    assert metric.value(*binary()) == pytest.approx(slow(*binary()), rel=1e-5)


@pytest.mark.parametrize(("metric", "slow"), SLOW)
def test_classes_equal_plain_loops_where_one_is_never_a_label(metric, slow):
    assert metric.value(*classes()) == pytest.approx(slow(*classes()), rel=1e-5)


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
    [(Auc(), 1, 0.7), (Auc(), 0, 0.7), (Recall(), 0, 0.7), (Recall(), 0, 0.2), (F1(), 0, 0.2)],
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
        (Recall(), 1, 0.2, 0),
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


def test_log_loss_of_certainty_is_finite():
    certain = np.array([0, 1], np.float32)
    assert LogLoss().value(certain, certain, certain + 1) == pytest.approx(0, abs=1e-6)
    assert 10 < LogLoss().value(1 - certain, certain, certain + 1) < 50


@pytest.mark.parametrize("metric", [LogLoss(), Accuracy(), Recall(), F1()])
def test_few_rows_of_many_classes_raise_no_warning(metric):
    predictions = np.full((30, 25), 1 / 25, np.float32)
    assert math.isfinite(metric.value(np.arange(30, dtype=np.int32) % 25, predictions, np.ones(30, np.float32)))
