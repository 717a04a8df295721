"""Trackers, from the recipe to what their own readers find."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from mtkit.errors import PluginError
from mtkit.recipe.loader import load_recipe
from mtkit.runs.hooks import hook_relay
from mtkit.runs.run import run_recipe


def relay(tiny_recipe, *sets):
    return hook_relay(load_recipe(tiny_recipe, sets))


def epochs(hooks, directory, phase, *numbers):
    for epoch in numbers:
        metrics = {"epoch": epoch, "loss": 1 / epoch, "next/ndcg@3": epoch / 10}
        hooks.epoch_end(phase=phase, epoch=epoch, metrics=metrics, directory=directory)


@pytest.fixture
def run(tiny_run, tmp_path):
    """A run that is done, to write into."""
    return shutil.copytree(tiny_run, tmp_path / "run")


@pytest.fixture
def fresh(tiny_run, tmp_path):
    """A run that has begun."""
    (directory := tmp_path / "fresh").mkdir()
    shutil.copy(tiny_run / "recipe.lock.toml", directory)
    return directory


def scalars(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    found.Reload()
    from tensorboard.util import tensor_util

    return {
        tag: [(event.step, float(tensor_util.make_ndarray(event.tensor_proto))) for event in found.Tensors(tag)]
        for tag in found.Tags()["tensors"]
        if tag != "recipe"
    }, found


def test_tensorboard_reads_epochs_once(tiny_recipe, fresh):
    pytest.importorskip("tensorboard")
    hooks = relay(tiny_recipe, "hook.tensorboard={}")
    hooks.run_start(recipe=None, directory=fresh)
    epochs(hooks, fresh, "valid", 1, 2)
    resumed = relay(tiny_recipe, "hook.tensorboard={}")
    resumed.run_start(recipe=None, directory=fresh)
    epochs(resumed, fresh, "valid", 2, 3)
    epochs(resumed, fresh, "test", 1)
    resumed.run_end(directory=fresh, metrics={})
    values, _ = scalars(fresh / "tensorboard" / "valid")
    assert [step for step, _ in values["loss"]] == [1, 2, 3]
    assert values["next/ndcg@3"] == [(n, pytest.approx(n / 10)) for n in (1, 2, 3)]
    assert "epoch" not in values
    assert scalars(fresh / "tensorboard" / "test")[0]["loss"] == [(1, 1.0)]


def test_tensorboard_shows_the_result(tiny_recipe, run):
    pytest.importorskip("tensorboard")
    hooks = relay(tiny_recipe, "hook.tensorboard={embeddings = 12}")
    hooks.run_start(recipe=None, directory=run)
    hooks.run_end(directory=run, metrics={})
    folder = run / "tensorboard" / "result"
    values, events = scalars(folder)
    tested = json.loads((run / "metrics.json").read_text())["test"]
    assert values["next/ndcg@3"] == [(0, pytest.approx(tested["next/ndcg@3"]))]
    assert b'use = "gated_retrieval"' in events.Tensors("recipe")[0].tensor_proto.string_val[0]
    assert "item.tsv" in (folder / "projector_config.pbtxt").read_text()
    vectors = np.loadtxt(folder / "item.tsv", delimiter="\t")
    labels = [line.split("\t") for line in (folder / "item_labels.tsv").read_text().splitlines()]
    assert len(labels) == len(vectors) + 1 == 13
    assert labels[0][0] == "id"
    assert labels[1][0] == "p00"


@pytest.mark.filterwarnings("ignore")  # of MLflow itself, about its database
def test_mlflow_has_runs_with_all_that_belongs_to_them(tiny_recipe, run, tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)  # where MLflow keeps artifacts
    from mlflow import MlflowClient, pyfunc, set_tracking_uri

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    sets = [f"hook.mlflow.uri='{uri}'", "hook.mlflow.experiment=shop"]
    (tmp_path / "here").mkdir()
    hooks = relay(tiny_recipe, *sets)
    hooks.run_start(recipe=load_recipe(tiny_recipe), directory=run)
    epochs(hooks, run, "valid", 1, 2)
    resumed = relay(tiny_recipe, *sets)
    resumed.run_start(recipe=load_recipe(tiny_recipe), directory=run)
    epochs(resumed, run, "valid", 2, 3)
    resumed.run_end(directory=run, metrics={})

    client = MlflowClient(tracking_uri=uri)
    (experiment,) = [e for e in client.search_experiments() if e.name == "shop"]
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.status == "FINISHED"
    assert found.info.run_id == json.loads((run / "mlflow.json").read_text())["run_id"]
    history = client.get_metric_history(found.info.run_id, "valid/next/ndcg_at_3")
    assert [(metric.step, metric.value) for metric in history] == [(1, 0.1), (2, 0.2), (3, 0.3)]
    tested = json.loads((run / "metrics.json").read_text())["test"]
    assert found.data.metrics["test/next/ndcg_at_3"] == tested["next/ndcg@3"]
    assert found.data.params["train.optimizer"] == "adam"
    assert found.data.params["task.next.query"] == "past, customer"
    assert found.data.params["train.patience"] == "2"
    lock = client.download_artifacts(found.info.run_id, "recipe.lock.toml", str(tmp_path / "here"))
    assert Path(lock).read_text() == (run / "recipe.lock.toml").read_text()

    set_tracking_uri(uri)
    model = pyfunc.load_model(f"runs:/{found.info.run_id}/model")
    assert {"user_id", "k"} <= set(model.metadata.signature.inputs.input_names())
    asked = {
        spec.name: np.zeros([2 if size < 0 else size for size in spec.shape], spec.type)
        for spec in model.metadata.signature.inputs
    }
    answer = model.predict({**asked, "user_id": np.array(["100", "101"]), "k": np.array(3, np.int32)})
    assert answer["item_ids"].shape == (2, 3)


@pytest.mark.parametrize("name", ["mlflow", "tensorboard"])
def test_a_tracker_that_is_not_there_is_named_with_the_command(tiny_recipe, tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    hooks = relay(tiny_recipe, f"hook.{name}={{}}")
    with pytest.raises(PluginError, match=rf"hook '{name}' needs .*; run: pip install 'mtkit\[{name}\]'"):
        hooks.run_start(recipe=load_recipe(tiny_recipe), directory=tmp_path)


@pytest.mark.slow
def test_a_run_is_tracked_from_its_recipe(tiny_recipe, tmp_path):
    pytest.importorskip("tensorboard")
    unsets = ["task.next", "task.gift", "task.department", "rows.items", "rows.windows", "correlation.experts"]
    unsets += ["encoder.visit", "encoder.past", "encoder.product", "evaluate.slices", "evaluate.main"]
    sets = ["data.lines=600", 'task.discounted.inputs=["customer", "look"]', "train.epochs=2", "hook.tensorboard={}"]
    sets += ["evaluate.baselines=[]", "export.unseen=false"]
    run_recipe(load_recipe(tiny_recipe, sets, unsets), tmp_path / "run", seeds=2)
    for seed in ("seed-1", "seed-2"):
        folder = tmp_path / "run" / seed / "tensorboard"
        assert [step for step, _ in scalars(folder / "valid")[0]["discounted_loss"]] == [1, 2]
        assert "discounted/auc" in scalars(folder / "result")[0]
