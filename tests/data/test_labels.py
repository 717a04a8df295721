from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from mtkit.data.catalogs import make_fold
from mtkit.data.columns import seconds
from mtkit.data.labels import Labels, entity_labels, event_labels
from mtkit.data.row_builders import event_positions
from mtkit.errors import DataError
from mtkit.schema import Column
from mtkit.spec import Cut

DAY = 86400


@pytest.fixture
def fold(shop):
    return make_fold(shop, Cut("test", 60 * DAY, 90 * DAY), {})


@pytest.mark.parametrize("part", ["train", "eval"])
def test_null_labels_have_weight_0_and_a_finite_placeholder(fold, part):
    positions = event_positions(fold, part)
    labels = event_labels(fold, positions, ["cheap", "payment"], part)
    raw = fold.events.columns.take(positions)
    names = ("card", "cash")
    assert labels.classes == {"payment": names}
    assert labels.values["cheap"].dtype == labels.weights["cheap"].dtype == np.float32
    assert labels.values["payment"].dtype == np.int32
    assert labels.values["cheap"].tolist() == [float(bool(value)) for value in raw["cheap"].to_pylist()]
    assert labels.weights["cheap"].tolist() == [float(value is not None) for value in raw["cheap"].to_pylist()]
    payments = raw["payment"].to_pylist()
    assert labels.values["payment"].tolist() == [names.index(value) if value else 0 for value in payments]
    assert labels.weights["payment"].tolist() == [float(value is not None) for value in payments]


@pytest.mark.parametrize(("part", "end"), [("train", 60 * DAY), ("eval", 90 * DAY)])
def test_a_horizon_that_crosses_the_end_of_the_part_has_weight_0(fold, part, end):
    positions = event_positions(fold, part)
    weights = event_labels(fold, positions, ["returns"], part).weights["returns"]
    np.testing.assert_array_equal(weights, fold.events.time[positions] + 5 * DAY <= end)
    assert 0 < weights.mean() < 1


def test_a_class_first_seen_after_the_cut_has_weight_0(shop):
    times = np.sort(shop.interactions["when"].to_numpy())
    payment = np.where(shop.interactions["when"].to_numpy() > times[-40], "voucher", "cash")
    interactions = shop.interactions.set_column(9, "payment", [payment.tolist()])
    shop = type(shop)(interactions, shop.entities, shop.schema)
    fold = make_fold(shop, Cut("test", int(times[-80]), int(times[-1]) + 1), {"item": 0, "user": 0})
    labels = event_labels(fold, event_positions(fold, "eval"), ["payment"], "eval")
    assert labels.classes["payment"] == ("cash",)
    late = fold.events.time[event_positions(fold, "eval")] > times[-40]
    np.testing.assert_array_equal(labels.weights["payment"], ~late)


def test_labels_of_an_entity(fold):
    labels = entity_labels(fold, "item", np.array([2, 1]))
    shelves = fold.entities["item"].columns["shelf"].to_pylist()
    assert labels.classes == {"item.shelf": ("low", "top")}
    assert [("low", "top")[code] for code in labels.values["item.shelf"]] == [shelves[2], shelves[1]]
    assert labels.weights["item.shelf"].tolist() == [1, 1]


def test_a_name_that_is_no_label(fold):
    with pytest.raises(
        DataError, match=r"\['store'\] are no labels of the interactions; they have \['cheap', 'returns'"
    ):
        event_labels(fold, np.arange(3), ["cheap", "store"], "train")


def test_classes_that_training_lacks_and_labels_that_are_always_the_same_are_said(shop):
    rows = shop.interactions
    late = seconds(rows[shop.schema.time]) >= 60 * DAY
    payment = np.where(late, "cheque", "card")
    changed = rows.set_column(rows.column_names.index("payment"), "payment", pa.array(payment))
    fold = make_fold(replace(shop, interactions=changed), Cut("test", 60 * DAY, 90 * DAY), {})
    known, new = (event_labels(fold, event_positions(fold, part), ["payment"], part) for part in ("train", "eval"))
    assert known.remarks() == "; payment is always card"
    assert new.remarks() == f"; {len(event_positions(fold, 'eval'))} with a payment that training lacks"


def test_labels_of_any_number_of_classes():
    declared, labels = Column(kind="label", multi_label=True), Labels()
    column = pa.chunked_array([pa.array([["b", "z"], [], None, ["a", "b"], ["y", "z"]])])
    known = pa.chunked_array([pa.array([["c", "b"], None, ["a"]])])
    labels.add("topics", column, declared, known)
    assert labels.classes == {"topics": ("a", "b", "c")}
    assert labels.values["topics"].tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 0], [1, 1, 0], [0, 0, 0]]
    assert labels.weights["topics"].tolist() == [1, 1, 0, 1, 1]
    assert labels.lacking["topics"].tolist() == [1, 0, 0, 0, 2]
    assert labels.remarks() == "; 2 with a topics that training lacks"
    labels.add("none", column, declared, known.filter(pa.array([False, True, False])))
    assert labels.values["none"].shape == (5, 0)


def test_a_class_that_only_unfinished_horizons_have_is_not_known_of_training(shop):
    """A row whose horizon is not over at the cut is of unknown label, not of a negative, nor of a class of its own."""
    schema = shop.schema.model_copy(
        update={
            "interactions": {
                **shop.schema.interactions,
                "payment": Column(kind="label", classes=True, horizon=timedelta(days=10)),
            }
        }
    )
    rows = shop.interactions
    late = seconds(rows[schema.time]) + 10 * DAY > 60 * DAY
    payment = pa.array(np.where(late, "voucher", "cash"))
    changed = rows.set_column(rows.column_names.index("payment"), "payment", payment)
    fold = make_fold(replace(shop, interactions=changed, schema=schema), Cut("test", 60 * DAY, 90 * DAY), {})
    positions = event_positions(fold, "train")
    labels = event_labels(fold, positions, ["payment"], "train")
    assert labels.classes == {"payment": ("cash",)}
    over = fold.events.time[positions] + 10 * DAY <= 60 * DAY
    np.testing.assert_array_equal(labels.weights["payment"], over)
    assert 0 < over.mean() < 1


@pytest.mark.parametrize("fit", [None, 40 * DAY])
def test_a_horizon_of_training_ends_where_the_model_was_trained_to(shop, fit):
    fold = make_fold(shop, Cut("test", 60 * DAY, 90 * DAY, fit=fit), {})
    positions = event_positions(fold, "train")
    weights = event_labels(fold, positions, ["returns"], "train").weights["returns"]
    np.testing.assert_array_equal(weights, fold.events.time[positions] + 5 * DAY <= fold.fit)
    assert fold.fit == (fit or 60 * DAY)
