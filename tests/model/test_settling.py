from types import SimpleNamespace

import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.feed.batch import Batch
from mtkit.model import settling
from mtkit.model.settling import Settling


class Totals:
    """A head that asks for the number of its rows, and the sum of their numbers."""

    settles, total = True, None

    def summary(self, rows):
        numbers = tf.cast(rows.batch.ids["row"], tf.float32)
        return tf.stack([tf.reduce_sum(tf.ones_like(numbers)), tf.reduce_sum(numbers)])

    def settle(self, total):
        self.total = total.tolist()


def settled(rows):
    heads = {"asks": Totals(), "does not": SimpleNamespace(settles=False)}
    plan = SimpleNamespace(tasks=dict.fromkeys(heads, SimpleNamespace(rows="lines")))
    feed = SimpleNamespace(size=lambda table: {"lines": rows}[table], batch=lambda _, numbers: Batch({"row": numbers}))
    model = SimpleNamespace(heads=heads, plan=plan, feed=feed)
    callback = Settling(model)
    callback.set_model(model)
    callback.on_epoch_end(0)
    return heads["asks"].total


@pytest.mark.parametrize("rows", [1, 7, 50])
def test_every_training_row_counts_once(rows, monkeypatch):
    monkeypatch.setattr(settling, "_BLOCK", 8)
    assert settled(rows) == [rows, rows * (rows - 1) / 2]


def test_of_very_many_rows_some_are_looked_at_from_the_first_to_the_last(monkeypatch):
    monkeypatch.setattr(settling, "ROWS", 5)
    assert settled(41) == [5, 0 + 10 + 20 + 30 + 40]
    assert np.isclose(settled(1_000_001)[1] / 5, 500_000)
