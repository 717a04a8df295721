import json

import numpy as np
import pytest
from pydantic import ValidationError

from mtkit.spec import FeatureInfo
from mtkit.standard.preprocessors import Buckets, Standardize, TargetStatistics, Vocabulary


def test_vocabulary_is_sorted_and_without_missing_and_rare_values():
    values = np.array(["b", None, "a", "b", "", "c"], dtype=object)
    assert Vocabulary(columns=()).fit(values) == {"values": ["a", "b", "c"]}
    state = Vocabulary(columns=("user.age",), min_count=2).fit(values)
    assert state == {"values": ["b"]}
    assert Vocabulary(columns=()).info(state) == FeatureInfo(size=2)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 3, np.nan, np.inf], {"mean": 2.0, "std": 1.0}),
        ([5, 5], {"mean": 5.0, "std": 1.0}),
        ([np.nan], {"mean": 0.0, "std": 1.0}),
        ([], {"mean": 0.0, "std": 1.0}),
    ],
)
def test_standardize_learns_from_known_values(values, expected):
    state = Standardize(columns=()).fit(np.array(values, dtype=np.float32))
    assert state == expected
    assert Standardize(columns=()).info(state) == FeatureInfo(width=2)


def test_buckets_hold_about_as_many_values_each():
    values = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    state = Buckets(columns=(), count=4).fit(np.append(values, np.nan))
    filled = np.bincount(np.searchsorted(state["edges"], values, side="right"))
    assert filled.tolist() == [250] * 4
    assert Buckets(columns=()).info(state) == FeatureInfo(size=5)


def test_buckets_of_repeated_and_of_no_values():
    spec = Buckets(columns=(), count=10)
    assert spec.fit(np.array([1, 1, 1, 1, 2], dtype=np.float32)) == {"edges": pytest.approx([1, 1.2, 1.6])}
    assert spec.info(spec.fit(np.array([np.nan], dtype=np.float32))) == FeatureInfo(size=2)
    with pytest.raises(ValidationError, match="greater than or equal to 2"):
        Buckets(columns=(), count=1)


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        (Vocabulary(columns=()), np.array(["b", "a"], dtype=object)),
        (Standardize(columns=()), np.array([0.1, 0.7], dtype=np.float32)),
        (Buckets(columns=()), np.array([0.1, 0.7], dtype=np.float32)),
    ],
)
def test_state_goes_through_json_and_builds_a_layer(spec, values):
    state = spec.fit(values)
    again = json.loads(json.dumps(state))
    assert again == state
    outputs = spec.build(again)(values)
    info = spec.info(state)
    assert outputs.shape == ((2, info.width) if info.width else (2,))


def test_a_vocabulary_of_lists_counts_rows():
    values = np.array([["a", "b"], ["b", None], [None, None]], object)
    assert Vocabulary(columns=()).fit(values) == {"values": ["a", "b"], "weighted": False}
    weighted = np.zeros(values.shape, [("value", object), ("weight", np.float32)])
    weighted["value"] = values
    state = Vocabulary(columns=(), min_count=2).fit(weighted)
    assert state == {"values": ["b"], "weighted": True}
    assert Vocabulary(columns=()).info(state) == FeatureInfo(size=2, listed=True)
    ids, weights = Vocabulary(columns=()).build(state)((np.array([["b", "a"]]), np.array([[2, 1]], np.float32)))
    assert (ids.numpy().tolist(), weights.numpy().tolist()) == ([[1, 0]], [[2, 0]])


def test_statistics_are_standardized_each_for_itself():
    spec = TargetStatistics(columns=("user.id",), labels=("click",))
    values = np.array([[1, 0.5, 3], [3, 0.5, 5]], np.float32)
    state = spec.fit(values)
    assert state == json.loads(json.dumps(state)) == {"means": [2.0, 0.5, 4.0], "stds": [1.0, 1.0, 1.0]}
    assert spec.info(state) == FeatureInfo(width=3)
    assert spec.build(state)(values).numpy().tolist() == [[-1, 0, -1], [1, 0, 1]]


def test_keys_of_statistics_are_those_of_one_address_and_then_those_of_several():
    spec = TargetStatistics(columns=("user.id",), together=(("user.id", "item.tag"),), labels=("click", "like"))
    assert spec.keys == (("user.id",), ("user.id", "item.tag"))
    assert spec.width == 6
