from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from mtkit.standard.preprocessors import TargetStatistics
from mtkit.standard.rows import Interactions
from mtkit.testing import check_row_statistics

ROWS = Interactions(batch_size=1, labels=["liked"])
KEYS = {"columns": ("user.id", "item.category", "context.channel"), "together": (("user.id", "item.category"),)}


@pytest.mark.parametrize("half_life", [None, timedelta(days=3)])
def test_target_statistics_hold(half_life):
    check_row_statistics(TargetStatistics(**KEYS, labels=("liked", "hour"), half_life=half_life), ROWS)


class OfThePresent(TargetStatistics):
    def of_rows(self, fold, table):
        return super().of_rows(fold, replace(table, known=table.known + 1))


class OfTheEnd(TargetStatistics):
    def of_rows(self, fold, table):
        return super().of_rows(replace(fold, cut=fold.end), table)


class OfNothing(TargetStatistics):
    def of_rows(self, fold, table):
        return super().of_rows(fold, table)[:, 1:]


class Undefined(TargetStatistics):
    def of_rows(self, fold, table):
        return np.where(super().of_rows(fold, table) > 0, np.float32(np.nan), np.float32(0))


class ToldOtherwise(TargetStatistics):
    def by_key(self, fold):
        return super().by_key(replace(fold, cut=fold.cut // 2))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (OfThePresent, "other outcomes after them"),
        (OfTheEnd, "other outcomes after them"),
        (OfNothing, "expected"),
        (Undefined, "not finite"),
        (ToldOtherwise, "numbers that by_key has not"),
    ],
)
def test_statistics_that_know_too_much_or_are_no_numbers(kind, message):
    with pytest.raises(AssertionError, match=message):
        check_row_statistics(kind(**KEYS, labels=("liked",)), ROWS)
