"""A task of any number of classes a row, from raw tables to the results and the servable."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from asking import ask, ids_of
from passes import answers
from sklearn.metrics import roc_auc_score
from tiny_shop import TinyShop

import mtkit
from mtkit.backend import tf
from mtkit.data.catalogs import make_cuts
from mtkit.data.cleaning import cleaned
from mtkit.data.leakage import find_leaks
from mtkit.errors import RecipeError
from mtkit.evaluation.baseline_tuning import Comparison
from mtkit.model.assembly import assemble
from mtkit.model.model_evaluation import evaluate
from mtkit.recipe.settings import Evaluate, Train
from mtkit.schema import Column, Schema
from mtkit.serving.export import save
from mtkit.standard.encoders import Features
from mtkit.standard.feature_baselines import GradientBoosting, LogisticRegression
from mtkit.standard.heads import MultiLabel, UserPreference
from mtkit.standard.multi_label_metrics import LabelCoverage, MacroAuc, MicroAuc, PrecisionAt, RecallAt
from mtkit.standard.order_metrics import Auc
from mtkit.standard.prediction_baselines import Majority
from mtkit.standard.prediction_metrics import LogLoss
from mtkit.standard.rows import EntityRows, Interactions
from mtkit.standard.splits import Time
from mtkit.training.fit import Training


class TopicShop(TinyShop):
    """The tiny shop, whose items have topics, their color among them, and whose lines have reasons, which go with the channel."""

    def schema(self):
        schema = super().schema()
        topics = Column(kind="label", multi_label=True, separator="|")
        reasons = Column(kind="label", multi_label=True)
        item = {**schema.entities["item"], "topics": topics}
        return Schema(
            interactions={**schema.interactions, "reasons": reasons}, entities={**schema.entities, "item": item}
        )

    def load(self):
        data, rng = super().load(), np.random.default_rng(2)
        items, lines = data.entities["item"], data.interactions
        topics = [f"{color}|{rng.choice(['old', 'new'])}" for color in items["color"].to_pylist()]
        late = np.array(lines["time"].to_pylist()) > 1_722_470_400  # 2024-08-01
        reasons = [
            [channel, *(["sale"] if cheap else []), *(["late"] if is_late else [])]
            for channel, cheap, is_late in zip(
                lines["channel"].to_pylist(), lines["discounted"].to_pylist(), late, strict=True
            )
        ]
        reasons[0], reasons[1] = None, []
        return replace(
            data,
            interactions=lines.append_column("reasons", [pa.array(reasons)]),
            entities={**data.entities, "item": items.append_column("topics", [pa.array(topics)])},
        )


METRICS = {
    "auc": Auc(), "macro_auc": MacroAuc(), "micro_auc": MicroAuc(), "log_loss": LogLoss(),
    "precision_at": PrecisionAt(k=1), "recall_at": RecallAt(k=2), "label_coverage": LabelCoverage(),
}  # fmt: skip


def recipe(**tasks):
    return mtkit.compose(
        data=TopicShop(lines=1500),
        split=Time(valid="2024-07-01", test="2024-08-01"),
        rows={
            "lines": Interactions(batch_size=32),
            "items": EntityRows(batch_size=8, holdout_by="family"),
        },
        encoder={
            "line": Features(reads=("context.channel", "item.color"), dim=8),
            "item": Features(reads=("item.color",), dim=8),
        },
        task=tasks,
        train=Train(epochs=8, learning_rate=0.05),
        evaluate=Evaluate(
            prediction_metrics=METRICS,
            baselines={
                "majority": Majority(),
                "logistic_regression": LogisticRegression(cs=(1,)),
                "gradient_boosting": GradientBoosting(),
            },
        ),
    )


REASONS = MultiLabel(rows="lines", inputs=("line",), label="reasons")
TOPICS = MultiLabel(rows="items", inputs=("item",), label="item.topics")
BOTH = MultiLabel(rows="lines", inputs=("line",), label=("discounted", "gift"))


def pipeline_of(made, tmp_path):
    dataset = cleaned(made.data.source.load())
    return assemble(made, dataset, make_cuts(dataset, made.data.split)[1], cache_dir=tmp_path)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    made = pipeline_of(recipe(reasons=REASONS, topics=TOPICS, both=BOTH), tmp_path_factory.mktemp("cache"))
    Training(made).fit()
    return made


def test_classes_are_those_of_training(pipeline):
    train, rows = (pipeline.tables["lines"][part] for part in ("train", "eval"))
    assert train.classes["reasons"] == rows.classes["reasons"] == ("sale", "store", "web"), "late comes after the cut"
    assert pipeline.classes["topics"] == ("blue", "green", "new", "old", "red")
    assert pipeline.classes["both"] == ("discounted", "gift")
    assert (train.weights["reasons"] == 0).sum() <= 1
    assert rows.labels["reasons"].shape == (len(rows), 3)
    assert (rows.unseen["reasons"] == 1).all()
    np.testing.assert_array_equal(
        train.labels["discounted + gift"], np.stack([train.labels["discounted"], train.labels["gift"]], 1)
    )


def test_classes_are_learned_and_measured(pipeline):
    found = evaluate(pipeline)
    table = pipeline.tables["lines"]["eval"]
    labels, predicted = (
        table.labels["reasons"],
        answers(pipeline.model, ["reasons"], pipeline.model.feed.rows["lines/eval"])["reasons"],
    )
    areas = [roc_auc_score(labels[:, c], predicted[:, c]) for c in range(3)]
    assert found["reasons/macro_auc"] == pytest.approx(np.mean(areas))
    assert found["reasons/micro_auc"] == pytest.approx(roc_auc_score(labels.ravel(), predicted.ravel()))
    chance = np.where(labels > 0, predicted, 1 - predicted.astype(float))
    assert found["reasons/log_loss"] == pytest.approx(-np.log(chance).mean())
    best = np.argsort(-predicted, 1, kind="stable")
    hits = np.take_along_axis(labels, best, 1)
    assert found["reasons/precision_at"] == pytest.approx(hits[:, 0].mean())
    assert found["reasons/recall_at"] == pytest.approx((hits[:, :2].sum(1) / labels.sum(1)).mean())
    assert found["reasons/label_coverage"] == pytest.approx(labels.sum() / (labels.sum() + len(labels)))
    assert found["topics/label_coverage"] == found["both/label_coverage"] == 1
    assert "reasons/auc" not in found
    assert found["reasons/precision_at"] > 0.95, "every line has its channel"
    assert pipeline.recipe.evaluate.keys("reasons", REASONS)[0] == "reasons/macro_auc"


def test_baselines_stand_beside(pipeline):
    settings = pipeline.recipe.evaluate
    comparison = Comparison(pipeline.plan, pipeline.fold, pipeline.tables, settings, pipeline.protocol())
    found = comparison.judge(comparison.tune(settings.baselines))
    train, rows = (pipeline.tables["lines"][part] for part in ("train", "eval"))
    there = train.weights["reasons"] > 0
    rate = train.labels["reasons"][there].mean(0)
    expected = -np.log(np.where(rows.labels["reasons"] > 0, rate, 1 - rate)).mean()
    assert found["majority"]["reasons/log_loss"] == pytest.approx(expected, rel=1e-5)
    assert found["logistic_regression"]["reasons/macro_auc"] > found["majority"]["reasons/macro_auc"] + 0.2
    assert found["gradient_boosting"] == {}, "it does not apply"


def test_probabilities_come_with_names(pipeline, tmp_path):
    signatures = tf.saved_model.load(str(save(pipeline, tmp_path / "export"))).signatures
    items = ids_of(pipeline, "item")
    found = ask(signatures, "topics", item_id=items[1:4])
    assert found["classes"].tolist() == [b"blue", b"green", b"new", b"old", b"red"]
    assert found["probabilities"].shape == (3, 5)
    colors = pipeline.fold.entities["item"].columns["color"].to_pylist()[1:4]
    for color, row in zip(colors, found["probabilities"], strict=True):
        assert (
            max(("blue", "green", "red"), key=lambda name: row[found["classes"].tolist().index(name.encode())]) == color
        )
    new = ask(signatures, "topics_new_item", item_color=["red"])
    assert new["probabilities"].shape == (1, 5)


def test_a_row_that_lacks_one_of_several_labels_does_not_count(tmp_path):
    made = recipe(both=BOTH)
    dataset = cleaned(made.data.source.load())
    gift = pa.array([None if row % 3 == 0 else g for row, g in enumerate(dataset.interactions["gift"].to_pylist())])
    number = dataset.interactions.column_names.index("gift")
    dataset = replace(dataset, interactions=dataset.interactions.set_column(number, "gift", [gift]))
    table = assemble(made, dataset, make_cuts(dataset, made.data.split)[1], cache_dir=tmp_path).tables["lines"]["train"]
    np.testing.assert_array_equal(table.weights["discounted + gift"], table.weights["gift"])
    assert 0 < table.weights["gift"].mean() < 1


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (
            UserPreference(rows="lines", inputs=("line",), label="reasons"),
            "any number of classes in a row .* `multi_label`",
        ),
        (
            MultiLabel(rows="lines", inputs=("line",), label="gift"),
            "'gift' has one value in a row; declare it with multi_label = true",
        ),
        (
            MultiLabel(rows="lines", inputs=("line",), label=("gift", "reasons")),
            "'reasons' has classes; expected labels of 0",
        ),
        (
            MultiLabel(rows="lines", inputs=("line",), label=("gift", "gifts")),
            "has no label 'gifts'; did you mean 'gift'",
        ),
        (
            MultiLabel(rows="items", inputs=("item",), label="item.topic"),
            "no entity has a label 'item.topic'; did you mean",
        ),
        (MultiLabel(rows="items", inputs=("item",), label="item.department"), "one value in a row"),
    ],
)
def test_labels_that_do_not_fit(task, message, tmp_path):
    with pytest.raises(RecipeError, match=message):
        pipeline_of(recipe(task=task), tmp_path)


def test_leaks_are_looked_for():
    made = recipe(reasons=REASONS, both=BOTH)
    dataset = cleaned(made.data.source.load())
    assert not [f for f in find_leaks(made, dataset, *make_cuts(dataset, made.data.split)) if f.level == "error"]
