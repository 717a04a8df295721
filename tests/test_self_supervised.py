"""Tasks that train an encoder on what it reads: from the recipe to metrics."""

from typing import ClassVar

import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.data.catalogs import make_cuts
from mtkit.heads import SelfSupervisedHead
from mtkit.model.assembly import assemble
from mtkit.model.model_evaluation import evaluate
from mtkit.recipe.describe import describe
from mtkit.recipe.loader import load_recipe
from mtkit.recipe.plan import Plan
from mtkit.recipe.static_checks import check_wiring
from mtkit.runs.run import run_baselines
from mtkit.spec import SelfSupervisedTask
from mtkit.standard.prediction_baselines import Majority
from mtkit.training.fit import Training


class AsHeavy(SelfSupervisedHead):
    """The first number of an embedding is to be the weight of its item; items of odd ids have twice the weight."""

    def call(self, features, ids, encoder, training=False):
        found = encoder(features, training=training)[:, 0]
        return tf.square(found - features["item.weight"][:, 0]), 1 + tf.cast(ids % 2, tf.float32)

    def observe(self, features, encoder):
        weights = features["item.weight"][:, 0]
        return tf.stack([tf.reduce_sum(weights), tf.reduce_sum(tf.ones_like(weights))])

    def measure(self, features, ids, encoder, observed):
        losses, weights = self(features, ids, encoder)
        constant = tf.square(observed[0] / observed[1] - features["item.weight"][:, 0])
        return {"model": {"error": (losses, weights)}, "mean": {"error": (constant, weights)}}


class Heaviness(SelfSupervisedTask):
    """Learns the weight of items from their features, of which it is one."""

    metrics: ClassVar = {"root": True, "error": True}

    def refusal(self, encoder):
        return "" if "item.weight" in encoder.reads else f"{self.encoder!r} does not read item.weight"

    def values(self, means):
        values = super().values(means)
        return {"root": values["error"] ** 0.5, **values}

    def build(self, context):
        assert context.encoders[self.encoder].dim == 8
        return AsHeavy(name=context.name)


@pytest.fixture
def recipe(tiny_recipe):
    sets = ("evaluate.slices=['item.color']", "train.epochs=4", "train.epoch_of='items'", "train.learning_rate=0.05")
    loaded = load_recipe(tiny_recipe, sets)
    tasks = {"department": loaded.task["department"], "heaviness": Heaviness(rows="items", encoder="look")}
    evaluation = loaded.evaluate.model_copy(update={"main": "heaviness/root", "baselines": {}})
    uses = {**loaded.uses, "task.heaviness": "heaviness"}
    return loaded.model_copy(update={"task": tasks, "uses": uses, "evaluate": evaluation})


@pytest.fixture
def pipeline(recipe, tmp_path):
    dataset = recipe.data.source.load()
    _, test = make_cuts(dataset, recipe.data.split)
    return assemble(recipe, dataset, test, cache_dir=tmp_path)


def weights_of_items(pipeline, part):
    """Row ids, and the standardized weights of the rows' items."""
    ids = pipeline.tables["items"][part].ids["item"]
    return ids, pipeline.model.feed.entities["item"].columns["weight"].numpy()[ids, 0]


def test_losses_and_metrics(pipeline):
    batches = pipeline.model.gather({"items": tf.constant([0, 3, 4, -1], tf.int64)})
    loss = pipeline.model.run(batches, training=False).losses["heaviness"]
    ids, heavy = weights_of_items(pipeline, "train")
    inputs = pipeline.model.inputs_of["look"]
    features = {a: pipeline.model.feed.entities["item"].gather(a.column, ids) for a in inputs}
    errors = (pipeline.model.encoders["look"](features).numpy()[:, 0] - heavy) ** 2
    doubled = 1 + ids % 2
    rows = [0, 3, 4]
    assert float(loss.weight) == doubled[rows].sum()
    assert float(loss.total) == pytest.approx((errors * doubled)[rows].sum(), rel=1e-4)
    before = evaluate(pipeline)
    Training(pipeline).fit()
    after = evaluate(pipeline)
    assert after["heaviness/root"] < 0.5 * before["heaviness/root"]
    assert after["heaviness/root"] == pytest.approx(after["heaviness/error"] ** 0.5)
    assert "department/accuracy" in after
    ids, held_out = weights_of_items(pipeline, "eval")
    expected = np.average((heavy.mean() - held_out) ** 2, weights=1 + ids % 2)
    assert after.beside["mean"]["heaviness/error"] == pytest.approx(expected, rel=1e-5)
    assert after.beside["mean"].keys() == {key for key in after if key.startswith("heaviness/")}
    assert any(key.startswith("heaviness/item.color=") for key in after)
    assert after.counts["heaviness"] == len(ids)
    sums = after.sums["heaviness/"]
    assert sums.totals["error"].sum() / sums.weights["error"].sum() == pytest.approx(after["heaviness/error"])


def test_baselines_alone_are_those_beside_a_model(recipe, pipeline, tmp_path, capsys):
    settings = recipe.evaluate.model_copy(update={"baselines": {"majority": Majority()}})
    results = run_baselines(recipe.model_copy(update={"evaluate": settings}), tmp_path / "run")
    assert results.baselines["mean"] == evaluate(pipeline).beside["mean"]
    assert results.valid.baselines["mean"].keys() == results.baselines["mean"].keys()
    assert results.valid.baselines["mean"] != results.baselines["mean"]
    assert "department/accuracy" in results.baselines["majority"]
    assert results.counts["heaviness"] == len(pipeline.tables["items"]["eval"])
    assert "heaviness/error" in results.intervals["baselines"]["mean"]
    assert "\nheaviness  " in capsys.readouterr().out
    alone = run_baselines(recipe, tmp_path / "alone")
    assert alone.baselines == {"mean": results.baselines["mean"]}


def test_keys(recipe):
    assert recipe.evaluate.keys("heaviness", recipe.task["heaviness"]) == ("heaviness/root", "heaviness/error")
    assert recipe.lower_is_better("heaviness/item.color=red/root")
    assert not recipe.lower_is_better("department/accuracy")
    assert "  encoder look" in describe(recipe)


def test_its_encoder_needs_no_embedding(recipe):
    encoders = {"look": recipe.encoder["look"]}
    alone = Plan(encoders, {}, {"heaviness": recipe.task["heaviness"]})
    assert alone.reads("heaviness") == {"items": [("encoder", "look")]}
    assert alone.embedding_encoders() == ()
    assert Plan(encoders, {}, recipe.task).embedding_encoders() == ("look",)


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ("lok", "no encoder is called 'lok'; did you mean 'look'?"),
        ("product", "'product' does not read item.weight"),
        ("past", "'past' reads history; expected an encoder of one entity"),
    ],
)
def test_encoders_that_it_cannot_train(recipe, encoder, message):
    tasks = {"heaviness": Heaviness(rows="items", encoder=encoder)}
    evaluation = recipe.evaluate.model_copy(update={"main": "heaviness/root"})
    (mistake,) = check_wiring(recipe.model_copy(update={"task": tasks, "evaluate": evaluation}))
    assert mistake.path == ("task", "heaviness", "encoder")
    assert mistake.message.startswith(message)
