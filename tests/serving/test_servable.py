"""What an export answers, asked through its signatures after loading it again."""

from dataclasses import replace

import numpy as np
from asking import ask, ids_of, recommend
from passes import answers, scorer
from scipy.stats import spearmanr

from mtkit.data.known_as_of import history_bounds
from mtkit.feed.device_tables import RowStore
from mtkit.serving.servable import Servable, serving_rows
from mtkit.serving.signature_set import DEFAULT_K, signatures

NOBODY, NOTHING = "nobody", "nothing"
COLUMNS = ("own", "activity", "popularity")


def model_scores(pipeline, users):
    """Scores of the main task as of the end of the data, by the way of evaluation."""
    return scorer(pipeline.model, "next", RowStore(serving_rows(pipeline.fold, COLUMNS)))(np.array(users))


def test_recommendations_are_the_models_own(tiny_pipeline, exported):
    users, items = ids_of(tiny_pipeline, "user"), ids_of(tiny_pipeline, "item")
    rows = np.arange(1, len(users))
    answer = recommend(exported, users[1:], k=len(items) + 5)
    assert answer["item_ids"].shape == (len(rows), len(items) - 1)
    expected = model_scores(tiny_pipeline, rows)
    for row, scores, names in zip(expected, answer["scores"], answer["item_ids"], strict=True):
        by_name = dict(zip(items, row, strict=True))
        assert sorted(name.decode() for name in names) == sorted(items[1:])
        assert (np.diff(scores) <= 0).all()
        np.testing.assert_allclose(scores, [by_name[name.decode()] for name in names], atol=1e-5)
    default = ask(exported, "serving_default", user_id=users[1:])
    np.testing.assert_array_equal(default["item_ids"], answer["item_ids"][:, :DEFAULT_K])


def test_seen_is_the_own_past(tiny_pipeline, exported):
    users, items = ids_of(tiny_pipeline, "user"), ids_of(tiny_pipeline, "item")
    events = tiny_pipeline.fold.events
    answer = recommend(exported, users[1:], k=len(items))
    past = ask(exported, "past", user_id=users[1:], k=1000)
    for row in range(1, len(users)):
        mine = slice(events.offsets[row], events.offsets[row + 1])
        bought = {items[item] for item in events.ids["item"][mine]}
        names = [name.decode() for name in answer["item_ids"][row - 1]]
        assert {name for name, seen in zip(names, answer["seen"][row - 1], strict=True) if seen} == bought
        latest = [items[item].encode() for item in events.ids["item"][mine][::-1]]
        assert past["item_ids"][row - 1, : len(latest)].tolist() == latest
        assert past["times"][row - 1, : len(latest)].tolist() == events.time[mine][::-1].tolist()
        assert set(past["item_ids"][row - 1, len(latest) :]) <= {b""}


def test_exclusions_are_masked_before_the_top(tiny_pipeline, exported):
    users, items = ids_of(tiny_pipeline, "user")[1:4], ids_of(tiny_pipeline, "item")
    everything = recommend(exported, users, k=len(items))["item_ids"]
    out = [[*row[:4], ""] for row in everything.astype(object)]
    out[1][1:] = [b"", b"", b"", NOTHING.encode()]
    answer = recommend(exported, users, k=3, exclude=out)["item_ids"]
    for rest, excluded, got in zip(everything, out, answer, strict=True):
        assert got.tolist() == [item for item in rest.tolist() if item not in excluded][:3]
    for_all = recommend(exported, users, k=3, exclude=[items[1:3]])["item_ids"]
    for rest, got in zip(everything, for_all, strict=True):
        assert got.tolist() == [item for item in rest.tolist() if item.decode() not in items[1:3]][:3]


def test_where_nothing_is_left(tiny_pipeline, exported):
    items = ids_of(tiny_pipeline, "item")
    answer = recommend(exported, ["101"], k=4, exclude=[items[3:]])
    assert sorted(answer["item_ids"][0].tolist()) == sorted([b"", b"", *(item.encode() for item in items[1:3])])
    assert np.isneginf(answer["scores"][0, 2:]).all()
    assert not answer["seen"][0, 2:].any()


def test_rank_gives_the_predictions_of_the_model(tiny_pipeline, exported):
    fold, lines = tiny_pipeline.fold, tiny_pipeline.tables["lines"]["eval"]
    # The rows of evaluation, at the end of the data.
    time = np.full(len(lines), fold.end)
    table = replace(lines, time=time, known=time, history=history_bounds(fold.events, lines.ids["user"], time))
    rows = RowStore(tiny_pipeline.features.apply(table))
    expected = answers(tiny_pipeline.model, ["discounted", "gift"], rows, 512)
    given = {f"{entity}_id": np.array(ids_of(tiny_pipeline, entity), object)[ids] for entity, ids in lines.ids.items()}
    given |= {"context_channel": lines.context["channel"], "context_hour": lines.context["hour"]}
    answer = ask(exported, "rank", **given)
    assert set(answer) == {"discounted", "gift"}
    for task, probabilities in answer.items():
        np.testing.assert_allclose(probabilities, expected[task], atol=1e-5)
    other = ask(exported, "rank", **given | {"context_hour": np.full(len(lines), np.nan)})
    assert np.abs(other["gift"] - answer["gift"]).max() > 1e-3
    np.testing.assert_array_equal(other["discounted"], answer["discounted"])


def test_content_tasks_have_their_names(tiny_pipeline, exported):
    items = ids_of(tiny_pipeline, "item")
    rows = tiny_pipeline.tables["items"]["eval"].ids["item"]
    answer = ask(exported, "department", item_id=[items[row] for row in rows])
    expected = answers(tiny_pipeline.model, ["department"], tiny_pipeline.model.feed.rows["items/eval"], 512)[
        "department"
    ]
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-5)
    assert answer["class"].tolist() == answer["classes"][expected.argmax(1)].tolist()
    assert [name.decode() for name in answer["classes"]] == list(tiny_pipeline.classes["department"])


def test_embeddings_are_the_dense_part(tiny_pipeline, exported):
    users, items = ids_of(tiny_pipeline, "user")[1:], ids_of(tiny_pipeline, "item")
    query = ask(exported, "embed_user", user_id=users)["embedding"]
    candidate = ask(exported, "embed_item", item_id=items[1:])["embedding"]
    head = tiny_pipeline.model.heads["next"]
    answer = recommend(exported, users, k=len(items))
    popularity = serving_rows(tiny_pipeline.fold, COLUMNS).shared["popularity"].values[0] @ head.prior.numpy()
    dense = query @ candidate.T + popularity[None, 1:]
    for row, names, scores, seen in zip(dense, answer["item_ids"], answer["scores"], answer["seen"], strict=True):
        by_name = dict(zip(items[1:], row, strict=True))
        new = ~seen
        difference = scores[new] - [by_name[name.decode()] for name in names[new]]
        # What remains is the activity of the user, the same for all items.
        assert difference.max(initial=-9) - difference.min(initial=9) < 1e-5


def test_unknown_users_get_what_is_popular(tiny_pipeline, exported):
    items, events = ids_of(tiny_pipeline, "item"), tiny_pipeline.fold.events
    answer = recommend(exported, [NOBODY, ""], k=len(items))
    np.testing.assert_array_equal(answer["scores"][0], answer["scores"][1])
    assert not answer["seen"].any()
    bought = np.unique(np.stack([events.ids["user"], events.ids["item"]]), axis=1)[1]
    popularity = dict(zip(items, np.bincount(bought, minlength=len(items)), strict=True))
    listed = [popularity[name.decode()] for name in answer["item_ids"][0]]
    # Their order is that of popularity (chance: 0 ± 0.16), more so without what the model learned of nobody.
    assert spearmanr(listed, -np.arange(len(listed))).statistic > 0.5
    query = ask(exported, "embed_user", user_id=[NOBODY])["embedding"][0]
    candidate = ask(exported, "embed_item", item_id=items[1:])["embedding"]
    learned = dict(zip(items[1:], candidate[:, :-1] @ query[:-1], strict=True))
    rest = answer["scores"][0] - [learned[name.decode()] for name in answer["item_ids"][0]]
    assert spearmanr(listed, rest).statistic > 0.8
    best = {name for name, _ in sorted(popularity.items(), key=lambda pair: -pair[1])[:10]}
    assert len(best & {name.decode() for name in answer["item_ids"][0][:10]}) >= 6


def test_unknown_items_are_row_0(exported):
    both = ask(exported, "embed_item", item_id=[NOTHING, ""])["embedding"]
    np.testing.assert_array_equal(both[0], both[1])
    context = {"context_channel": ["web"], "context_hour": [9.0]}
    answer = ask(exported, "rank", user_id=["101"], item_id=[NOTHING], **context)
    assert 0 < answer["discounted"][0] < 1


def raw_items(pipeline, rows):
    table = pipeline.fold.entities["item"].columns.take(rows)
    return {
        "item_color": [value or "" for value in table["color"].to_pylist()],
        "item_family": [value or "" for value in table["family"].to_pylist()],
        "item_weight": [np.nan if value is None else value for value in table["weight"].to_pylist()],
    }


def test_new_items_are_scored_from_their_features(tiny_pipeline, exported):
    items, rows = ids_of(tiny_pipeline, "item"), np.arange(1, 40)
    raw = raw_items(tiny_pipeline, rows)
    look = {name: raw[name] for name in ("item_color", "item_weight")}
    # The content task does not read the id, so its answers are those for the items that look the same.
    new = ask(exported, "department_new_item", **look)
    known = ask(exported, "department", item_id=[items[row] for row in rows])
    np.testing.assert_allclose(new["probabilities"], known["probabilities"], atol=1e-6)

    context = {"context_channel": ["web"] * len(rows), "context_hour": [9.0] * len(rows)}
    new = ask(exported, "rank_new_item", user_id=["101"] * len(rows), **raw, **context)["discounted"]
    color = np.array(raw["item_color"])
    # Red things are discounted: that much can be known of a thing never seen.
    assert new[color == "red"].mean() > new[color != "red"].mean() + 0.1
    unknown = ask(exported, "embed_item", item_id=[NOTHING])["embedding"]
    nothing_known = {"item_color": [""], "item_family": [""], "item_weight": [np.nan]}
    np.testing.assert_allclose(ask(exported, "embed_new_item", **nothing_known)["embedding"], unknown, atol=1e-6)


def test_new_users_are_served_by_what_they_bring(tiny_pipeline, exported):
    items, events = ids_of(tiny_pipeline, "item"), tiny_pipeline.fold.events
    row = 5
    mine = slice(events.offsets[row], events.offsets[row + 1])
    age = (tiny_pipeline.fold.end - events.time[mine]) / 86400
    history = {"history_item_ids": [[items[item] for item in events.ids["item"][mine]]], "history_age": [age]}
    column = tiny_pipeline.fold.entities["user"].columns.slice(row, 1).to_pylist()[0]
    raw = {"user_town": [column["town"] or ""], "user_age": [np.nan if column["age"] is None else column["age"]]}
    twin = recommend(exported, None, k=len(items), signature="recommend_new_user", **history, **raw)

    known = recommend(exported, [ids_of(tiny_pipeline, "user")[row]], k=len(items))
    table = dict(zip(known["item_ids"][0], known["seen"][0], strict=True))
    assert dict(zip(twin["item_ids"][0], twin["seen"][0], strict=True)) == table
    # The id alone tells them apart; what is in the past does not depend on it.
    scores = dict(zip(known["item_ids"][0], known["scores"][0], strict=True))
    for name, score, seen in zip(twin["item_ids"][0], twin["scores"][0], twin["seen"][0], strict=True):
        assert not seen or abs(score - scores[name]) < 1e-5

    nobody = {"history_item_ids": np.zeros([1, 0], object), "history_age": np.zeros([1, 0])}
    nobody |= {"user_town": [""], "user_age": [np.nan]}
    empty = recommend(exported, None, k=len(items), signature="recommend_new_user", **nobody)
    np.testing.assert_allclose(empty["scores"], recommend(exported, [NOBODY], k=len(items))["scores"], atol=1e-5)


def test_without_unseen(tiny_pipeline):
    made = signatures(Servable(tiny_pipeline, "next", unseen=False))
    by_id = {"serving_default", "recommend", "rank", "department", "embed_user", "embed_item", "past", "similar_items"}
    assert set(made) == by_id
