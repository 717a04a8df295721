"""An export under load: many threads with good and bad requests."""

import sys

import numpy as np
import pytest
from crowd import ask_by_many

from mtkit.serving.export import save

MOST = 2**31 - 1


def known(signature, users, **other):
    return signature, {"user_id": ("string", users), **other}


def recommended(users, k, exclude=((),)):
    return known("recommend", users, k=("int32", k), exclude_ids=("string", list(map(list, exclude))))


def new(items, age, signature="recommend_new_user", town="a", **other):
    past = {"history_item_ids": ("string", [items]), "history_age": ("float32", [age])}
    asked = {"k": ("int32", 7), "exclude_ids": ("string", [[""]])} if signature == "recommend_new_user" else {}
    return signature, past | {"user_town": ("string", [town]), "user_age": ("float32", [31])} | asked | other


def ranked(users, items, hour=9.0, **other):
    context = {"context_channel": ("string", ["web"] * len(users)), "context_hour": ("float32", [hour] * len(users))}
    return known("rank", users, item_id=("string", items), **context | other)


def item(signature, names):
    return signature, {"item_id": ("string", names)}


def raw_item(signature, weight, color="red", **other):
    return signature, {"item_color": ("string", [color]), "item_weight": ("float32", [weight]), **other}


NAN = float("nan")
FAMILY = {"item_family": ("string", ["f1"])}
LONG = [f"p{i % 40:02}" for i in range(2000)]
GOOD = [
    *(known("serving_default", [str(100 + user)]) for user in range(10)),
    *(recommended([str(110 + user)], 1 + 5 * user) for user in range(10)),
    *(known("past", [str(120 + user), "nobody"], k=("int32", 1 + user**3)) for user in range(6)),
    known("past", ["101"], k=("int32", MOST)),
    recommended(["101", "nobody", "", "x" * 10_000], MOST, [["p01", "p01", "", "nothing"]]),
    recommended(["101", "102"], 5, [["p01"], ["p02"]]),
    recommended([], 5),
    new([], []),
    new(["p01", "p02", "p01"], [9, 3, NAN]),
    new(["", "p05"], [-1, 1e30], town=""),
    new(LONG, np.arange(2000)[::-1].tolist()),
    new(["p07"], [2], "embed_new_user"),
    known("embed_user", ["105", "nobody"]),
    item("embed_item", ["p05", "nothing"]),
    item("department", ["p06", ""]),
    ranked(["101", "102"], ["p01", "p02"]),
    ranked(["101"], ["nothing"], NAN),
    raw_item("department_new_item", NAN),
    raw_item("embed_new_item", 3e38, **FAMILY),
]
BAD = [
    *(recommended(["101"], k) for k in (0, -1, -MOST)),
    known("past", ["101"], k=("int32", 0)),
    known("past", ["101"], k=("int32", [3, 4])),
    known("past", ["101"], k=("int64", 3)),
    known("past", [["101"]], k=("int32", 3)),
    known("serving_default", "101"),
    ("serving_default", {"user_id": ("int32", [101])}),
    recommended(["101", "102"], 3, [["p01"]] * 3),
    new(["p01", "p02"], [1]),
    new(["p01"], [1], town="a", user_age=("float32", [31, 32])),
    new(["p01"], [1], k=("int32", 0)),
    ranked(["101", "102"], ["p01"]),
    item("embed_item", [["p01"]]),
    raw_item("department_new_item", [0.5]),
    raw_item("embed_new_item", 0.5, item_family=("string", ["f1", "f2"])),
]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.slow
def test_many_ask_at_once(tiny_pipeline, tmp_path):
    version = save(tiny_pipeline, tmp_path / "export")
    found = ask_by_many(version, [*GOOD, *BAD], threads=200, count=20_000, early=2_000)
    assert found["foreign"] == []
    assert found["alone"] == ["answer"] * len(GOOD) + ["InvalidArgumentError"] * len(BAD)
    assert found["others"] == []
    early, end = found["memory"]
    assert abs(end / early - 1) < 0.1
