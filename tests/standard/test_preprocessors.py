import json

import numpy as np

from mtkit.spec import FeatureInfo
from mtkit.standard.preprocessors import TargetStatistics, Vocabulary


def test_vocabulary_is_sorted_and_without_missing_and_rare_values():
    values = np.array(["b", None, "a", "b", "", "c"], dtype=object)
    assert Vocabulary(columns=()).fit(values) == {"values": ["a", "b", "c"]}
    state = Vocabulary(columns=("user.age",), min_count=2).fit(values)
    assert state == {"values": ["b"]}
    assert Vocabulary(columns=()).info(state) == FeatureInfo(size=2)


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
