"""The kit has to be able to fail: each test gives it a component with one defect."""

from itertools import count

import numpy as np
import pytest

from mtkit.recipe.registry import Registry
from mtkit.spec import PredictionMetric
from mtkit.standard.baselines import Popularity
from mtkit.standard.feature_baselines import LogisticRegression
from mtkit.standard.order_metrics import Auc
from mtkit.standard.prediction_baselines import Majority
from mtkit.standard.prediction_metrics import Mae
from mtkit.standard.ranking_metrics import Coverage, Ndcg, Recall
from mtkit.testing import check_baseline, check_prediction_metric, check_ranking_metric

OPTIONS = {
    "content_knn": {"by": "text"}, "diversity": {"by": "item.category"}, "miscalibration": {"by": "item.category"},
    "profit": {"gain": 10.0, "cost": 1.5},
}  # fmt: skip


def offered(kind):
    """What mtkit itself offers, with the options that have no default."""
    entries = [entry for entry in Registry.installed().entries() if (entry.kind, entry.distribution) == (kind, "mtkit")]
    return [pytest.param(entry.load()(**OPTIONS.get(entry.name, {})), id=entry.name) for entry in entries]


@pytest.mark.parametrize("metric", offered("ranking_metric"))
def test_ranking_metrics(metric):
    check_ranking_metric(metric)


class OverRows(Ndcg):
    def per_row(self, ranking, k):
        values = super().per_row(ranking, k)
        return values - values.mean()


class Summed(Recall):
    def value(self, ranking, k):
        return float(self.per_row(ranking, k).sum())


class FirstRow(Coverage):
    def value(self, ranking, k):
        return float(ranking.items[0, 0]) if len(ranking.items) else float("nan")


class ZeroOfNothing(Coverage):
    def value(self, ranking, k):
        return super().value(ranking, k) if len(ranking.items) else 0.0


class Alike(Recall):
    def value(self, ranking, k):
        return float(self.per_row(ranking, k).mean()) if len(ranking.items) else float("nan")


class OneValue(Recall):
    def per_row(self, ranking, k):
        return super().per_row(ranking, k).mean(keepdims=True)


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (OverRows(), "of some rows alone and of all differ"),
        (Summed(), "the mean over rows"),
        (FirstRow(), "in another order differ"),
        (ZeroOfNothing(), "of no rows: expected nan, got 0"),
        (OneValue(), "expected a value for each row"),
        (Alike(), "with rows of weight 2 and with two rows each differ"),
    ],
)
def test_ranking_metric_with_a_defect(metric, message):
    with pytest.raises(AssertionError, match=message):
        check_ranking_metric(metric)


@pytest.mark.parametrize("metric", offered("prediction_metric"))
def test_prediction_metrics(metric):
    check_prediction_metric(metric)


class Unweighted(Mae):
    def value(self, labels, predictions, weights):
        return super().value(labels, predictions, np.ones_like(weights))


class Total(Mae):
    def value(self, labels, predictions, weights):
        return float(super().value(labels, predictions, weights) * weights.sum())


class Reversed(Auc):
    lower_is_better = True


class First(Mae):
    def value(self, labels, predictions, weights):
        return float(labels[0])


class Biased(Mae):
    def contributions(self, labels, predictions, weights):
        values, weights = super().contributions(labels, predictions, weights)
        return values + 1, weights


class OfNothing(PredictionMetric):
    labels = frozenset()


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (Unweighted(), "a row of weight 2 and with two rows"),
        (Total(), "weights three times as large"),
        (Reversed(), "which is better"),
        (First(), "in another order"),
        (Biased(), "the mean of the contributions"),
        (OfNothing(), "labels is empty"),
    ],
)
def test_prediction_metric_with_a_defect(metric, message):
    with pytest.raises(AssertionError, match=message):
        check_prediction_metric(metric)


@pytest.mark.parametrize("baseline", offered("baseline"))
def test_baselines(baseline):
    check_baseline(baseline)


class Late(Popularity):
    def rank(self, events, cut, items):
        return super().rank(events, cut + 20 * 86400, items)


class OverUsers(Popularity):
    def rank(self, events, cut, items):
        score = super().rank(events, cut, items)
        return lambda users: score(users) + users.mean()


FITS = count()


class Unsteady(Popularity):
    def rank(self, events, cut, items):
        score, shift = super().rank(events, cut, items), next(FITS)
        return lambda users: score(users) + shift


class Nothing(Popularity):
    def rank(self, events, cut, items):
        return None


class OtherGrid(Popularity):
    def grid(self):
        return (Majority(),)


class Peeking(Majority):
    def predict(self, train, rows):
        return super().predict(rows, rows)


class OfRemoved(Majority):
    def predict(self, train, rows):
        return np.full(len(rows.labels), train.labels.mean()) if train.classes < 3 else None


class Logits(LogisticRegression):
    def predict(self, train, rows):
        return super().predict(train, rows) * 3


@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        (Late(), "scores when what happens later changes"),
        (OverUsers(), "with and without others beside them"),
        (Unsteady(), "scores when fitted again"),
        (Nothing(), "None for a small shop"),
        (OtherGrid(), "has other baselines"),
        (Peeking(), "with other labels of the rows asked for"),
        (OfRemoved(), "training rows of weight 0"),
        (Logits(), "expected probabilities"),
    ],
)
def test_baseline_with_a_defect(baseline, message):
    with pytest.raises(AssertionError, match=message):
        check_baseline(baseline)
