"""Lists of two stages, beside the same lists put together by hand from what the stages answer alone."""

import numpy as np
import pytest
from asking import ask, ids_of, recommend

from mtkit.backend import tf
from mtkit.errors import RecipeError
from mtkit.feed.batch import Batch
from mtkit.model.forward import Forward
from mtkit.serving.export import save
from mtkit.serving.two_stages import spread

GIFT = 'task.gift={use = "user_preference", inputs = ["customer", "look"]}'
LISTS = "recommend={candidates = 12, utility = {discounted = 1.0, gift = 0.5}}"


@pytest.fixture(scope="session")
def kept():
    """Pipelines with their signatures, by settings: a training serves all tests."""
    return {}


@pytest.fixture
def lists(kept, train_tiny, tmp_path):
    """`lists(settings)` gives a trained pipeline that makes lists, and its signatures, loaded again."""

    def of(settings):
        if settings not in kept:
            pipeline = train_tiny(GIFT, settings, "train.epochs=1")
            kept[settings] = pipeline, tf.saved_model.load(str(save(pipeline, tmp_path / "export"))).signatures
        return kept[settings]

    return of


def by_hand(signatures, user, candidates=12, exclude=()):
    """The candidates of a user with their scores, and what the ranking tasks say of them, by the signatures of the stages."""
    found = recommend(signatures, [user], k=candidates, exclude=exclude, signature="retrieve")
    items = found["item_ids"][0]
    said = ask(signatures, "rank", user_id=[user] * len(items), item_id=items)
    share = np.exp(found["scores"][0] - found["scores"][0].max())
    return items, {**said, "next": share / share.sum()}


def in_order(items, utility):
    order = np.argsort(-utility, kind="stable")
    return items[order].tolist(), utility[order]


def test_lists_are_the_candidates_by_the_weighted_sum(lists):
    pipeline, signatures = lists(LISTS)
    for user in (*ids_of(pipeline, "user")[1:6], "nobody"):
        items, said = by_hand(signatures, user)
        expected, utility = in_order(items, said["discounted"] + 0.5 * said["gift"])
        answer = recommend(signatures, [user], k=12)
        np.testing.assert_allclose(answer["scores"][0], utility, atol=1e-5)
        assert answer["item_ids"][0].tolist() == expected
        assert recommend(signatures, [user], k=3)["item_ids"][0].tolist() == expected[:3]
        seen = dict(
            zip(
                *(recommend(signatures, [user], k=12, signature="retrieve")[n][0] for n in ("item_ids", "seen")),
                strict=True,
            )
        )
        assert [seen[item] for item in expected] == answer["seen"][0].tolist()
    assert recommend(signatures, ["101"], k=99)["item_ids"].shape == (1, 12)


def test_what_is_excluded_makes_room_for_other_candidates(lists):
    _, signatures = lists(LISTS)
    out = recommend(signatures, ["101"], k=4)["item_ids"]
    items, said = by_hand(signatures, "101", exclude=out)
    assert not {*out[0]} & {*items}
    answer = recommend(signatures, ["101"], k=12, exclude=out)
    assert answer["item_ids"][0].tolist() == in_order(items, said["discounted"] + 0.5 * said["gift"])[0]


def test_new_users_have_lists_of_what_they_bring(lists):
    """A user of the data without an id of his or her own: candidates by `retrieve` are those of nobody in particular."""
    _, signatures = lists(LISTS)
    nobody = {"history_item_ids": np.zeros([1, 0], object), "history_age": np.zeros([1, 0])}
    nobody |= {"user_town": [""], "user_age": [np.nan]}
    answer = recommend(signatures, None, k=12, signature="recommend_new_user", **nobody)
    known = recommend(signatures, ["nobody"], k=12)
    np.testing.assert_array_equal(answer["item_ids"], known["item_ids"])
    np.testing.assert_allclose(answer["scores"], known["scores"], atol=1e-5)
    past = {"history_item_ids": [["p01", "p02"]], "history_age": [[9.0, 2.0]]}
    other = recommend(signatures, None, k=12, signature="recommend_new_user", **nobody | past)
    assert np.abs(other["scores"] - answer["scores"]).max() > 1e-4


@pytest.mark.slow
def test_the_retrieval_task_counts_by_its_share(lists):
    product = 'recommend={candidates = 12, combine = "product", utility = {next = 1.0, discounted = 2.0}, floors = {gift = 0.4}}'
    for settings, utility in (
        (
            "recommend={candidates = 12, utility = {next = 2.0, discounted = 1.0}}",
            lambda s: 2 * s["next"] + s["discounted"],
        ),
        (product, lambda s: np.where(s["gift"] >= np.float32(0.4), s["next"] * s["discounted"] ** 2, -np.inf)),
    ):
        _, signatures = lists(settings)
        # Of the stages by hand a task is asked that is in no utility.
        items, said = by_hand(signatures, "103")
        expected, values = in_order(items, utility(said))
        answer = recommend(signatures, ["103"], k=12)
        np.testing.assert_allclose(answer["scores"][0], values, rtol=1e-4)
        there = np.isfinite(values)
        assert answer["item_ids"][0].tolist() == [
            item if kept else b"" for item, kept in zip(expected, there, strict=True)
        ]


@pytest.mark.slow
def test_filters(lists):
    settings = (
        'recommend={candidates = 12, utility = {discounted = 1.0}, seen = false, filters = ["family", "color"], '
        "where = {weight = {at_least = 0.2}}}"
    )
    pipeline, signatures = lists(settings)
    catalog = pipeline.fold.entities["item"].columns.to_pylist()
    names = ids_of(pipeline, "item")
    columns = dict(zip(names, catalog, strict=True))
    none = {"filter_family": [[""]], "filter_color": [[""]]}

    def asked(**wanted):
        answer = recommend(signatures, ["101", "105"], k=40, **none | wanted)
        return [[columns[name.decode()] for name in row if name] for row in answer["item_ids"]], answer

    for row in asked()[0]:
        assert len(row) == 12
        assert all(item["weight"] >= 0.2 for item in row)
    assert not asked()[1]["seen"].any()
    one, other = asked(filter_color=[["red", ""], ["green", "blue"]])[0]
    assert {item["color"] for item in one} == {"red"}
    assert {item["color"] for item in other} == {"green", "blue"}
    both = asked(filter_color=[["red"]], filter_family=[["f1", "f2", "f3", "nothing"]])[0]
    assert {(item["color"], item["family"] in ("f1", "f2", "f3")) for row in both for item in row} == {("red", True)}
    assert asked(filter_color=[["nothing"]])[0] == [[], []]


def test_spread_is_maximal_marginal_relevance():
    rng = np.random.default_rng(0)
    relevance, unit = rng.random((3, 9)).astype(np.float32), rng.normal(size=(3, 9, 4)).astype(np.float32)
    unit /= np.linalg.norm(unit, axis=-1, keepdims=True)
    relevance[1, 4:] = -np.inf
    found = spread(tf.constant(relevance), tf.constant(unit), tf.constant(6), 0.6).numpy()
    for row, (value, vectors) in enumerate(zip(relevance, unit, strict=True)):
        taken = []
        while len(taken) < 6:
            near = (vectors @ vectors[taken].T).max(1) if taken else np.zeros(9)
            worth = 0.4 * value - 0.6 * near
            worth[taken] = -np.inf
            left = [place for place in range(9) if place not in taken]
            taken.append(max(left, key=lambda place: (worth[place], -place)))
        assert found[row].tolist() == taken


@pytest.mark.slow
def test_diverse_lists_are_less_alike(lists):
    pipeline, signatures = lists(LISTS)
    users, items = ids_of(pipeline, "user")[1:40], ids_of(pipeline, "item")
    _, spread_out = lists(LISTS.replace("candidates", "diversity = 0.7, candidates"))

    def alike(answer, embedded):
        unit = embedded["embedding"][:, :-1] / np.linalg.norm(embedded["embedding"][:, :-1], axis=1, keepdims=True)
        places = [[items.index(name.decode()) for name in row] for row in answer["item_ids"]]
        return np.mean([(unit[row] @ unit[row].T).mean() for row in places])

    plain, diverse = (
        alike(recommend(of, users, k=4), ask(of, "embed_item", item_id=items)) for of in (signatures, spread_out)
    )
    assert diverse < plain - 0.05
    best = recommend(spread_out, users, k=12)
    np.testing.assert_array_equal(recommend(spread_out, users, k=4)["item_ids"], best["item_ids"][:, :4])
    assert (best["scores"].max(1) == best["scores"][:, 0]).all()


def test_rows_of_users_are_encoded_once(lists, monkeypatch):
    pipeline, _ = lists(LISTS)
    encoder, rows = pipeline.model.encoders["past"], []
    call = type(encoder).call
    monkeypatch.setattr(
        type(encoder),
        "call",
        lambda self, inputs, training=False: rows.append(len(inputs["history.item"])) or call(self, inputs, training),
    )
    forward, batch = (
        Forward(pipeline.model, whole=frozenset()),
        pipeline.model.feed.batch("windows/eval", tf.range(3, dtype=tf.int64)),
    )
    pairs = batch.paired("item", tf.constant([[1, 2], [3, 4], [5, 6]]))
    pipeline.model.heads["next"].queries(forward.task("next", batch))
    once = pipeline.model.heads["discounted"].answers(forward.task("discounted", pairs))
    assert rows == [3]
    apart = Batch(ids=pairs.ids, time=pairs.time, history=pairs.history)
    again = Forward(pipeline.model, whole=frozenset()).task("discounted", apart)
    np.testing.assert_allclose(once, pipeline.model.heads["discounted"].answers(again), atol=1e-6)
    assert rows == [3, 6]


def test_tasks_of_classes_are_refused_before_training(train_tiny):
    with pytest.raises(RecipeError, match=r"orders items by one number, but 'item.department' has 6 classes"):
        train_tiny("recommend={utility = {department = 1}}")
