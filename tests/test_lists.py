"""Columns of lists, from raw tables to the results and the servable."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from asking import ask, ids_of
from passes import answers
from pyarrow import parquet
from tiny_shop import TinyShop

import mtkit
from mtkit.backend import tf
from mtkit.data.catalogs import make_cuts
from mtkit.data.cleaning import cleaned
from mtkit.data.item_vectors import item_vectors
from mtkit.errors import DeclarationError
from mtkit.evaluation.baseline_tuning import Comparison
from mtkit.evaluation.slices import make_slices
from mtkit.model.assembly import assemble
from mtkit.model.model_evaluation import evaluate
from mtkit.recipe.loader import load_recipe
from mtkit.recipe.lock import lock
from mtkit.recipe.settings import By, Evaluate, Train
from mtkit.schema import Column, Schema
from mtkit.serving.export import save
from mtkit.standard.encoders import Features
from mtkit.standard.feature_baselines import LogisticRegression
from mtkit.standard.heads import MultiLabel, UserPreference
from mtkit.standard.neighbor_baselines import ContentKnn
from mtkit.standard.order_metrics import Auc
from mtkit.standard.prediction_metrics import LogLoss
from mtkit.standard.ranking_metrics import Diversity
from mtkit.standard.rows import Interactions
from mtkit.standard.sources import Files
from mtkit.standard.splits import Time
from mtkit.training.fit import Training

WORDS = ("red", "green", "blue", "old", "new", "big")


class ListedShop(TinyShop):
    """The tiny shop, whose items have a list of traits, their color among them, and whose lines have weighted tags."""

    turned: bool = False

    def schema(self):
        schema = super().schema()
        item = {**schema.entities["item"], "traits": Column(kind="list", separator="|")}
        tags = Column(kind="list", weighted=True)
        return Schema(interactions={**schema.interactions, "tags": tags}, entities={**schema.entities, "item": item})

    def load(self):
        data, step = super().load(), -1 if self.turned else 1
        rng = np.random.default_rng(5)
        items, lines = data.entities["item"], data.interactions
        traits = [
            [color, *rng.choice(WORDS[3:], rng.integers(0, 3), replace=False)] for color in items["color"].to_pylist()
        ]
        traits[3] = []
        tags = [
            [f"{word}:{rng.integers(1, 4)}" for word in rng.choice(WORDS, rng.integers(0, 4), replace=False)]
            for _ in range(len(lines))
        ]
        items = items.append_column("traits", [pa.array(["|".join(row[::step]) for row in traits])])
        lines = lines.append_column("tags", [pa.array([row[::step] for row in tags], pa.list_(pa.string()))])
        return replace(data, interactions=lines, entities={**data.entities, "item": items})


def recipe(**source):
    return mtkit.compose(
        data=ListedShop(lines=1500, **source),
        split=Time(valid="2024-07-01", test="2024-08-01"),
        rows={"lines": Interactions(batch_size=32, labels=("discounted",))},
        encoder={
            "item": Features(reads=("item.id", "item.traits"), dim=8),
            "line": Features(reads=("context.tags",), dim=4, combiner="sqrtn"),
        },
        task={"discounted": UserPreference(rows="lines", inputs=("item", "line"), label="discounted")},
        train=Train(epochs=3, learning_rate=0.05),
        evaluate=Evaluate(
            prediction_metrics={"auc": Auc()},
            metrics={"diversity": Diversity(by="item.traits")},
            slices=(By(by="item.traits"), By(by="context.tags")),
            baselines={"logistic_regression": LogisticRegression(), "content_knn": ContentKnn(by="item.traits")},
        ),
    )


def trained(tmp_path, **source):
    made = recipe(**source)
    dataset = cleaned(made.data.source.load())
    pipeline = assemble(made, dataset, make_cuts(dataset, made.data.split)[1], cache_dir=tmp_path)
    Training(pipeline).fit()
    return pipeline


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("cache"))


def test_what_lists_say_is_learned(pipeline):
    found = evaluate(pipeline)
    assert found["discounted/auc"] > 0.62, "the color, which decides, is among the traits"
    settings = pipeline.recipe.evaluate
    comparison = Comparison(pipeline.plan, pipeline.fold, pipeline.tables, settings, pipeline.protocol())
    assert comparison.judge(comparison.tune(settings.baselines))["logistic_regression"]["discounted/auc"] > 0.62


def test_the_order_of_values_changes_no_bit(pipeline, tmp_path):
    turned = trained(tmp_path, turned=True)
    assert [v.numpy().tobytes() for v in turned.model.weights] == [v.numpy().tobytes() for v in pipeline.model.weights]


def test_a_row_is_in_the_slice_of_each_of_its_values(pipeline):
    fold, table = pipeline.fold, pipeline.tables["lines"]["eval"]
    traits = fold.entities["item"].columns["traits"].to_pylist()
    tags = table.context["tags"]["value"]
    slices = {part.name: part.of_rows(table) for part in make_slices(pipeline.recipe.evaluate, fold)}
    for word in WORDS:
        expected = [word in (traits[item] or ()) for item in table.ids["item"]]
        assert slices[f"item.traits={word}"].tolist() == expected
        assert slices[f"context.tags={word}"].tolist() == [word in row for row in tags.tolist()]
    assert slices["item.traits=null"].tolist() == [traits[item] is None for item in table.ids["item"]]
    assert slices["context.tags=null"].tolist() == [row.count(None) == len(row) for row in tags.tolist()]


def test_items_are_compared_by_what_their_lists_share(pipeline):
    vectors = item_vectors(pipeline.fold, "item.traits").toarray()
    traits = [set(row or ()) for row in pipeline.fold.entities["item"].columns["traits"].to_pylist()]
    expected = [[len(one & other) / max(len(one) * len(other), 1) ** 0.5 for other in traits] for one in traits]
    np.testing.assert_allclose(vectors @ vectors.T, expected, atol=1e-9)


def test_requests_bring_lists(pipeline, tmp_path):
    signatures = tf.saved_model.load(str(save(pipeline, tmp_path / "export"))).signatures
    table, users, items = pipeline.tables["lines"]["eval"], ids_of(pipeline, "user"), ids_of(pipeline, "item")
    tags = table.context["tags"][:50]
    given = {
        "context_tags": np.where(np.equal(tags["value"], None), "", tags["value"]),
        "context_tags_weight": tags["weight"],
    }
    ids = {
        "item_id": [items[row] for row in table.ids["item"][:50]],
        "user_id": [users[row] for row in table.ids["user"][:50]],
    }
    asked = {name: ids[name] for name in signatures["rank"].structured_input_signature[1] if name in ids}
    found = ask(signatures, "rank", **asked, **given)["discounted"]
    expected = answers(pipeline.model, ["discounted"], pipeline.model.feed.rows["lines/eval"])["discounted"][:50]
    np.testing.assert_allclose(found, expected, atol=1e-6)

    def new(traits, *more):
        one = {name: values[:1] for name, values in {**asked, **given}.items() if name != "item_id"}
        return ask(signatures, "rank_new_item", item_traits=np.array([traits], object).reshape(1, -1), **one)[
            "discounted"
        ][0]

    assert new(["red", "old"]) == new(["old", "red"]) == new(["", "old", "red", "red", "never seen"])
    assert new(["red"]) != new(["blue"])
    assert new([]) == new([""]) == new(["never seen"])


def test_a_lock_of_lists_loads_again(tmp_path):
    parquet.write_table(pa.table({"id": ["a", "b"], "traits": [["x"], ["y"]]}), tmp_path / "items.parquet")
    lines = {
        "user": ["u", "v"],
        "item": ["a", "b"],
        "time": [1, 2],
        "why": ["p|q", None],
        "liked": [0, 1],
        "seen": [1, 0],
    }
    parquet.write_table(pa.table(lines), tmp_path / "lines.parquet")
    made = mtkit.compose(
        data=Files(
            interactions=tmp_path / "lines.parquet",
            entities={"item": tmp_path / "items.parquet"},
            columns={
                "user": Column(kind="id", entity="user"),
                "item": Column(kind="id", entity="item"),
                "time": Column(kind="time"),
                "liked": Column(kind="label"),
                "seen": Column(kind="label"),
                "why": Column(kind="label", multi_label=True, separator="|", length=5),
            },
            entity_columns={"item": {"traits": Column(kind="list", weighted=True)}},
        ),
        split=Time(valid="2024-07-01", test="2024-08-01"),
        encoder={"item": Features(reads=("item.id", "item.traits"), dim=8)},
        rows={"lines": Interactions(batch_size=2)},
        task={
            "liked": UserPreference(rows="lines", inputs=("item",), label="liked"),
            "why": MultiLabel(rows="lines", inputs=("item",), label="why"),
            "both": MultiLabel(rows="lines", inputs=("item",), label=("liked", "seen")),
        },
        evaluate=Evaluate(prediction_metrics={"log_loss": LogLoss()}),
    )
    path = tmp_path / "recipe.lock.toml"
    path.write_text(lock(made, tmp_path), encoding="utf-8")
    again = load_recipe(path)
    assert again.task == made.task
    assert again.data.source.schema() == made.data.source.schema()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "categorical", "separator": "|"}, "separator is for columns of kind list"),
        ({"kind": "text", "length": 3}, "length is for columns of kind list"),
        ({"kind": "label", "multi_label": True, "weighted": True}, "weighted = true is for columns of kind list"),
        ({"kind": "label", "multi_label": True, "classes": True}, "in the place of classes = true"),
        ({"kind": "list", "multi_label": True}, "columns of kind label"),
    ],
)
def test_options_of_lists_alone(options, message):
    with pytest.raises(DeclarationError, match=message):
        Column(**options)
