"""Churn, visits and spending, from declarations to a run."""

from datetime import timedelta

import numpy as np
import pytest

from mtkit.data.catalogs import make_fold
from mtkit.errors import DataError, RecipeError
from mtkit.recipe.loader import load_recipe
from mtkit.runs.run import run_recipe
from mtkit.spec import Cut
from mtkit.standard.date_rows import Dates
from mtkit.testing import check_rows

DAY = 86400
MONTHS = (
    'rows.months={use = "dates", length = "20d", count = 3, stride = "10d", sums = {spent = "price"}, batch_size = 16}'
)
CHURN = 'task.churn={use = "user_preference", rows = "months", inputs = ["customer", "past"], label = "gone"}'
SPENT = 'task.spent={use = "regression", rows = "months", inputs = ["customer", "past"], label = "spent"}'
VISITS = 'task.visits={use = "count", rows = "months", inputs = ["customer", "past"], label = "acts"}'


def test_dates_before_the_cut_and_the_cut_itself(shop):
    fold = make_fold(shop, Cut("test", 70 * DAY, 100 * DAY), {})
    rows = Dates(length=timedelta(days=20), count=2, stride=timedelta(days=5), active=timedelta(days=30))
    assert set(rows.make(fold, "train").time) == {50 * DAY, 45 * DAY}
    evaluated = rows.make(fold, "eval")
    assert set(evaluated.time) == {fold.cut}
    assert evaluated.note == "users who act in the 30 days before, at the cut; labels see 20 days ahead"
    with pytest.raises(DataError, match=r"length of a row table is 40 days, but test ends 30 days after its cut"):
        Dates(length=timedelta(days=40)).make(fold, "eval")


def test_conforms():
    check_rows(Dates(length=timedelta(days=3), count=2))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ('sums = {spent = "prize"}', r"rows\.months\.sums\.spent: 'prize' is no numeric column .*did you mean 'price'"),
        ('sums = {gone = "price"}', r"'gone' is a label of these rows already"),
    ],
)
def test_mistakes(tiny_recipe, rows, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(tiny_recipe, [f'rows.months={{use = "dates", {rows}}}', CHURN])


def test_a_run_predicts_who_leaves_how_often_they_come_and_what_they_spend(tiny_recipe, tmp_path):
    unset = ["task.next", "task.gift", "task.department", "task.discounted", "rows.items", "rows.windows", "rows.lines",
             "encoder.visit", "encoder.product", "correlation.experts", "evaluate.main", "evaluate.slices"]  # fmt: skip
    sets = [MONTHS, CHURN, SPENT, VISITS, "train.epochs=2", 'evaluate.baselines=["majority", "gradient_boosting"]',
            'evaluate.prediction_metrics=["auc", "log_loss", "rmse"]', "data.lines=700"]  # fmt: skip
    results = run_recipe(load_recipe(tiny_recipe, sets, unset), tmp_path / "run")
    assert {"churn/auc", "churn/log_loss", "spent/rmse", "visits/rmse"} <= results.test.keys()
    assert np.isfinite(results.test["spent/rmse"])
    assert results.baselines["majority"]["churn/log_loss"] > 0
    assert (tmp_path / "run/export/1/saved_model.pb").is_file()
