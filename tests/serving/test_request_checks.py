"""Requests of all kinds, good and bad, to all signatures of an export."""

import resource
import sys

import numpy as np
import pytest
from asking import ask, ids_of, recommend
from crowd import ask_by_many

from mtkit.backend import tf
from mtkit.serving.export import save
from mtkit.serving.servable import Servable

MOST = 2**31 - 1
EMPTY = {
    "history_item_ids": np.zeros([1, 0], object),
    "history_age": np.zeros([1, 0]),
    "user_town": [""],
    "user_age": [40],
}


def specs_of(signature):
    return signature.structured_input_signature[1]


def filled(signature, rows):
    """A request that any signature takes: of rows that are all alike."""
    known = {"k": 3, "history_age": np.ones([rows, 2]), "context_hour": np.full(rows, 9.0)}
    shapes = {name: [rows if n is None and axis == 0 else n or 2 for axis, n in enumerate(spec.shape)]
              for name, spec in specs_of(signature).items()}  # fmt: skip
    request = {name: known.get(name, np.full(shape, "p01", object)) for name, shape in shapes.items()}
    for name, spec in specs_of(signature).items():
        if name not in known and spec.dtype != tf.string:
            request[name] = np.full(shapes[name], 0.5)
    return request


def with_past(exported, items, age, k=MOST, **other):
    """What somebody gets who brings a past along."""
    past = {"history_item_ids": [items], "history_age": [age]}
    return recommend(exported, None, k=k, signature="recommend_new_user", **EMPTY | past | other)


def assert_all_items(answer, items):
    """All of the catalog is there, each once, with finite scores, best first."""
    assert sorted(name.decode() for name in answer["item_ids"][0]) == sorted(items[1:])
    assert np.isfinite(answer["scores"]).all()
    assert (np.diff(answer["scores"]) <= 0).all()


@pytest.mark.parametrize("k", [0, -1, -MOST - 1])
def test_k_is_one_or_more(exported, k):
    asked = [name for name, signature in exported.items() if "k" in specs_of(signature)]
    assert sorted(asked) == ["past", "recommend", "recommend_new_user", "similar_items"]
    for name in asked:
        with pytest.raises(tf.errors.InvalidArgumentError, match=rf"k says how many .* has to be 1 or more.*\[{k}\]"):
            ask(exported, name, **filled(exported[name], 1) | {"k": k})


def test_k_ends_at_what_there_is(tiny_pipeline, exported):
    users, items = ids_of(tiny_pipeline, "user")[1:], ids_of(tiny_pipeline, "item")
    offsets = tiny_pipeline.fold.events.offsets
    past = ask(exported, "past", user_id=users, k=MOST)
    assert past["item_ids"].shape == past["times"].shape == (len(users), np.diff(offsets).max())
    np.testing.assert_array_equal((past["item_ids"] != b"").sum(1), np.diff(offsets)[1:])
    assert ask(exported, "past", user_id=users[:1], k=MOST)["times"].shape == (1, offsets[2] - offsets[1])
    assert ask(exported, "past", user_id=["nobody"], k=MOST)["times"].shape == (1, 0)
    assert_all_items(recommend(exported, users[:1], k=MOST), items)
    assert_all_items(with_past(exported, ["p01"], [2]), items)


def test_inputs_of_another_rank_are_refused(exported):
    for signature, function in exported.items():
        request = filled(function, 2)
        ask(exported, signature, **request)
        for name, value in request.items():
            others = [np.array(value)[None], *([np.array(value)[0]] if np.ndim(value) else [])]
            for other in others:
                with pytest.raises(tf.errors.InvalidArgumentError, match=f"Shape of tensor {name} "):
                    ask(exported, signature, **request | {name: other})


def test_inputs_of_different_rows_are_refused(exported):
    for signature, function in exported.items():
        request = filled(function, 3)
        for name in [name for name in request if name != "k"]:
            for rows in (0, 2):
                fewer = request | {name: request[name][:rows]}
                if {name, "k"} >= set(request):
                    ask(exported, signature, **fewer)
                    continue
                with pytest.raises(tf.errors.InvalidArgumentError, match=rf"the same number of rows.*{name}"):
                    ask(exported, signature, **fewer)


def test_inputs_of_another_type_are_refused(exported):
    for function in exported.values():
        given = {name: tf.constant(value, specs_of(function)[name].dtype)
                 for name, value in filled(function, 1).items()}  # fmt: skip
        for name, value in given.items():
            other = tf.zeros(value.shape, tf.float64 if value.dtype == tf.string else tf.string)
            with pytest.raises(tf.errors.InvalidArgumentError, match="was expected to be a"):
                function(**given | {name: other})


def test_no_rows_have_no_answers(exported):
    for signature, function in exported.items():
        for name, values in ask(exported, signature, **filled(function, 0)).items():
            assert name == "classes" or values.shape[0] == 0


def test_an_age_for_each_item(exported):
    for items, age in ((["p01", "p02"], [1.0]), (["p01"], [1.0, 2.0]), ([], [1.0])):
        with pytest.raises(
            tf.errors.InvalidArgumentError, match=r"history_item_ids and history_age need the same shape"
        ):
            with_past(exported, items, age)


@pytest.mark.parametrize("unknown", [-1.0, -1e9, -np.inf, np.inf])
def test_ages_that_cannot_be_are_unknown(tiny_pipeline, exported, unknown):
    names = ["p01", "p02", "p01", "nothing", "p03"]
    answer = with_past(exported, names, [unknown, 3.0, unknown, unknown, 1.0])
    assert_all_items(answer, ids_of(tiny_pipeline, "item"))
    assert {name for name, seen in zip(answer["item_ids"][0], answer["seen"][0], strict=True) if seen} == {
        b"p01", b"p02", b"p03"
    }  # fmt: skip
    other = with_past(exported, names, [np.nan, 3.0, np.nan, np.nan, 1.0])
    np.testing.assert_array_equal(answer["scores"], other["scores"])


def test_a_long_past_takes_memory_by_its_length(tiny_pipeline, exported):
    items = ids_of(tiny_pipeline, "item")
    with_past(exported, items, np.arange(len(items)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    length = 20_000
    answer = with_past(exported, np.resize(items, length), np.arange(length)[::-1] / 7)
    assert_all_items(answer, items)
    # Kilobytes. One matrix of purchases by purchases would be 400 MB, of one byte each.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 3e38, -3e38])
def test_answers_to_any_numbers_are_numbers(exported, number):
    for signature, function in exported.items():
        request = filled(function, 2)
        for name, spec in specs_of(function).items():
            if spec.dtype == tf.float32:
                request[name] = np.full_like(request[name], number)
        for values in ask(exported, signature, **request).values():
            assert values.dtype == object or np.isfinite(values).all()


def test_ids_that_are_odd_are_unknown(exported):
    odd = ["", "nobody", "x" * 1_000_000, "101 ", "\0", "ü", b"\xff\xfe"]
    answer = recommend(exported, [*odd, "101", "101"], k=10, exclude=[["p01", "p01", "", "nothing", "x" * 1_000_000]])
    for values in answer.values():
        np.testing.assert_array_equal(values[: len(odd)], np.repeat(values[:1], len(odd), 0))
        np.testing.assert_array_equal(values[-2], values[-1])
    assert (answer["scores"][0] != answer["scores"][-1]).any()
    assert not {b"p01", b""} & set(answer["item_ids"].ravel())


def test_scores_that_are_no_numbers_take_no_places(tiny_pipeline, monkeypatch):
    servable = Servable(tiny_pipeline, "next", unseen=False)
    items = ids_of(tiny_pipeline, "item")
    scores = np.linspace(5, -5, len(items)).astype(np.float32)
    scores[[0, 3, 7, 11]] = np.nan
    scores[20], scores[30] = np.inf, -np.inf
    # As of a head that says nothing of how its scores come about.
    monkeypatch.setattr(type(servable.head), "factored", False)
    monkeypatch.setattr(servable.head, "score", lambda query, candidates, batch: tf.constant(scores[None]))
    batch = servable.known("user").batch({"user_id": tf.constant(["101"])})
    answer = servable.recommend(batch, tf.constant(MOST), tf.constant([[items[5], items[20], items[7]]]), {})
    answer = {name: values.numpy() for name, values in answer.items()}
    there = len(items) - 4
    expected = [
        i for i in np.argsort(-np.where(np.isfinite(scores), scores, -99), kind="stable") if i not in (0, 5, 7, 20)
    ]
    assert answer["item_ids"][0, :there].tolist() == [items[i].encode() for i in expected]
    assert np.isfinite(answer["scores"][0, :there]).all()
    assert set(answer["item_ids"][0, there:]) == {b""}
    assert np.isneginf(answer["scores"][0, there:]).all()
    best = servable.recommend(batch, tf.constant(1), tf.zeros([1, 0], tf.string), {})
    assert best["item_ids"].numpy().tolist() == [[items[20].encode()]]
    assert np.isfinite(best["scores"]).all()


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
