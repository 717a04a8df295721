"""A task of numbers, from the recipe to the results and the servable."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from passes import answers
from sklearn.metrics import mean_absolute_error, root_mean_squared_error
from tiny_shop import COLORS, TinyShop

import mtkit
from mtkit.backend import tf
from mtkit.data.catalogs import make_cuts
from mtkit.errors import RecipeError
from mtkit.evaluation.baseline_tuning import Comparison
from mtkit.model.assembly import assemble
from mtkit.model.forward import Forward
from mtkit.model.model_evaluation import evaluate
from mtkit.recipe.settings import Evaluate, Train
from mtkit.schema import Column, Schema
from mtkit.serving.export import save
from mtkit.standard.baselines import Popularity
from mtkit.standard.encoders import Features
from mtkit.standard.heads import Regression, UserPreference
from mtkit.standard.order_metrics import Auc
from mtkit.standard.prediction_baselines import BagOfWords, Majority
from mtkit.standard.prediction_metrics import LogLoss, Mae, Rmse
from mtkit.standard.rows import Interactions
from mtkit.standard.splits import Time
from mtkit.training.fit import Training


class PricedShop(TinyShop):
    """The tiny shop, in which the price is to be predicted."""

    def discounted(self):
        return Column(kind="categorical")

    def schema(self):
        schema = super().schema()
        changed = {"price": Column(kind="label"), "discounted": self.discounted()}
        return Schema(interactions={**schema.interactions, **changed}, entities=schema.entities)


class WatchedShop(PricedShop):
    """The priced shop, whose price is so many seconds: they follow from the color, and from the channel."""

    distribution: str = "normal"

    def discounted(self):
        return Column(kind="label")

    def load(self):
        dataset = super().load()
        lines = dataset.interactions
        item = np.array([int(name[1:]) for name in lines["item"].to_pylist()])
        color = np.array([COLORS.index(name) for name in dataset.entities["item"]["color"].to_pylist()])[item]
        seconds = SECONDS[self.distribution](np.random.default_rng(5), color + (lines["channel"].to_numpy() == "web"))
        at = lines.column_names.index("price")
        return replace(dataset, interactions=lines.set_column(at, "price", pa.array(seconds.astype(float))))


#: From a generator and the level 0 to 3 of rows to their labels.
SECONDS = {
    "normal": lambda rng, level: 800 + 200 * (0.7 * (level - 1.5) + 0.7 * rng.normal(size=len(level))),
    "log-normal": lambda rng, level: np.exp(4 + 0.8 * (level - 1.5) + 0.8 * rng.normal(size=len(level))),
    "zero-inflated": lambda rng, level: np.where(
        rng.random(len(level)) < 0.7 - 0.15 * level, 0, rng.gamma(2, 60 * (1 + level), len(level))
    ),
}


def watching(distribution, target=None, tasks=("price", "discounted"), **train):
    """A recipe on default settings, in which a task of classes has the same embeddings beside it."""
    head = Regression(rows="lines", inputs=("line",), label="price", **({"target": target} if target else {}))
    other = UserPreference(rows="lines", inputs=("line",), label="discounted")
    return mtkit.compose(
        data=WatchedShop(distribution=distribution),
        split=Time(valid="2024-07-01", test="2024-08-01"),
        rows={"lines": Interactions(batch_size=32, labels=("price", "discounted"))},
        encoder={"line": Features(reads=("context.channel", "item.color"), dim=8)},
        task={name: {"price": head, "discounted": other}[name] for name in tasks},
        train=Train(epochs=8, **train),
        evaluate=Evaluate(
            prediction_metrics={"rmse": Rmse(), "log_loss": LogLoss()}, baselines={"majority": Majority()}
        ),
    )


def recipe(head):
    return mtkit.compose(
        data=PricedShop(lines=1500),
        split=Time(valid="2024-07-01", test="2024-08-01"),
        rows={"lines": Interactions(batch_size=32, labels=("price",))},
        encoder={"line": Features(reads=("context.discounted", "item.color"), dim=4)},
        task={"price": head},
        train=Train(epochs=8, learning_rate=0.05),
        evaluate=Evaluate(
            prediction_metrics={"rmse": Rmse(), "mae": Mae(), "auc": Auc()},
            slices=("item.color",),
            baselines={"majority": Majority(), "bag_of_words": BagOfWords(), "popularity": Popularity()},
        ),
    )


def pipeline_of(made, tmp_path, strategy=None):
    dataset = made.data.source.load()
    _, test = make_cuts(dataset, made.data.split)
    return assemble(made, dataset, test, cache_dir=tmp_path, strategy=strategy)


def test_numbers_are_learned_and_measured(tmp_path):
    pipeline = pipeline_of(recipe(Regression(rows="lines", inputs=("line",), label="price")), tmp_path)
    Training(pipeline).fit()
    found = evaluate(pipeline)
    table = pipeline.tables["lines"]["eval"]
    labels, color = table.labels["price"], table.ids["item"]
    predicted = answers(pipeline.model, ["price"], pipeline.model.feed.rows["lines/eval"], 64)["price"]
    assert found["price/rmse"] == pytest.approx(root_mean_squared_error(labels, predicted))
    assert found["price/mae"] == pytest.approx(mean_absolute_error(labels, predicted))
    colors = np.array(pipeline.fold.entities["item"].columns["color"].to_pylist(), object)[color]
    red = colors == "red"
    assert found["price/item.color=red/rmse"] == pytest.approx(root_mean_squared_error(labels[red], predicted[red]))
    assert not any("auc" in key for key in found)

    settings = pipeline.recipe.evaluate
    comparison = Comparison(pipeline.plan, pipeline.fold, pipeline.tables, settings, pipeline.protocol())
    baselines = comparison.judge(comparison.tune(settings.baselines))
    mean = pipeline.tables["lines"]["train"].labels["price"].mean()
    assert baselines["majority"]["price/rmse"] == pytest.approx(
        root_mean_squared_error(labels, np.full(len(labels), mean))
    )
    assert baselines["bag_of_words"] == baselines["popularity"] == {}
    assert found["price/rmse"] < 0.9 * baselines["majority"]["price/rmse"]


def test_numbers_are_no_labels_of_other_heads(tmp_path):
    with pytest.raises(
        RecipeError, match=r"has the value 0\.\d+; expected 0 or 1, .* or a head of numbers \(`regression`\)"
    ):
        pipeline_of(recipe(UserPreference(rows="lines", inputs=("line",), label="price")), tmp_path)


def trained(made, tmp_path):
    pipeline = pipeline_of(made, tmp_path)
    Training(pipeline).fit()
    return pipeline


def majority(pipeline):
    settings = pipeline.recipe.evaluate
    comparison = Comparison(pipeline.plan, pipeline.fold, pipeline.tables, settings, pipeline.protocol())
    return comparison.judge(comparison.tune(settings.baselines))["majority"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What the task of classes reaches without the other."""
    pipeline = trained(watching("normal", tasks=("discounted",)), tmp_path_factory.mktemp("alone"))
    return evaluate(pipeline)["discounted/log_loss"]


@pytest.mark.parametrize(
    ("distribution", "target"),
    [*((name, None) for name in SECONDS), ("normal", "log"), ("log-normal", "log")],
)
def test_numbers_of_any_size_beat_their_mean_and_harm_no_other_task(distribution, target, alone, tmp_path):
    pipeline = trained(watching(distribution, target), tmp_path)
    found, mean = evaluate(pipeline), majority(pipeline)["price/rmse"]
    assert found["price/rmse"] < 0.97 * mean
    assert found["discounted/log_loss"] == pytest.approx(alone, abs=0.01)


def test_numbers_as_they_are_do_not_get_near_their_mean(tmp_path):
    """What the scale is for."""
    pipeline = trained(watching("normal", "none"), tmp_path)
    assert evaluate(pipeline)["price/rmse"] > 2 * majority(pipeline)["price/rmse"]


@pytest.mark.parametrize("replicas", [1, 2])
def test_the_smearing_factor_is_that_of_all_training_rows_after_the_last_epoch(replicas, tmp_path, two_replicas):
    strategy = two_replicas if replicas == 2 else None
    pipeline = pipeline_of(watching("log-normal", "log"), tmp_path, strategy)
    Training(pipeline).fit()
    model, table = pipeline.model, pipeline.tables["lines"]["train"]
    rows, scale = model.feed.rows["lines"], model.heads["price"].scale
    labels = table.labels["price"].astype(float)
    factor = float(scale.smearing.numpy())
    raw = (answers(model, ["price"], rows)["price"] + 1) / factor
    assert factor == pytest.approx(np.mean((1 + labels) / raw), rel=1e-4)
    assert factor > 1.2  # exp(0.8² / 2) = 1.38 where the model knows all that there is to know
    assert np.mean(answers(model, ["price"], rows)["price"]) == pytest.approx(labels.mean(), rel=0.1)


@pytest.mark.parametrize("target", ["standard", "log", "rank"])
def test_exports_and_taken_up_weights_answer_in_the_unit_of_the_data(target, tmp_path):
    made = watching("log-normal", target, learning_rate=0.02, steps_per_epoch=20)
    pipeline = pipeline_of(made, tmp_path)
    Training(pipeline, tmp_path / "checkpoints").fit()
    rows = pipeline.model.feed.rows["lines/eval"]
    expected = answers(pipeline.model, ["price"], rows)["price"]
    labels = pipeline.tables["lines"]["eval"].labels["price"]
    assert np.corrcoef(expected, labels)[0, 1] > 0.3
    assert 0.5 * np.median(labels) < np.median(expected) < 2 * labels.mean()
    predicted = pipeline.model.predict(pipeline.eval_data(), verbose=0)["price"]
    np.testing.assert_allclose(predicted[: len(expected)], expected, rtol=1e-5)

    again = pipeline_of(made, tmp_path)
    training = Training(again, tmp_path / "checkpoints")
    assert training.restore() == training.steps
    np.testing.assert_array_equal(
        answers(again.model, ["price"], again.model.feed.rows["lines/eval"])["price"], expected
    )

    rank = tf.saved_model.load(str(save(pipeline, tmp_path / "export"))).signatures["rank"]
    table = pipeline.tables["lines"]["eval"].take(np.arange(6))
    ids = {role: pipeline.fold.catalog(role).ids[rows].astype(str) for role, rows in table.ids.items()}
    served = rank(
        user_id=tf.constant(ids["user"]), item_id=tf.constant(ids["item"]),
        **{"context.channel": tf.constant(table.context["channel"].astype(str))},
    )  # fmt: skip
    np.testing.assert_allclose(served["price"], expected[:6], rtol=1e-5)


def test_other_tasks_read_the_number_on_the_scale_of_its_loss(tmp_path):
    pipeline = pipeline_of(watching("normal"), tmp_path)
    model = pipeline.model
    batch = model.feed.batch("lines", tf.range(8, dtype=tf.int64))
    other = Forward(model).task("discounted", batch)
    number, scaled = model.heads["price"].answers(other.beside("price")), other.embeddings(["task.price"])["task.price"]
    mean, std = (model.heads["price"].scale.statistics()[name] for name in ("mean", "std"))
    np.testing.assert_allclose(scaled * std + mean, number, rtol=1e-5)
    assert np.abs(scaled).max() < 5
    assert mean == pytest.approx(800, abs=60)


def test_labels_that_are_all_the_same_are_refused(tmp_path):
    made = watching("normal")
    shop = made.data.source
    dataset = shop.load()
    at = dataset.interactions.column_names.index("price")
    same = pa.array(np.full(len(dataset.interactions), 800.0))
    dataset = replace(dataset, interactions=dataset.interactions.set_column(at, "price", same))
    _, test = make_cuts(dataset, made.data.split)
    with pytest.raises(RecipeError, match="is 800 in all that have one; expected at least two values"):
        assemble(made, dataset, test, cache_dir=tmp_path)
