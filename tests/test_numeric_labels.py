"""A task of numbers, from the recipe to the results and the servable."""

import numpy as np
import pytest
from passes import answers
from sklearn.metrics import mean_absolute_error, root_mean_squared_error
from tiny_shop import TinyShop

import mtkit
from mtkit.data.catalogs import make_cuts
from mtkit.errors import RecipeError
from mtkit.evaluation.baseline_tuning import Comparison
from mtkit.model.assembly import assemble
from mtkit.model.model_evaluation import evaluate
from mtkit.recipe.settings import Evaluate, Train
from mtkit.schema import Column, Schema
from mtkit.standard.baselines import Popularity
from mtkit.standard.encoders import Features
from mtkit.standard.heads import Regression, UserPreference
from mtkit.standard.order_metrics import Auc
from mtkit.standard.prediction_baselines import BagOfWords, Majority
from mtkit.standard.prediction_metrics import Mae, Rmse
from mtkit.standard.rows import Interactions
from mtkit.standard.splits import Time
from mtkit.training.fit import Training


class PricedShop(TinyShop):
    """The tiny shop, in which the price is to be predicted."""

    def schema(self):
        schema = super().schema()
        changed = {"price": Column(kind="label"), "discounted": Column(kind="categorical")}
        return Schema(interactions={**schema.interactions, **changed}, entities=schema.entities)


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


def pipeline_of(made, tmp_path):
    dataset = made.data.source.load()
    _, test = make_cuts(dataset, made.data.split)
    return assemble(made, dataset, test, cache_dir=tmp_path)


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
