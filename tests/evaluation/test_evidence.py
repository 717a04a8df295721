"""What a run keeps for its report, against what it is made of."""

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

from mtkit.evaluation.evidence import (
    MOST_ROWS,
    VECTORS,
    _rates_of_others,
    _target,
    auc,
    evenly,
    kept_vectors,
    most_popular,
    time_line,
)
from mtkit.schema import Column, Schema
from mtkit.spec import Cut
from mtkit.types import Dataset, LabeledRows


def test_samples_are_bounded_and_spread():
    assert evenly(5, 10).tolist() == [0, 1, 2, 3, 4]
    some = evenly(1_000_000, MOST_ROWS)
    assert len(some) == MOST_ROWS
    assert (some[0], some[-1]) == (0, 999_999)
    assert len(evenly(0, 10)) <= 1
    vectors = np.random.default_rng(0).normal(size=(VECTORS + 500, 3))
    shares = np.arange(len(vectors)) / len(vectors)
    kept = kept_vectors(vectors, shares)
    assert len(kept) == VECTORS
    assert kept["item"][0].as_py() == len(vectors) - 1
    np.testing.assert_allclose(kept["vector"][0].as_py(), vectors[-1], rtol=1e-6)
    assert most_popular(shares, 2) == [len(vectors) - 1, len(vectors) - 2]
    assert most_popular(None) == []


def test_the_area_is_that_of_scikit_learn():
    random = np.random.default_rng(0)
    label, scores = random.random(500) < 0.3, random.integers(0, 20, 500).astype(float)
    assert auc(scores, label) == pytest.approx(roc_auc_score(label, scores))
    assert auc(scores, np.zeros(500, bool)) is None
    assert auc(scores[:20], label[:20]) is None


def test_a_category_is_judged_by_other_rows():
    """An id that each row has for itself tells nothing, however well it goes with its own label."""
    random = np.random.default_rng(0)
    label = random.random(2000) < 0.5
    own = np.array([f"row {i}" for i in range(2000)], object)
    assert auc(_rates_of_others(own, label), label) == pytest.approx(0.5, abs=0.01)
    telling = np.where(label, "yes", "no").astype(object)
    assert auc(_rates_of_others(telling, label), label) == 1
    telling[0] = None
    assert np.isnan(_rates_of_others(telling, label)[0])


def test_columns_are_to_tell_labels_of_all_kinds():
    def target(labels, classes):
        return _target(LabeledRows({}, np.array(labels), np.ones(len(labels)), classes)).tolist()

    assert target([0.0, 1.0], 2) == [False, True]
    assert target([1.5, 2.5, 9.0], 0) == [False, False, True]
    assert target([2, 0, 2, 1], 3) == [True, False, True, False]


def test_the_time_line_counts_every_part():
    schema = Schema(
        interactions={"user": Column(kind="id", entity="user"), "time": Column(kind="time")}, entities={"user": {}}
    )
    times = np.arange(0, 1000, 10)
    table = pa.table({"user": ["a"] * 100, "time": times})
    line = time_line(Dataset(table, {}, schema), Cut("valid", 500, 800), Cut("test", 800, 1000))
    assert {part: sum(counts) for part, counts in line["counts"].items()} == {"train": 50, "valid": 30, "test": 20}
    assert len(line["edges"]) == len(line["counts"]["test"]) + 1
    timeless = Schema(interactions={"user": Column(kind="id", entity="user")}, entities={"user": {}})
    assert time_line(Dataset(table, {}, timeless), Cut("valid", 5, 8), Cut("test", 8, 10)) is None
