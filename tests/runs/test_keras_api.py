import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import mtkit
from mtkit.backend import keras
from mtkit.errors import RecipeError
from mtkit.model.model_evaluation import evaluate
from mtkit.recipe.auto_baselines import auto_baselines
from mtkit.recipe.loader import load_recipe
from mtkit.standard.baselines import OwnRecency
from mtkit.standard.factor_baselines import Ease
from mtkit.training.fit import Training

#: Leave `next` and `discounted`.
TWO = ("task.gift", "task.department", "rows.items", "encoder.visit", "correlation.experts")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MTKIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def pipeline(tiny_recipe, cache):
    return mtkit.build(tiny_recipe)


def test_import_is_light():
    code = "import sys, mtkit; print('numpy' in sys.modules, 'tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
    with pytest.raises(AttributeError, match="no attribute 'buidl'"):
        mtkit.buidl  # noqa: B018


def test_fit_with_ordinary_callbacks(tiny_recipe, cache, tmp_path):
    pipeline, again = (mtkit.build(tiny_recipe, unsets=TWO) for _ in range(2))
    model = pipeline.model
    assert isinstance(model, keras.Model)
    model.compile(keras.optimizers.Adam(0.02))
    before = model.evaluate(pipeline.eval_data(), verbose=0, return_dict=True)
    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.weights.h5", save_weights_only=True)
    rates = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate if epoch else 0.03)
    stopping = keras.callbacks.EarlyStopping("val_next_loss", patience=0, min_delta=1e9)
    history = model.fit(
        pipeline.train_data(),
        epochs=5,
        validation_data=pipeline.eval_data(),
        callbacks=[checkpoint, rates, stopping],
        verbose=0,
    ).history
    assert len(history["next_loss"]) == 2
    assert history["lr"] == pytest.approx([0.03, 0.03])
    assert sorted(path.name for path in tmp_path.glob("*.h5")) == ["1.weights.h5", "2.weights.h5"]
    for task in pipeline.plan.tasks:
        assert history[f"val_{task}_loss"][-1] < before[f"{task}_loss"]
    again.model.load_weights(tmp_path / "2.weights.h5")
    first, second = (p.model.predict(p.eval_data("windows"), verbose=0)["next"] for p in (pipeline, again))
    np.testing.assert_array_equal(first, second)


@pytest.mark.slow
def test_tensorboard(pipeline, tmp_path):
    pipeline.model.compile("adam")
    pipeline.model.fit(pipeline.train_data(), callbacks=[keras.callbacks.TensorBoard(tmp_path / "logs")], verbose=0)
    assert list((tmp_path / "logs/train").iterdir())


def test_epochs_visit_every_row_in_new_orders(tiny_pipeline):
    pipeline = tiny_pipeline
    data = pipeline.train_data()
    first, second = ([batch["windows"].numpy() for batch in data] for _ in range(2))
    assert len(first) == len(data)
    for epoch in (first, second):
        rows = np.concatenate(epoch)
        assert sorted(rows[rows >= 0]) == list(range(len(pipeline.tables["windows"]["train"])))
    assert not np.array_equal(first[0], second[0])
    again = [batch["windows"].numpy() for batch in pipeline.train_data()]
    np.testing.assert_array_equal(first, again)


def test_predict_is_by_task_and_in_the_order_of_rows(tiny_pipeline):
    outputs = tiny_pipeline.model.predict(tiny_pipeline.eval_data(), verbose=0)
    sizes = {name: len(parts["eval"]) for name, parts in tiny_pipeline.tables.items()}
    assert {task: values.shape for task, values in outputs.items()} == {
        "next": (sizes["windows"], 41),
        "discounted": (sizes["lines"],),
        "gift": (sizes["lines"],),
        "department": (sizes["items"], 6),
    }
    labels = tiny_pipeline.tables["lines"]["eval"].labels["discounted"]
    accuracy = np.mean((outputs["discounted"] > 0.5) == (labels > 0.5))
    assert accuracy == pytest.approx(evaluate(tiny_pipeline)["discounted/accuracy"])
    alone = tiny_pipeline.model.predict(tiny_pipeline.eval_data("items"), verbose=0)
    assert list(alone) == ["department"]
    np.testing.assert_allclose(alone["department"], outputs["department"], atol=1e-6)


@pytest.mark.slow
def test_evaluate_is_the_mean_over_rows(tiny_pipeline):
    model = tiny_pipeline.model
    losses = model.evaluate(tiny_pipeline.eval_data(), verbose=0, return_dict=True)
    outputs = model.predict(tiny_pipeline.eval_data("lines"), verbose=0)["discounted"].astype(np.float64)
    labels = tiny_pipeline.tables["lines"]["eval"].labels["discounted"]
    expected = -np.mean(labels * np.log(outputs) + (1 - labels) * np.log(1 - outputs))
    assert losses["discounted_loss"] == pytest.approx(expected, rel=1e-4)


def test_what_a_keras_model_does_otherwise_is_refused_with_the_fix(tiny_pipeline, tiny_recipe):
    with pytest.raises(ValueError, match=r"losses belong to task heads.*instead of compile\(loss"):
        tiny_pipeline.model.compile("adam", loss="mse")
    with pytest.raises(ValueError, match=r"save_weights\(...\) and make it again with mtkit.build"):
        tiny_pipeline.model.save("model.keras")
    with pytest.raises(ValueError, match="sets and unsets change a recipe's file"):
        mtkit.build(load_recipe(tiny_recipe), sets=["seed=3"])


def test_folds_and_settings(tiny_recipe, cache):
    pipeline = mtkit.build(tiny_recipe, sets=["encoder.visit.dim=4"], unsets=["correlation"], fold="test")
    assert pipeline.fold.name == "test"
    assert pipeline.recipe.encoder["visit"].dim == 4
    assert not pipeline.plan.correlations
    with pytest.raises(RecipeError, match=r"task\.next: its embeddings .* 'past' is 8 wide, 'customer' is 4 wide"):
        mtkit.build(tiny_recipe, sets=["encoder.customer.dim=4"], unsets=["correlation"])


@pytest.mark.slow
def test_two_replicas(tiny_recipe, cache, two_replicas, monkeypatch):
    alone = mtkit.build(tiny_recipe)
    expected = alone.model
    expected.compile("sgd")
    losses = expected.evaluate(alone.eval_data("lines", "items"), verbose=0, return_dict=True)
    monkeypatch.setattr("mtkit.model.assembly.make_strategy", lambda recipe: two_replicas)
    shared = mtkit.build(tiny_recipe)
    with two_replicas.scope():
        shared.model.compile("sgd")
    shared.model.set_weights(expected.get_weights())
    data = shared.eval_data("lines", "items")
    found = shared.model.evaluate(data, steps=len(list(alone.eval_data("lines"))), verbose=0, return_dict=True)
    for task in ("discounted", "gift", "department"):
        assert found[f"{task}_loss"] == pytest.approx(losses[f"{task}_loss"], rel=1e-5)


def frames(tiny_recipe):
    """The tiny shop as data frames, and the specs of its recipe."""
    recipe = load_recipe(tiny_recipe)
    dataset = recipe.data.source.load()
    tables = {name: table.to_pandas() for name, table in dataset.entities.items()}
    return recipe, dataset.interactions.to_pandas(), tables


def source(tiny_recipe, **changes):
    from mtkit.standard.sources import Frames

    recipe, interactions, entities = frames(tiny_recipe)
    schema = recipe.data.source.schema()
    options = {
        "columns": schema.interactions,
        "entity_columns": schema.entities,
        "interactions": interactions,
        "entities": entities,
    }
    return recipe, Frames(**options | changes)


def composed(recipe, data, **changes):
    parts = {
        "data": data,
        "split": recipe.data.split,
        "rows": recipe.rows,
        "encoder": recipe.encoder,
        "correlation": recipe.correlation,
        "task": recipe.task,
        "balance": recipe.balance,
        "train": recipe.train,
        "evaluate": recipe.evaluate,
        "seed": recipe.seed,
        "deterministic": recipe.deterministic,
    }
    return mtkit.compose(**parts | changes)


@pytest.mark.slow
def test_composed_from_frames_trains_as_the_file_does(tiny_recipe, cache):
    recipe, data = source(tiny_recipe)
    losses = []
    for given in (tiny_recipe, composed(recipe, data)):
        pipeline = mtkit.build(given)
        Training(pipeline)
        losses.append(pipeline.model.evaluate(pipeline.eval_data(), verbose=0))
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_compositions_pick_baselines_as_recipes_do(tiny_recipe):
    recipe, data = source(tiny_recipe)
    own = {"own_recency": OwnRecency(half_lives=[7])}
    found = composed(recipe, data, evaluate=recipe.evaluate.model_copy(update={"baselines": own}), baselines="auto")
    names = auto_baselines(recipe.task.values(), data.schema())
    assert list(found.evaluate.baselines) == list(names)
    assert found.evaluate.baselines["own_recency"] == own["own_recency"]
    assert found.evaluate.baselines["ease"] == Ease()
    assert composed(recipe, data).evaluate.baselines == recipe.evaluate.baselines
    with pytest.raises(RecipeError, match=r"mtkit.compose: baselines: expected \"auto\", got 'all'"):
        composed(recipe, data, baselines="all")


def test_compositions_are_checked_as_recipes_are(tiny_recipe):
    recipe, data = source(tiny_recipe)
    reads = recipe.encoder["customer"].model_copy(update={"reads": ("user.id", "user.agee")})
    with pytest.raises(RecipeError, match=r"mtkit.compose: encoder.customer.reads\[1\]: .* did you mean 'user.age'"):
        composed(recipe, data, encoder={**recipe.encoder, "customer": reads})
    with pytest.raises(RecipeError, match=r"encoder.customer: expected a mtkit.spec.Encoder, got"):
        composed(recipe, data, encoder={**recipe.encoder, "customer": recipe.balance})
    with pytest.raises(RecipeError, match=r"task: is missing; a recipe has \[task.NAME\]"):
        composed(recipe, data, task={})
    with pytest.raises(RecipeError, match=r"encoder\.Customer: expected a name of lower-case"):
        composed(recipe, data, encoder={"Customer": reads})


def test_frames_that_do_not_fit(tiny_recipe, cache):
    recipe, interactions, entities = frames(tiny_recipe)
    for changes, message in (
        ({"interactions": interactions.drop(columns="gift")}, r"interactions\.gift: declared, but the frame has only"),
        ({"entities": {**entities, "user": pd.DataFrame({"key": [1]})}}, r"user\.id: declared, but the frame has only"),
        (
            {"interactions": interactions.assign(gift=["no"] * len(interactions))},
            "row 1: 'no' is no number; write 1",
        ),
        ({"interactions": interactions.assign(gift=[1, "no"] * (len(interactions) // 2))}, "values of several types"),
    ):
        _, data = source(tiny_recipe, **changes)
        with pytest.raises(mtkit.errors.DataError, match=message):
            mtkit.build(composed(recipe, data))


def test_an_unseen_gpu_is_told(tiny_recipe, cache, monkeypatch):
    monkeypatch.setattr("mtkit.runs.keras_api.unseen_gpu", lambda strategy: f"no GPU for {strategy}")
    with pytest.warns(UserWarning, match="no GPU for auto"):
        mtkit.build(tiny_recipe)
