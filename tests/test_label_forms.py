"""Heads of counts, ordered classes and pairs, and options of losses: from a recipe to what is measured and exported."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from passes import answers
from tiny_shop import COLORS, TinyShop

import mtkit
from mtkit.backend import tf
from mtkit.data.catalogs import make_cuts
from mtkit.errors import RecipeError
from mtkit.evaluation.baseline_tuning import Comparison
from mtkit.model.assembly import assemble
from mtkit.model.model_evaluation import evaluate
from mtkit.recipe.settings import Evaluate, Train
from mtkit.runtime.strategies import one_device
from mtkit.schema import Column, Schema
from mtkit.serving.export import save
from mtkit.standard.encoders import Features
from mtkit.standard.heads import Content, Count, Ordinal, Pairwise, UserPreference
from mtkit.standard.order_metrics import Auc, Gauc
from mtkit.standard.prediction_baselines import Majority
from mtkit.standard.prediction_metrics import LogLoss, Mae, PoissonDeviance, QuadraticKappa, TweedieDeviance
from mtkit.standard.rows import Interactions
from mtkit.standard.splits import Time
from mtkit.training.fit import Training

GRADES = ("low", "middle", "high", "top")
METRICS = {
    "log_loss": LogLoss(),
    "auc": Auc(),
    "gauc": Gauc(),
    "mae": Mae(),
    "kappa": QuadraticKappa(),
    "poisson_deviance": PoissonDeviance(),
    "tweedie_deviance": TweedieDeviance(),
}


class LabeledShop(TinyShop):
    """The tiny shop with labels of all forms, which follow from the color and the channel."""

    def schema(self):
        schema = super().schema()
        labels = {name: Column(kind="label") for name in ("plays", "spent", "liked")}
        labels |= {name: Column(kind="label", classes=True) for name in ("stars", "grade")}
        return Schema(interactions={**schema.interactions, **labels}, entities=schema.entities)

    def load(self):
        dataset = super().load()
        lines, rng = dataset.interactions, np.random.default_rng(5)
        item = np.array([int(name[1:]) for name in lines["item"].to_pylist()])
        color = np.array([COLORS.index(name) for name in dataset.entities["item"]["color"].to_pylist()])[item]
        level = color + (lines["channel"].to_numpy() == "web")  # 0 to 3
        noisy = np.clip(level + rng.integers(-1, 2, len(level)), 0, 3)
        columns = {
            "plays": rng.poisson(np.exp(level - 1.0)).astype(float),
            "spent": np.where(rng.random(len(level)) < 0.4, 0, rng.gamma(2, 50 * np.exp(level / 2))),
            "liked": rng.random(len(level)) < np.array([0.02, 0.1, 0.4, 0.8])[level],
            "stars": np.array(["2", "5", "9", "10"])[noisy],
            "grade": np.array(GRADES)[noisy],
        }
        for name, values in columns.items():
            lines = lines.append_column(name, pa.array(values))
        return replace(dataset, interactions=lines)


def head(use, label, **options):
    return use(rows="lines", inputs=("line",), label=label, **options)


def recipe(**tasks):
    labels = tuple(dict.fromkeys(task.label for task in tasks.values()))
    return mtkit.compose(
        data=LabeledShop(lines=2500),
        split=Time(valid="2024-07-01", test="2024-08-01"),
        rows={"lines": Interactions(batch_size=128, labels=labels)},
        encoder={"line": Features(reads=("context.channel", "item.color"), dim=8)},
        task=tasks,
        train=Train(epochs=5, learning_rate=0.05),
        evaluate=Evaluate(prediction_metrics=METRICS, baselines={"majority": Majority()}),
    )


def pipeline_of(made, tmp_path, strategy=None):
    dataset = made.data.source.load()
    _, test = make_cuts(dataset, made.data.split)
    return assemble(made, dataset, test, cache_dir=tmp_path, strategy=strategy)


def majority(pipeline):
    settings = pipeline.recipe.evaluate
    comparison = Comparison(pipeline.plan, pipeline.fold, pipeline.tables, settings, pipeline.protocol())
    return comparison.judge(comparison.tune(settings.baselines))["majority"]


#: Head, how much better than a constant a metric is at least, and which metrics there are.
HEADS = {
    "poisson": (head(Count, "plays"), {"poisson_deviance": -0.2}, {"mae", "poisson_deviance", "tweedie_deviance"}),
    "tweedie": (
        head(Count, "spent", power=1.5), {"tweedie_deviance": -1}, {"mae", "poisson_deviance", "tweedie_deviance"},
    ),
    "stars": (head(Ordinal, "stars"), {"mae": -0.2, "kappa": 0.5, "log_loss": -0.2}, {"mae", "kappa", "log_loss"}),
    "grades": (
        head(Ordinal, "grade", order=GRADES, label_smoothing=0.02), {"mae": -0.2, "log_loss": -0.2},
        {"mae", "kappa", "log_loss"},
    ),
    "pairs": (head(Pairwise, "liked"), {"auc": 0.1, "gauc": 0.1}, {"auc", "gauc"}),
    "focal": (head(UserPreference, "liked", focal=1.0), {"auc": 0.1}, {"auc", "gauc", "log_loss"}),
    "weighed": (head(UserPreference, "liked", positive_weight=3), {"auc": 0.1}, {"auc", "gauc", "log_loss"}),
    "balanced": (head(Content, "grade", class_weights="balanced"), {"log_loss": -0.1}, {"log_loss"}),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADS)
def test_a_head_learns_is_measured_beside_a_constant_and_answers_in_an_export(name, tmp_path):
    task, gains, measured = HEADS[name]
    pipeline = pipeline_of(recipe(task=task), tmp_path)
    Training(pipeline).fit()
    found, constant = evaluate(pipeline), majority(pipeline)
    assert {key.split("/")[1] for key in found} == {key.split("/")[1] for key in constant} == measured
    for metric, gain in gains.items():
        better = found[f"task/{metric}"] - constant[f"task/{metric}"]
        assert better < gain if gain < 0 else better > gain, metric

    expected = answers(pipeline.model, ["task"], pipeline.model.feed.rows["lines/eval"])["task"]
    table = pipeline.tables["lines"]["eval"].take(np.arange(6))
    ids = {role: pipeline.fold.catalog(role).ids[rows].astype(str) for role, rows in table.ids.items()}
    rank = tf.saved_model.load(str(save(pipeline, tmp_path / "export"))).signatures["rank"]
    served = rank(
        user_id=tf.constant(ids["user"]), item_id=tf.constant(ids["item"]),
        **{"context.channel": tf.constant(table.context["channel"].astype(str))},
    )  # fmt: skip
    np.testing.assert_allclose(served["task"], expected[:6], rtol=1e-5)
    if name in ("stars", "grades"):
        np.testing.assert_allclose(expected.sum(1), 1, rtol=1e-5)
        assert pipeline.classes["task"] == (GRADES if name == "grades" else ("2", "5", "9", "10"))


def test_counts_are_predicted_in_the_unit_of_the_data(tmp_path):
    pipeline = pipeline_of(recipe(task=head(Count, "spent", power=1.5)), tmp_path)
    rows, table = pipeline.model.feed.rows["lines"], pipeline.tables["lines"]["train"]
    mean = table.labels["spent"].mean()
    np.testing.assert_allclose(answers(pipeline.model, ["task"], rows)["task"], mean, rtol=0.1)
    Training(pipeline).fit()
    predicted = answers(pipeline.model, ["task"], rows)["task"]
    assert predicted.mean() == pytest.approx(mean, rel=0.1)
    assert predicted.max() > 1.5 * mean > 2 * predicted.min() > 0


def test_weights_of_the_loss_leave_metrics_alone(tmp_path):
    plain, weighed = (
        pipeline_of(recipe(task=head(UserPreference, "liked", **options)), tmp_path)
        for options in ({}, {"positive_weight": 5})
    )
    # The same weights at first, so all that is measured is the same.
    assert evaluate(plain) == evaluate(weighed)
    Training(weighed).fit()
    rows = weighed.model.feed.rows["lines/eval"]
    share = weighed.tables["lines"]["eval"].labels["liked"].mean()
    assert answers(weighed.model, ["task"], rows)["task"].mean() > 1.5 * share


def test_classes_are_balanced_by_what_rows_count(tmp_path):
    heads = {
        "task": head(Content, "grade", class_weights="balanced"),
        "by_price": head(Content, "grade", class_weights="balanced", weight_by="price"),
    }
    pipeline = pipeline_of(recipe(**heads), tmp_path)
    table = pipeline.tables["lines"]["train"]
    for name, scale in (("task", np.ones(len(table))), ("by_price", table.dense.get("price"))):
        by_class = np.array(pipeline.model.heads[name].of_classes.weights)
        total = np.bincount(table.labels["grade"], scale * by_class[table.labels["grade"]])
        np.testing.assert_allclose(total, scale.sum() / 4, rtol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"negatives_of": "liked", "keep_negatives": 0.25},
        {"positives_of": "liked", "repeat_positives": 4},
    ],
    ids=["fewer", "more"],
)
def test_some_negatives_are_learned_from_and_all_are_predicted(tmp_path, options):
    tasks = {
        "liked": head(UserPreference, "liked"),
        "plays": head(Count, "plays"),
        "pairs": head(Pairwise, "liked"),
    }
    made = recipe(**tasks)
    rows = {"lines": made.rows["lines"].model_copy(update=options)}
    pipeline = pipeline_of(made.model_copy(update={"rows": rows}), tmp_path)
    whole = pipeline_of(made, tmp_path).tables["lines"]
    train, evaluated = (pipeline.tables["lines"][part] for part in ("train", "eval"))
    assert len(train) / len(whole["train"]) < 0.6 if "keep_negatives" in options else len(train) > len(whole["train"])
    assert len(evaluated) == len(whole["eval"])
    assert train.labels["liked"].mean() > 1.4 * whole["train"].labels["liked"].mean()

    Training(pipeline).fit()
    found, constant = evaluate(pipeline), majority(pipeline)
    predicted = answers(pipeline.model, list(tasks), pipeline.model.feed.rows["lines/eval"])
    for label in ("liked", "plays"):
        assert predicted[label].mean() == pytest.approx(evaluated.labels[label].mean(), rel=0.15)
    # The constant of the baseline is that of all rows, too: about the best constant there is.
    share = evaluated.labels["liked"].mean()
    best = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    assert constant["liked/log_loss"] == pytest.approx(best, abs=0.01)
    assert found["liked/log_loss"] < constant["liked/log_loss"] - 0.05
    assert found["pairs/auc"] > 0.6

    table = evaluated.take(np.arange(6))
    ids = {role: pipeline.fold.catalog(role).ids[numbers].astype(str) for role, numbers in table.ids.items()}
    rank = tf.saved_model.load(str(save(pipeline, tmp_path / "export"))).signatures["rank"]
    served = rank(
        user_id=tf.constant(ids["user"]), item_id=tf.constant(ids["item"]),
        **{"context.channel": tf.constant(table.context["channel"].astype(str))},
    )  # fmt: skip
    np.testing.assert_allclose(served["liked"], predicted["liked"][:6], rtol=1e-5)


def test_two_replicas_train_as_one_does(tmp_path, two_replicas):
    tasks = {name: HEADS[name][0] for name in ("tweedie", "grades", "pairs", "focal")}
    made = recipe(**tasks)
    rows = made.rows["lines"].model_copy(update={"batch_size": 63, "negatives_of": "liked", "keep_negatives": 0.5})
    made = made.model_copy(
        update={
            "rows": {"lines": rows},
            "train": Train(epochs=1, optimizer="sgd", learning_rate=0.05, epoch_of="lines"),
        }
    )
    found = []
    for strategy in (one_device(), two_replicas):
        pipeline = pipeline_of(made, tmp_path, strategy)
        Training(pipeline).fit()
        found.append({variable.name: variable.numpy() for variable in pipeline.model.trainable_variables})
    for name, weights in found[0].items():
        np.testing.assert_allclose(found[1][name], weights, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (head(Ordinal, "grade"),
         r"task\.task\.order: classes of label 'grade' are no numbers \(high, low, middle\), .*: order = \[\"high\""),
        (head(Ordinal, "grade", order=("low", "midle", "high", "top")),
         r"order: label 'grade' has the class 'middle', too; did you mean 'midle'\?"),
        (head(Ordinal, "liked"), r"label: label 'liked' has two classes, which need no order; the head `content`"),
        (head(Ordinal, "spent"), r"label 'spent' .* expected 0 or 1, a column declared with several classes"),
        (head(Pairwise, "grade"), r"label 'grade' has 4 classes; expected 0 and 1"),
        (head(Count, "grade"), r"label 'grade' is declared with classes = true, and this head predicts a number"),
        (head(Content, "grade", positive_weight=2), r"positive_weight: label 'grade' has 4 classes, none of which is"),
    ],
)  # fmt: skip
def test_labels_that_do_not_fit_are_refused_in_one_message(task, message, tmp_path):
    with pytest.raises(RecipeError, match=message) as caught:
        pipeline_of(recipe(task=task), tmp_path)
    assert len(caught.value.problems) == 1


def test_two_orders_of_the_same_classes_are_refused(tmp_path):
    tasks = {"up": head(Ordinal, "grade", order=GRADES), "down": head(Ordinal, "grade", order=GRADES[::-1])}
    with pytest.raises(
        RecipeError, match=r"task\.up\.order: another task orders the classes of label 'grade' otherwise"
    ):
        pipeline_of(recipe(**tasks), tmp_path)
    pipeline_of(recipe(up=tasks["up"], other=head(Content, "grade")), tmp_path)
