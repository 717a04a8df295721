"""Orders of the rows of a query: the spec, which rows come together, and a recipe that is trained, evaluated and exported."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.errors import RecipeError
from mtkit.feed.step_rows import training_rows
from mtkit.model.model_evaluation import evaluate
from mtkit.recipe.loader import load_recipe
from mtkit.runs.keras_api import build
from mtkit.serving.export import save
from mtkit.standard.order_metrics import Auc, Ndcg
from mtkit.standard.prediction_metrics import LogLoss
from mtkit.standard.query_heads import GradedListwise, Listwise
from mtkit.testing import check_import_is_light, check_spec
from mtkit.types import RowTable

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


@pytest.mark.parametrize("loss", ["listnet", "lambdarank", "approx_ndcg", "graded"])
def test_recipes_train_evaluate_and_export(train_tiny, tmp_path, loss):
    graded = ["task.discounted.use=graded_listwise"]
    more = graded if loss == "graded" else [f"task.discounted.loss={loss}"]
    more += ["task.discounted.by=basket", "train.epochs=3"]
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


def test_grades():
    spec = GradedListwise(rows="shown", inputs=("user",), label="stars", loss="lambdarank")
    check_spec(spec)
    assert (spec.numeric, spec.form, spec.calibration) == (True, "grades", None)
    for grades, message in (
        ([0, 3, 1], ""), ([0, -1, 1], "is -1 in some; expected 0 to 30"), ([0, 99, 1], "is 99 in some; expected 0 to 30")
    ):  # fmt: skip
        table = RowTable("shown", {"user": np.array([1, 1, 2])}, np.arange(3), np.zeros((0, 2)), np.arange(3),
                         labels={"stars": np.float32(grades)}, weights={"stars": np.ones(3, np.float32)},
                         dense={"query": np.array([1, 1, 2])})  # fmt: skip
        found = list(spec.unfit({"shown": {"train": table}}))
        assert [path for path, _ in found] == ([("label",)] if message else [])
        assert all(message in text for _, text in found)


def test_it_is_judged_by_an_order_within_queries():
    metrics = {"log_loss": LogLoss(), "auc": Auc(), "ndcg": Ndcg()}
    of = Listwise(rows="shown", inputs=("user",), label="click").judging
    assert of(SimpleNamespace(prediction_metrics=metrics)) == "ndcg"
    assert of(SimpleNamespace(prediction_metrics={"log_loss": LogLoss(), "auc": Auc()})) == "auc"


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
    assert message.startswith("no query by 'session' has rows of 'shown' that differ in 'click'")
