import math

import numpy as np
import pytest
from sklearn.metrics import ndcg_score, roc_auc_score

from mtkit.standard.order_metrics import Auc, Gauc, Ndcg
from mtkit.testing import check_spec


def rows(count=300, users=40, seed=0):
    """Labels, tied probabilities, weights and users, some of whom have labels of one kind."""
    generator = np.random.default_rng(seed)
    groups = generator.integers(0, users, count)
    labels = (generator.random(count) < generator.random(users)[groups] ** 2).astype(np.float32)
    predictions = generator.random(count).round(1).astype(np.float32)
    return labels, predictions, (generator.random(count) + 0.1).astype(np.float32), groups


def gauc(labels, predictions, weights, groups, by):
    """User by user, with scikit-learn."""
    areas, counts = [], []
    for user in set(groups.tolist()):
        own = groups == user
        if len(set(labels[own].tolist())) == 2:
            areas.append(roc_auc_score(labels[own], predictions[own], sample_weight=weights[own]))
            counts.append(weights[own].sum() if by == "rows" else 1)
    return np.average(areas, weights=counts)


@pytest.mark.parametrize("by", ["rows", "users"])
@pytest.mark.parametrize("seed", range(3))
def test_gauc_equals_scikit_learn_user_by_user(by, seed):
    metric = Gauc(by=by)
    check_spec(metric)
    assert metric.value(*rows(seed=seed)) == pytest.approx(gauc(*rows(seed=seed), by))


def test_one_user_has_the_area_of_all():
    labels, predictions, weights, _ = rows()
    one = np.zeros(len(labels), int)
    assert Gauc().value(labels, predictions, weights, one) == pytest.approx(Auc().value(labels, predictions, weights))


@pytest.mark.parametrize("by", ["rows", "users"])
def test_contributions_of_users_say_what_the_metric_is_without_them(by):
    labels, predictions, weights, groups = (values.astype(float) for values in rows(4000, 400))
    metric = Gauc(by=by)
    value, (values, own) = (f(labels, predictions, weights, groups) for f in (metric.value, metric.contributions))
    assert np.average(values, weights=own) == pytest.approx(value)
    for user in range(5):
        kept = groups != user
        without = metric.value(labels[kept], predictions[kept], weights[kept], groups[kept])
        assert without == pytest.approx(np.average(values[kept], weights=own[kept]))


def test_users_with_one_kind_of_labels_do_not_count():
    labels, predictions = np.array([1.0, 1, 0, 0]), np.array([0.1, 0.2, 0.3, 0.4])
    groups = np.array([1, 1, 2, 2])
    assert math.isnan(Gauc().value(labels, predictions, np.ones(4), groups))
    assert Gauc().contributions(labels, predictions, np.ones(4), groups) is None
    assert Gauc().value(labels, predictions, np.ones(4), np.array([1, 1, 1, 2])) == 0
    assert math.isnan(Gauc().value(labels[:0], predictions[:0], np.ones(0), groups[:0]))


@pytest.mark.parametrize("distinct", [1, 2, 5, 10_000])
@pytest.mark.parametrize("rows", [2, 3, 1000])
def test_the_area_is_that_of_scikit_learn_to_the_bit(rows, distinct):
    rng = np.random.default_rng(rows + distinct)
    for kind in (np.float32, np.float64):
        labels = rng.permutation(np.append([0, 1], rng.integers(0, 2, rows - 2))).astype(np.float32)
        predictions = (rng.integers(0, distinct, rows) / distinct).astype(np.float32)
        for weights in (np.ones(rows, kind), rng.random(rows).astype(kind)):
            assert Auc().value(labels, predictions, weights) == roc_auc_score(
                labels, predictions, sample_weight=weights
            )


def test_rows_without_weight_do_not_count():
    labels, predictions, weights = np.array([1.0, 0, 1]), np.array([0.2, 0.5, 0.9]), np.array([1.0, 1, 0])
    assert Auc().value(labels, predictions, weights) == 0
    assert np.isnan(Auc().value(labels, predictions, np.array([1.0, 0, 1])))


@pytest.mark.parametrize("seed", range(3))
def test_ndcg_equals_scikit_learn_user_by_user(seed):
    check_spec(Ndcg())
    labels, predictions, _, groups = rows(seed=seed)
    each = []
    for user in set(groups.tolist()):
        own = groups == user
        if len(set(labels[own].tolist())) == 2:
            each.append(ndcg_score([labels[own]], [predictions[own]]))
    assert Ndcg().value(labels, predictions, np.ones(len(labels)), groups) == pytest.approx(np.mean(each))


def test_ndcg_of_weights_that_are_no_whole_numbers_lies_between_those_that_are():
    labels, predictions, groups = np.array([0.0, 1, 0, 1]), np.array([0.9, 0.5, 0.4, 0.1]), np.ones(4, int)
    found = [Ndcg().value(labels, predictions, np.array([w, 1, 1, 1]), groups) for w in (1, 1.5, 2)]
    assert found[0] > found[1] > found[2]


def test_contributions_to_ndcg_say_what_it_is_without_users():
    labels, predictions, weights, groups = (values.astype(float) for values in rows(4000, 400))
    value, (values, own) = (f(labels, predictions, weights, groups) for f in (Ndcg().value, Ndcg().contributions))
    assert np.average(values, weights=own) == pytest.approx(value)
    for user in range(5):
        kept = groups != user
        without = Ndcg().value(labels[kept], predictions[kept], weights[kept], groups[kept])
        assert without == pytest.approx(np.average(values[kept], weights=own[kept]))


def test_ndcg_without_users_of_both_kinds_is_undefined():
    given = np.array([1.0, 1, 0, 0]), np.array([0.1, 0.2, 0.3, 0.4]), np.ones(4), np.array([1, 1, 2, 2])
    assert math.isnan(Ndcg().value(*given))
    assert Ndcg().contributions(*given) is None


def test_ndcg_of_grades():
    labels, predictions = np.array([0.0, 3, 1, 2, 2]), np.array([0.9, 0.5, 0.4, 0.1, 0.0])
    discounts = 1 / np.log2(np.arange(2, 7))
    expected = (2**labels - 1) @ discounts / ((2 ** np.sort(labels)[::-1] - 1) @ discounts)
    alike = np.append(labels, [2, 2]), np.append(predictions, [0.3, 0.2]), np.ones(7), np.array([1] * 5 + [2] * 2)
    assert Ndcg().value(*alike) == pytest.approx(expected)
