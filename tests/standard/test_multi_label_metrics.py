import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from mtkit.standard.multi_label_metrics import LabelCoverage, MacroAuc, MicroAuc, PrecisionAt, RecallAt
from mtkit.standard.prediction_metrics import LogLoss
from mtkit.testing import check_prediction_metric, check_spec

METRICS = [PrecisionAt(), RecallAt(k=1), MacroAuc(), MicroAuc(), LabelCoverage()]


@pytest.mark.parametrize("metric", METRICS, ids=repr)
def test_holds_what_all_metrics_hold(metric):
    check_spec(metric)
    check_prediction_metric(metric)


@pytest.fixture
def given():
    rng = np.random.default_rng(1)
    labels = (rng.random((60, 4)) < 0.3).astype(np.float32)
    labels[:5] = 0
    return labels, rng.random((60, 4)).astype(np.float32), rng.integers(1, 4, 60).astype(np.float32)


@pytest.mark.parametrize("k", [1, 2, 9])
def test_the_most_probable_classes_equal_a_count_by_hand(given, k):
    labels, predictions, weights = given
    precision, recall, weight = [], [], []
    for row, scores, times in zip(labels, predictions, weights, strict=True):
        if row.any():
            top = sorted(range(4), key=lambda one: -scores[one])[:k]
            hits = sum(row[one] for one in top)
            precision.append(hits / min(k, 4))
            recall.append(hits / row.sum())
            weight.append(times)
    assert PrecisionAt(k=k).value(*given) == pytest.approx(np.average(precision, weights=weight))
    assert RecallAt(k=k).value(*given) == pytest.approx(np.average(recall, weights=weight))


def test_areas_and_likelihood_equal_those_of_scikit_learn(given):
    labels, predictions, weights = given
    areas = [roc_auc_score(labels[:, c], predictions[:, c], sample_weight=weights) for c in range(4)]
    assert MacroAuc().value(*given) == pytest.approx(np.mean(areas))
    every = labels.ravel(), predictions.ravel(), np.repeat(weights, 4)
    assert MicroAuc().value(*given) == pytest.approx(roc_auc_score(*every[:2], sample_weight=every[2]))
    losses = [log_loss(labels[:, c], predictions[:, c].astype(float), sample_weight=weights) for c in range(4)]
    assert LogLoss().value(*given) == pytest.approx(np.mean(losses))
    labels = labels * np.array([1, 1, 1, 0], np.float32)
    assert MacroAuc().value(labels, predictions, weights) == pytest.approx(np.mean(areas[:3])), "one applies to no row"


def test_coverage_counts_what_training_lacks():
    labels = np.array([[1, 1], [0, 0], [0, 1], [0, 0]], np.float32)
    unseen, weights = np.array([0, 2, 1, 0]), np.array([1, 1, 2, 5], np.float32)
    assert LabelCoverage().value(labels, labels, weights, unseen=unseen) == pytest.approx((2 + 2) / (2 + 2 + 4))


@pytest.mark.parametrize("metric", METRICS, ids=repr)
def test_nothing_to_measure(metric):
    labels = np.zeros((3, 2), np.float32)
    assert np.isnan(metric.value(labels, np.full((3, 2), 0.5, np.float32), np.ones(3, np.float32)))
    assert np.isnan(metric.value(labels[:0], labels[:0], np.ones(0, np.float32)))
