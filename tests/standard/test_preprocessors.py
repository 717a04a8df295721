import json

import numpy as np
import pytest

from mtkit.errors import DeclarationError
from mtkit.spec import FeatureInfo
from mtkit.standard.preprocessors import Hashing, TargetStatistics, Vocabulary
from mtkit.testing import check_preprocessor, check_spec


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


def test_a_vocabulary_has_the_most_frequent_values_at_most():
    values = np.array(["d", "c", "c", "b", "a", "a", None], object)
    assert Vocabulary(columns=(), max_size=3).fit(values) == {"values": ["a", "b", "c"]}
    assert Vocabulary(columns=(), max_size=9, min_count=2).fit(values) == {"values": ["a", "c"]}


def test_rare_values_have_one_of_their_own():
    values = np.array(["a", "a", "b", None], object)
    own = Vocabulary(columns=(), min_count=2, rare="own")
    state = own.fit(values)
    assert (own.info(state), own.values(state)) == (FeatureInfo(size=3), ["a", ""])
    assert own.build(state)(np.array(["a", "b", "never seen", ""])).numpy().tolist() == [1, 2, 2, 0]
    state = own.fit(np.array([["a", "b"], ["a", None]], object))
    lists = own.build(state)(np.array([["c", "a", "b"], ["", "", "x"], ["", "", ""]])).numpy()
    assert lists.tolist() == [[1, 2, 0], [2, 0, 0], [0, 0, 0]]


def test_hashes_by_hand():
    # The first are those of the documentation of `tf.strings.to_hash_bucket_fast`.
    words = np.array(["Hello", "TensorFlow", "2.x", ""])
    one = Hashing(columns=("item.word",), size=3, hashes=1)
    assert one.info(one.fit(words)) == FeatureInfo(size=4)
    assert one.build({})(words).numpy().tolist() == [1, 3, 3, 0]
    two = Hashing(columns=("item.word",), size=3)
    found = two.build({})(words).numpy()
    assert two.info({}) == FeatureInfo(size=7, listed=True)
    assert found[:, 0].tolist() == [1, 3, 3, 0]
    assert found[3, 1] == 0
    assert ((found[:3, 1] >= 4) & (found[:3, 1] <= 6)).all()


def test_hashes_of_lists_are_those_of_their_values():
    words = np.array([["a", "b", ""], ["b", "b", "c"], ["", "", ""]], object)
    spec = Hashing(columns=("item.words",), size=50)
    of_lists, of_each = (spec.build(state) for state in ({"weighted": False}, {}))
    for row, found in zip(words, of_lists(words).numpy(), strict=True):
        assert set(found) - {0} == set(of_each(row).numpy().ravel()) - {0}
    weights = np.array([[0.5, 2, 9], [1, 1, np.nan], [1, 1, 1]], np.float32)
    ids, found = spec.build({"weighted": True})((words, weights))
    by_word = dict(zip("abc", of_each(np.array(["a", "b", "c"])).numpy().tolist(), strict=True))
    assert dict(zip(ids[0].numpy(), found[0].numpy(), strict=True)) == {
        0: 0, **dict.fromkeys(by_word["a"], 0.5), **dict.fromkeys(by_word["b"], 2.0)
    }  # fmt: skip
    assert dict(zip(ids[1].numpy(), found[1].numpy(), strict=True)) == {0: 0, **dict.fromkeys(by_word["b"], 2.0)}


def test_several_hashes_keep_values_apart():
    words = np.array([f"w{i}" for i in range(3000)])
    one = Hashing(columns=(), size=1000, hashes=1).build({})(words).numpy()
    two = Hashing(columns=(), size=1000).build({})(words).numpy()
    assert len(np.unique(one)) < 1000
    assert len(np.unique(two, axis=0)) > 2990
    # Of 3000 x 2999 / 2 pairs about 4.5 are alike by chance; a hash that depended on the other would give many.
    assert np.bincount(two[:, 1] - 1001, minlength=1000).std() == pytest.approx(3**0.5, rel=0.1)


@pytest.mark.parametrize(
    "spec",
    [
        Vocabulary(columns=(), rare="own", max_size=2),
        Vocabulary(columns=(), rare="own", min_count=99),
        Hashing(columns=(), size=10, hashes=1),
        Hashing(columns=(), size=1, hashes=8),
        Hashing(columns=(), size=100),
    ],
)
@pytest.mark.parametrize(
    "values",
    [
        np.array(["b", None, "a", "c", "c", ""], object),
        np.array([["b", None, None], ["a", "c", "b"], [None, None, None]], object),
    ],
    ids=["one", "lists"],
)
def test_conformance(spec, values):
    check_spec(spec)
    check_preprocessor(spec, values)
    check_preprocessor(spec, values[:0])


def test_pasts_have_one_hash():
    with pytest.raises(DeclarationError, match=r"several numbers of history\.event, and pasts have one"):
        Hashing(columns=("history.event",), size=9)
    assert Hashing(columns=("history.event",), size=9, hashes=1)
