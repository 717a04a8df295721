"""What new rows of a catalog are like."""

import numpy as np
import pyarrow as pa
import pytest

from mtkit.data import alike
from mtkit.data.alike import alike_of
from mtkit.schema import Column, Schema
from mtkit.types import Entity, Fold

SCHEMA = Schema(
    interactions={},
    entities={
        "item": {
            "text": Column(kind="text"),
            "family": Column(kind="categorical"),
            "weight": Column(kind="numeric"),
        }
    },
)


@pytest.fixture
def fold():
    columns = pa.table(
        {
            "text": [None, "rote Grütze", "чай", "Grütze", "чай зелёный", None],
            "family": [None, "süß", "warm", "süß", None, "neu"],
            "weight": [None, 1.0, 2.0, 3.0, 4.0, 5.0],
        }
    )
    ids = np.array(["", "a", "b", "c", "d", "e"], object)
    return Fold("test", 0, 0, 1, {"item": Entity("item", ids, columns)}, None, SCHEMA)


NEW = np.array([False, False, False, True, True, True])


def test_means_are_of_those_that_have_something_in_common(fold):
    found = alike_of(fold, "item", ["text", "family", "weight"], NEW)
    assert found.rows.tolist() == [3, 4]  # e has nothing in common with a known row
    np.testing.assert_allclose(found.weights.sum(1), 1)
    values = np.arange(12, dtype=np.float32).reshape(6, 2)
    made = found.means(values)
    np.testing.assert_array_equal(made[[0, 1, 2, 5]], values[[0, 1, 2, 5]])
    np.testing.assert_allclose(made[3], values[1])
    np.testing.assert_allclose(made[4], values[2])
    bias = found.means(np.arange(6.0))
    np.testing.assert_allclose(bias, [0, 1, 2, 1, 2, 5])


def test_weights_are_by_how_much_is_in_common(fold):
    known = np.array([False, False, False, False, True, False])
    found = alike_of(fold, "item", ["text"], known)
    assert found.rows.tolist() == [4]
    best = found.neighbors[0, 0]
    assert best == 2
    assert found.weights[0, 0] == 1


def test_blocks_change_nothing(fold, monkeypatch):
    whole = alike_of(fold, "item", ["text", "family"], NEW)
    monkeypatch.setattr(alike, "_BLOCK", 1)
    parts = alike_of(fold, "item", ["text", "family"], NEW)
    np.testing.assert_array_equal(parts.neighbors, whole.neighbors)
    np.testing.assert_array_equal(parts.weights, whole.weights)


def test_without_columns_that_tell_or_known_rows_there_is_nothing(fold):
    assert alike_of(fold, "item", ["weight"], NEW) is None
    assert alike_of(fold, "item", [], NEW) is None
    assert alike_of(fold, "item", ["text"], np.array([False, True, True, True, True, True])) is None
