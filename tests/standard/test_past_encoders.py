"""Encoders of the past; attention to the candidate, too, in a recipe that is trained, evaluated and exported."""

from dataclasses import replace

import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.conditions import Where
from mtkit.errors import DeclarationError, RecipeError
from mtkit.model.model_evaluation import evaluate
from mtkit.recipe.loader import load_recipe
from mtkit.serving.export import save
from mtkit.spec import FeatureInfo
from mtkit.standard.past_encoders import History, Sequence, TargetAttention
from mtkit.testing import check_import_is_light, check_layer_config, check_spec

READS = "reads=['history.item', 'item.id', 'history.channel']"
SEEN = f"encoder.seen={{use='target_attention', {READS}, items='look', dim=8, recency=true}}"
RANKED = [SEEN, "task.discounted.inputs=['customer', 'seen', 'product']"]


@pytest.fixture
def context(make_context):
    return replace(make_context(), sizes={"item": 30})


def test_history(context):
    spec = History(reads=("history.item",), dim=8, length=16)
    check_spec(spec)
    layer = spec.build(context)
    ids = tf.constant([[0] * 15 + [3], [0] * 16])
    assert layer({"history.item": ids, "history.age": tf.zeros([2, 16])}).shape == (2, 8)
    assert layer.length == 16
    check_layer_config(layer)


def test_history_of_some_events_and_of_what_is_known_of_them(context):
    infos = {"history.event": FeatureInfo(size=5), "history.rating": FeatureInfo(width=2)}
    context = replace(context, features=infos)
    where = {"event": ["buy", "cart"], "rating": {"null": False, "at_least": 3}}
    spec = History(reads=("history.item", *infos), where=where, recency=True, dim=8, length=4)
    check_spec(spec)
    assert spec.history_where == Where.model_validate(where)
    assert spec.history_length == 4
    assert spec.table_rows({"item": 30}) == 30
    assert spec.numbers_per_row({"item": 300}) == 4 * 8 + 2 * 4 * 2
    layer = spec.build(context)
    assert layer.sizes == {"history.event": 5}
    assert layer.widths == {"history.rating": 2}
    inputs = {"history.item": tf.constant([[0, 0, 2, 29]]), "history.age": tf.ones([1, 4])}
    inputs |= {"history.event": tf.constant([[0, 0, 4, 1]]), "history.rating": tf.ones([1, 4, 2])}
    assert layer(inputs).shape == (1, 8)
    check_layer_config(layer)


@pytest.mark.parametrize(
    ("reads", "message"),
    [
        (("item.id",), "reads 'item.id', expected a past"),
        (("history.item", "context.hour"), "reads 'context.hour', expected a past"),
        (("history.item", "history.event", "history.event"), "expected each once"),
    ],
)
def test_a_history_reads_a_past_and_nothing_else(reads, message):
    with pytest.raises(DeclarationError, match=message):
        History(reads=reads)


def test_names_of_content():
    assert History(reads=("history.item",)).content == ()
    assert History(reads=("history.item",), items="text").content == ("text",)


def test_target_attention(make_context):
    infos = {"history.event": FeatureInfo(size=5), "history.rating": FeatureInfo(width=2)}
    context = replace(make_context(), features=infos, sizes={"item": 30})
    where = {"event": ["buy"]}
    spec = TargetAttention(
        reads=("history.item", "item.id", *infos), where=where, items="text", length=4, dim=8, hidden=(6, 2)
    )
    check_spec(spec)
    assert (spec.history_length, spec.history_where) == (4, Where.model_validate(where))
    assert (spec.content, spec.width) == (("text",), 8)
    assert spec.table_rows({"item": 30}) == 30
    assert spec.numbers_per_row({"item": 30}) == 4 * (2 * 8 + 6 + 2 + 2 * 8)
    layer = spec.build(context)
    assert (layer.entity, layer.size, layer.sizes, layer.widths) == (
        "item",
        30,
        {"history.event": 5},
        {"history.rating": 2},
    )
    check_layer_config(layer)


def test_specs_are_light():
    check_import_is_light("mtkit.standard.past_encoders")


@pytest.mark.parametrize(
    ("reads", "message"),
    [
        (("item.id", "history.item"), "reads 'item.id' first, expected a past"),
        (("history.item", "user.id"), r"reads 'user\.id' after 'history\.item', expected the candidate, 'item\.id'"),
        (("history.item", "item.id", "item.tag"), "reads 'item.tag', expected a column of past events"),
        (("history.item", "item.id", "history.event", "history.event"), "expected each once"),
        (("history.item",), "at least 2"),
    ],
)
def test_reads_a_past_and_a_candidate(reads, message):
    with pytest.raises(DeclarationError, match=message):
        TargetAttention(reads=reads)


def test_queries_of_retrieval_do_not_read_it(tiny_recipe):
    message = "a query must not depend on the candidate of the row, but 'seen' depends on item.id"
    with pytest.raises(RecipeError, match=message):
        load_recipe(tiny_recipe, [SEEN, "task.next.query=['seen', 'customer']"])


def test_a_request_that_brings_the_past_of_a_user_gets_what_the_user_gets(train_tiny, tmp_path):
    unsets = ("correlation", "task.next", "task.gift", "rows.windows", "encoder.past", "encoder.visit", "evaluate.main")
    pipeline = train_tiny(*RANKED, "encoder.customer.reads=['user.town', 'user.age']", "train.epochs=1", unsets=unsets)
    assert np.isfinite(evaluate(pipeline)["discounted/auc"])
    signatures = tf.saved_model.load(str(save(pipeline, tmp_path / "export"))).signatures

    def ask(name, **inputs):
        specs = signatures[name].structured_input_signature[1]
        given = {key: tf.constant(value, specs[key].dtype) for key, value in inputs.items()}
        return signatures[name](**given)["discounted"].numpy()

    fold, items = pipeline.fold, ["p01", "p02", "p03", "p04"]
    row = 5
    user, data = fold.catalog("user").ids[row], pipeline.recipe.data.source.load().entities["user"].to_pylist()
    person = next(each for each in data if str(each["id"]) == str(user))
    there = np.arange(*fold.events.offsets[row : row + 2])
    ids = fold.catalog("item").ids[fold.events.ids["item"][there]]
    channels = fold.events.columns["channel"].take(there).to_pylist()
    age = (fold.end - fold.events.time[there]) / 86400
    past = {"history_item_ids": [list(ids)] * 4, "history_age": [list(age)] * 4, "history_channel": [channels] * 4}
    own = {"user_town": [person["town"] or ""] * 4, "user_age": [person["age"] or np.nan] * 4}
    known = ask("rank", user_id=[str(user)] * 4, item_id=items)
    np.testing.assert_allclose(ask("rank_new_user", item_id=items, **past, **own), known, atol=1e-5)
    other = past | {"history_item_ids": [list(np.roll(ids, 1))] * 4}
    assert np.abs(ask("rank_new_user", item_id=items, **other, **own) - known).max() > 1e-6
    nobody = {name: np.array(values)[:, :0] for name, values in past.items()}
    assert np.isfinite(ask("rank_new_user", item_id=items, **nobody, **own)).all()


def test_changes_of_pasts_need_a_way():
    with pytest.raises(DeclarationError, match=r"augmented = 0\.3 is of no use without a way"):
        Sequence(reads=("history.item",), augmented=0.3)
    for way in ("crop", "mask", "reorder"):
        with pytest.raises(DeclarationError, match=f"{way}: expected a number above 0 and below 1, got 1"):
            Sequence(reads=("history.item",), **{way: 1})
    assert Sequence(reads=("history.item",), mask=0.2).reads_sequences
    assert not Sequence(reads=("history.item",), crop=0.2).reads_sequences
