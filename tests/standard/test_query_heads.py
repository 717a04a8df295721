"""Orders of the rows of a query: the spec, which rows come together, and a recipe that is trained, evaluated and exported."""

from dataclasses import replace

import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.data.catalogs import make_fold
from mtkit.data.labels import Labels
from mtkit.data.queries import with_queries
from mtkit.data.row_builders import event_table
from mtkit.errors import RecipeError
from mtkit.feed.step_rows import training_rows
from mtkit.model.model_evaluation import evaluate
from mtkit.recipe.loader import load_recipe
from mtkit.runs.keras_api import build
from mtkit.serving.export import save
from mtkit.spec import Cut
from mtkit.standard.order_metrics import Ndcg
from mtkit.standard.query_heads import Listwise
from mtkit.testing import check_import_is_light, check_spec
from mtkit.types import DAY, RowTable

UNSETS = ("correlation", "task.next", "task.gift", "rows.windows", "encoder.past", "encoder.visit", "evaluate.main")
SETS = [
    "task.discounted.use=listwise",
    "task.discounted.inputs=['customer', 'look']",
    "evaluate.prediction_metrics=['auc', 'ndcg']",
]


def test_spec(make_context):
    spec = Listwise(rows="shown", inputs=("user", "item"), label="click", by="session", loss="lambdarank")
    check_spec(spec)
    assert spec.query_by == "session"
    assert Listwise(rows="shown", inputs=("user",), label="click").query_by == ""
    head = spec.build(make_context("click"))
    assert (head.name, head.inputs, head.of_query) == ("click", ("user", "item"), "lambdarank")


def test_specs_are_light():
    check_import_is_light("mtkit.standard.query_heads")


@pytest.mark.parametrize("by", ["", "user", "basket", "channel"])
def test_all_rows_of_a_query_are_in_one_step(tiny_recipe, by):
    pipeline = build(tiny_recipe, [*SETS, *([f"task.discounted.by={by}"] if by else [])], UNSETS)
    table = pipeline.tables["lines"]["train"]
    events = pipeline.fold.events
    expected = {"basket": events.group, "channel": np.array(events.columns["channel"].to_pylist(), object)}
    queries = expected[by][table.event] if by in expected else table.ids["user"]
    rate, seen = pipeline.rates()["lines"], []
    for step in training_rows({"lines": rate}, 1, 0, rate.steps):
        rows = step["lines"].numpy()
        rows = rows[rows >= 0]
        seen += [*rows]
        for query in set(queries[rows]):
            assert set(np.flatnonzero(queries == query)) <= set(rows)
    assert sorted(seen) == [*range(len(table))]


@pytest.mark.parametrize("loss", ["listnet", "lambdarank", "approx_ndcg"])
def test_recipes_train_evaluate_and_export(train_tiny, tmp_path, loss):
    more = [f"task.discounted.loss={loss}", "task.discounted.by=basket", "train.epochs=3"]
    pipeline = train_tiny(*SETS, *more, unsets=UNSETS)
    found, answers = {}, {}
    found = evaluate(pipeline, answers=answers)
    table = pipeline.tables["lines"]["eval"]
    baskets = pipeline.fold.events.group[table.event]
    expected = Ndcg().value(
        table.labels["discounted"], answers["discounted"], table.weights["discounted"], groups=baskets
    )
    assert found["discounted/ndcg"] == pytest.approx(expected)
    shuffled = np.random.default_rng(0).permutation(answers["discounted"])
    chance = Ndcg().value(table.labels["discounted"], shuffled, table.weights["discounted"], groups=baskets)
    assert found["discounted/ndcg"] > chance + 0.05
    signature = tf.saved_model.load(str(save(pipeline, tmp_path / "export", unseen=False))).signatures["rank"]
    answer = signature(user_id=tf.constant(["101"]), item_id=tf.constant(["p01"]))
    assert np.isfinite(answer["discounted"]).all()


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["task.discounted.by=price"], r"'price' makes no queries; known: basket, channel, item, user"),
        (
            ["task.discounted.by=basket", "task.gift.use=listwise", "task.gift.inputs=['customer']"],
            r"task\.gift\.by: task\.discounted has queries of the rows of 'lines' by 'basket'",
        ),
    ],
)
def test_mistakes(tiny_recipe, sets, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(tiny_recipe, [*SETS, *sets])


def test_rows_without_queries_and_queries_of_one_kind_are_refused():
    spec = Listwise(rows="shown", inputs=("user",), label="click", by="session")
    table = RowTable("shown", {"user": np.array([1, 1, 2])}, np.arange(3), np.zeros((0, 2)), np.arange(3),
                     labels={"click": np.float32([1, 0, 1])}, weights={"click": np.ones(3, np.float32)})  # fmt: skip

    def unfit(dense, spec=spec):
        return list(spec.unfit({"shown": {"train": replace(table, dense=dense)}}))

    assert unfit({"query session": np.array([0, 0, 1])}) == []
    assert unfit({}) == [(("by",), "rows of 'shown' have no 'session' that could make queries of them")]
    [(path, message)] = unfit({"query session": np.array([0, 1, 2])})
    assert path == ("label",)
    assert message.startswith("no query by 'session' has rows of 'shown' with 0 and with 1 in 'click'")


def test_rows_that_do_not_say_their_query_are_alone(shop):
    fold = make_fold(shop, Cut("test", 60 * DAY, 80 * DAY, 100 * DAY), {})
    events = np.arange(len(fold.events))
    table = replace(event_table(fold, events, Labels(), "all"), name="all")
    numbers = with_queries(fold, table, ["store"]).dense["query store"]
    stores = np.array(fold.events.columns["store"].to_pylist(), object)
    assert len({*numbers[stores == "north"]}) == len({*numbers[stores == "south"]}) == 1
    nowhere = np.array([store is None for store in stores])
    assert len({*numbers[nowhere]}) == nowhere.sum() > 0
    assert numbers.dtype == np.int32
