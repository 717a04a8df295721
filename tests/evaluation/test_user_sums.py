import numpy as np
import pyarrow as pa
import pytest

from mtkit.evaluation.user_sums import Measured, UserSums, from_table, mean_of, named, to_table
from mtkit.schema import Schema
from mtkit.types import Entity, Fold


def measured(path="next/", keys=("recall@3", "ndcg@3"), entity="user"):
    generator = np.random.default_rng(len(path))
    found, users = Measured(), generator.integers(1, 4, 20)
    found[f"{path}recall@3"] = 0.5
    rows = generator.random(20).astype(np.float32)
    means = {key: (generator.random(20), rows * number) for number, key in enumerate(keys, 1)}
    found.sums[path] = UserSums.of(entity, users, rows, means)
    found.counts[path[:-1]] = 20
    return found


FOLD = Fold(
    "test", 0, 0, 0,
    {
        "user": Entity("user", np.array([-1, 9, 10, 200]), pa.table({})),
        "item": Entity("item", np.array(["", "c", "b", "a"], object), pa.table({})),
    },
    None,
    Schema(interactions={}, entities={"user": {}, "item": {}}),
)  # fmt: skip


def test_sums_are_those_of_the_rows_of_each_user():
    users, weights, values = np.array([3, 1, 3]), np.array([1.0, 2, 4]), np.array([0.5, 1, 0.25])
    some = np.array([1.0, 0, 0])
    sums = UserSums.of("user", users, weights, {"m": (values, weights), "n": (values, some)})
    assert sums.users.tolist() == [1, 3]
    assert sums.rows.tolist() == sums.weights["m"].tolist() == [2, 5]
    assert sums.totals["m"].tolist() == [2, 1.5]
    assert (sums.totals["n"].tolist(), sums.weights["n"].tolist()) == ([0, 0.5], [0, 1])


def test_what_is_taken_over_comes_with_its_sums():
    one, two = measured(), measured("gift/")
    one |= two
    assert list(one) == ["next/recall@3", "gift/recall@3"]
    assert one.sums.keys() == {"next/", "gift/"}
    assert one.counts == {"next": 20, "gift": 20}


def test_both_together_keep_their_sums_and_counts():
    one, two = measured(), measured("gift/")
    both = one | two
    assert list(both) == ["next/recall@3", "gift/recall@3"]
    assert both.sums.keys() == {"next/", "gift/"}
    assert both.counts == {"next": 20, "gift": 20}
    assert one.sums.keys() == {"next/"}
    with pytest.raises(TypeError):
        one | {"next/recall@3": 0.0}


def test_tables_come_back_with_users_by_their_ids():
    model = measured()
    model |= measured("shelf/tail/", ("log_loss",), "item")
    sums = named({"model": model, "ease": measured()}, FOLD)
    assert sums["model"]["next/"].users.tolist() == ["10", "200", "9"]
    assert sums["model"]["shelf/tail/"].users.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(
        sums["model"]["next/"].totals["ndcg@3"], model.sums["next/"].totals["ndcg@3"][[1, 2, 0]]
    )
    again = from_table(to_table(sums))
    assert again.keys() == {"model", "ease"}
    for name, parts in sums.items():
        assert again[name].keys() == parts.keys()
        for path, part in parts.items():
            found = again[name][path]
            assert found.entity == part.entity
            np.testing.assert_array_equal(found.users, part.users)
            np.testing.assert_array_equal(found.rows, part.rows)
            assert found.weights.keys() == part.weights.keys()
            for key, weights in part.weights.items():
                np.testing.assert_array_equal(found.weights[key], weights)
            assert found.totals.keys() == part.totals.keys()
            for key, total in part.totals.items():
                np.testing.assert_array_equal(found.totals[key], total)


def test_nothing_is_a_table_too():
    table = to_table({})
    assert len(table) == 0
    assert from_table(table) == {}


def test_the_mean_is_user_by_user_over_what_all_have():
    one, two = (named({"model": measured()}, FOLD) for _ in range(2))
    two["model"]["next/"].totals["recall@3"][:] += 2
    two["model"]["gift/"] = two["model"]["next/"]
    mean = mean_of([one, two])
    assert mean["model"].keys() == {"next/"}
    np.testing.assert_allclose(mean["model"]["next/"].totals["recall@3"], one["model"]["next/"].totals["recall@3"] + 1)
    np.testing.assert_array_equal(mean["model"]["next/"].rows, one["model"]["next/"].rows)
    fewer = UserSums("user", np.array(["9"], object), np.ones(1), {"recall@3": np.ones(1)}, {"recall@3": np.ones(1)})
    assert mean_of([one, {"model": {"next/": fewer}}]) == {}
    assert mean_of([one])["model"]["next/"].totals["ndcg@3"] == pytest.approx(one["model"]["next/"].totals["ndcg@3"])
