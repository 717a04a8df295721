import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from interrupting import PROGRAM, SETS, STOP, UNSETS, assert_same, install
from tiny_shop import ONE, ONE_SETS

from mtkit import compose
from mtkit.backend import tf
from mtkit.cli.program import main
from mtkit.data.leakage import Finding
from mtkit.errors import DataError, RunError
from mtkit.hooks import hookimpl
from mtkit.model.model_evaluation import evaluate
from mtkit.recipe.loader import load_recipe
from mtkit.recipe.settings import Evaluate, Train
from mtkit.runs.console import Reporter
from mtkit.runs.directory import RunDirectory, write_json
from mtkit.runs.hooks import relay_of
from mtkit.runs.keras_api import build
from mtkit.runs.last_screen import MOST_WARNINGS
from mtkit.runs.replicates import runs_of
from mtkit.runs.run import run_recipe
from mtkit.runs.trainer import _write_state, trained_pipeline
from mtkit.schema import Column, Schema
from mtkit.spec import DataSource
from mtkit.standard.encoders import Features
from mtkit.standard.heads import UserPreference
from mtkit.standard.order_metrics import Auc
from mtkit.standard.rows import Interactions
from mtkit.standard.splits import Random
from mtkit.training.fit import Training
from mtkit.types import Dataset, Entity

SLOW_MOMENTS = 10


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_a_run_directory_holds_what_is_promised(tiny_run):
    results = read(tiny_run / "metrics.json")
    assert results["format"] == 1
    assert set(results["baselines"]) == {"popularity", "own_frequency", "majority"}
    keys = set(results["test"])
    assert {"next/ndcg@3", "next/new/recall@10", "discounted/auc", "department/accuracy"} <= keys
    assert set(results["baselines"]["majority"]) <= keys
    assert all(isinstance(seconds, float) for seconds in results["timing"].values())
    assert {"valid_fit_seconds", "test_export_seconds", "total_seconds"} <= set(results["timing"])
    with (tiny_run / "history.csv").open() as file:
        rows = [(row["phase"], row["epoch"], float(row["next_loss"]) > 0) for row in csv.DictReader(file)]
    assert rows == [(phase, epoch, True) for phase in ("valid", "test") for epoch in ("1.0", "2.0")]
    assert (tiny_run / "export" / "1" / "saved_model.pb").is_file()
    assert pq.read_table(tiny_run / "entities" / "test-item.parquet").column_names[0] == "id"
    assert not (tiny_run / ".lock").exists()


def test_a_run_keeps_what_its_report_is_made_of(tiny_run, tmp_path):
    kept = {path.name for path in (tiny_run / "evidence").iterdir()}
    assert {"data.json", "test.json", "lists-next.parquet", "vectors-next.parquet", "predictions-gift.parquet"} <= kept
    said = read(tiny_run / "evidence" / "test.json")
    lists = pq.read_table(tiny_run / "evidence" / "lists-next.parquet").to_pandas()
    results = read(tiny_run / "metrics.json")
    hits = np.stack(lists["hits"])
    found = np.mean(hits[:, :3].sum(1) / np.minimum(lists["relevant"], 3))
    np.testing.assert_allclose(found, results["test"]["next/recall@3"])
    rows = pq.read_table(tiny_run / "evidence" / "predictions-gift.parquet").to_pandas()
    assert len(rows) == said["predictions"]["gift"]["rows"] == results["counts"]["gift"]
    np.testing.assert_allclose(
        said["labels"]["gift"]["eval"]["mean"], np.average(rows["label"], weights=rows["weight"])
    )
    assert said["columns"]["gift"]["context.channel"] > 0.7 > said["columns"]["gift"]["user.age"]
    assert sum(said["parameters"].values()) > 1000
    assert results["memory"]["valid_fit"] <= results["memory"]["test_export"]
    data = read(tiny_run / "evidence" / "data.json")
    assert {part: sum(of) for part, of in data["time_line"]["counts"].items()} == results["protocol"]["interactions"]
    done = CliRunner().invoke(main, ["report", str(tiny_run), "--out", str(tmp_path / "page.html")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_evaluate_gives_the_figures_of_the_run(tiny_run):
    done = CliRunner().invoke(main, ["evaluate", str(tiny_run)])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"format": 1, "test": read(tiny_run / "metrics.json")["test"]}


def test_a_run_that_is_not_complete_is_not_evaluated(tiny_run, tmp_path):
    (tmp_path / "around" / "seed-3").mkdir(parents=True)
    with pytest.raises(RunError, match=r"it holds several runs; name one of them: .*seed-3"):
        trained_pipeline(RunDirectory(tmp_path / "around"))
    for name in ("recipe.lock.toml", "data.json"):
        (tmp_path / "around" / name).write_bytes((tiny_run / name).read_bytes())
    with pytest.raises(RunError, match=r"trained for 0 of \d+ steps; finish it with mtkit run --resume"):
        trained_pipeline(RunDirectory(tmp_path / "around"))


def test_an_entity_without_columns_has_its_ids_on_record(tmp_path):
    users = Entity("user", np.array([0, 5, 7]), pa.table({}))
    pipeline = SimpleNamespace(
        features=SimpleNamespace(states={}), fold=SimpleNamespace(name="test", entities={"user": users})
    )
    _write_state(RunDirectory(tmp_path), pipeline)
    assert pq.read_table(tmp_path / "entities" / "test-user.parquet").to_pydict() == {"id": [0, 5, 7]}


def test_seeds_beyond_the_largest_are_refused(tiny_recipe):
    recipe = load_recipe(tiny_recipe, ["seed=4294967294"])
    assert list(runs_of(recipe, 2)) == ["seed-4294967294", "seed-4294967295"]
    with pytest.raises(RunError, match=r"^3 seeds from 4294967294 on go beyond 4294967295"):
        runs_of(recipe, 3)


def test_a_task_stands_beside_its_best_baseline(tiny_run):
    results = read(tiny_run / "metrics.json")
    lines = {line["task"]: line for line in results["verdicts"]}
    assert {(line["task"], line["metric"]) for line in results["verdicts"]} == {
        ("next", "ndcg@3"), ("discounted", "auc"), ("gift", "auc"), ("department", "accuracy"),
    }  # fmt: skip
    best = max(("popularity", "own_frequency"), key=lambda name: results["valid"]["baselines"][name]["next/ndcg@3"])
    assert lines["next"]["baseline"] == best
    assert lines["next"]["model"] == results["test"]["next/ndcg@3"]
    assert lines["next"]["value"] == results["baselines"][best]["next/ndcg@3"]
    assert lines["discounted"]["verdict"] == "better"
    assert all(line["p"] <= line["p_holm"] <= 1 for line in lines.values())


def test_a_head_worse_than_a_constant_is_what_a_run_says_last(tiny_recipe, tmp_path, capsys):
    """Without any baseline in the recipe, and again where the run is only taken up."""
    sets = ["train.learning_rate=3.0", "train.epochs=1", 'evaluate.prediction_metrics=["log_loss"]']
    recipe = load_recipe(tiny_recipe, [*sets, "evaluate.baselines=[]"])
    for resume in (False, True):
        run_recipe(recipe, tmp_path / "run", resume=resume)
        results = read(tmp_path / "run" / "metrics.json")
        for phase, model in (("valid", results["valid"]["model"]), ("test", results["test"])):
            constant, value = results["constants"][phase]["gift/log_loss"], model["gift/log_loss"]
            assert constant < 0.7 < value
            start = f"{phase}: task gift: gift/log_loss is {value:.4f}, worse than a constant's {constant:.4f}; try "
            assert any(text.startswith(start) for text in results["warnings"])
        printed = " ".join(capsys.readouterr().out.split()).split("Try next")[1]
        worse = sum("worse than a constant" in text for text in results["warnings"])
        assert printed.count("warning: ") == printed.count("worse than a constant") == min(worse, MOST_WARNINGS)
        more = f" and {worse - MOST_WARNINGS} more warning in metrics.json" if worse == MOST_WARNINGS + 1 else ""
        assert printed.endswith("another rate of its rows" + more)
        assert {line["verdict"] for line in results["verdicts"]} == {"no baseline"}


class Toy:
    """Keeps what the hooks are told."""

    def __init__(self):
        self.calls = []

    @hookimpl
    def run_start(self, recipe, directory):
        self.calls.append(("run_start", {"recipe": recipe, "directory": directory}))

    @hookimpl
    def run_end(self, directory, metrics):
        self.calls.append(("run_end", {"directory": directory, "metrics": metrics}))

    @hookimpl
    def report_section(self, directory, metrics):
        self.calls.append(("report_section", {}))
        return "report_section was here"


@pytest.fixture
def finished(tiny_recipe, tiny_run, tmp_path):
    """Makes directories in which both phases of a run are complete."""

    def make(directory, shift=0.0):
        phases = {name: read(tiny_run / "phases" / f"{name}.json") for name in ("valid", "test")}
        phases["test"]["model"] = {key: value + shift for key, value in phases["test"]["model"].items()}
        directory.mkdir(parents=True)
        for name in ("recipe.lock.toml", "data.json", "per_user.parquet"):
            (directory / name).write_bytes((tiny_run / name).read_bytes())
        for name, results in phases.items():
            write_json(directory / "phases" / f"{name}.json", results)
        return directory

    return make


def test_hooks_are_called(finished, tiny_recipe, tmp_path, monkeypatch, capsys):
    toy = Toy()
    monkeypatch.setattr("mtkit.runs.run.hook_relay", lambda recipe: relay_of({"toy": toy}))
    recipe = load_recipe(tiny_recipe)
    directory = finished(tmp_path / "run")
    results = run_recipe(recipe, directory, resume=True)
    names = [name for name, _ in toy.calls]
    assert names == ["run_start", "run_end", "report_section"]
    assert toy.calls[0][1] == {"recipe": recipe, "directory": directory}
    assert toy.calls[1][1] == {"directory": directory, "metrics": results.plain()}
    assert "report_section was here" in capsys.readouterr().out


def test_seeds_are_means_with_their_spread(finished, tiny_recipe, tmp_path, tiny_run):
    for seed, shift in ((1, 0.0), (2, 0.1), (3, 0.2)):
        directory = finished(tmp_path / "run" / f"seed-{seed}", shift)
        lock = (directory / "recipe.lock.toml").read_text()
        (directory / "recipe.lock.toml").write_text(lock.replace("seed = 1", f"seed = {seed}", 1))
    write_json(tmp_path / "run" / "seed-2" / "counters.json", {})
    run_recipe(load_recipe(tiny_recipe), tmp_path / "run", seeds=3, resume=True)
    results = read(tmp_path / "run" / "metrics.json")
    expected = ["format", "protocol", "test", "baselines", "counts", "intervals", "verdicts", "timing", "left_out"]
    assert list(results) == expected
    for key, value in read(tiny_run / "metrics.json")["test"].items():
        assert results["test"][key] == {
            "mean": pytest.approx(value + 0.1),
            "std": pytest.approx(0.1),
            "values": pytest.approx([value, value + 0.1, value + 0.2]),
        }
    assert results["baselines"]["popularity"]["next/ndcg@3"]["std"] == 0


@pytest.fixture
def start(tiny_recipe, tmp_path):
    """`start(directory, *options, stop="", seconds=None)` runs a process to its end, or kills it after some time."""
    install(tmp_path / "site")
    words = [sys.executable, "-c", PROGRAM, "run", str(tiny_recipe)]
    words += [w for value in (*SETS, "hook.interrupter={}") for w in ("--set", value)]
    words += [w for key in UNSETS for w in ("--unset", key)]

    def run(directory, *options, stop="", seconds=None):
        process = subprocess.Popen(
            [*words, "--run-dir", str(directory), *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {STOP: stop},
        )  # fmt: skip
        try:
            output, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            output, errors = process.communicate()
        return process.returncode, output, errors

    return run


def test_a_signal_stops_a_process_after_its_epoch(start, tmp_path):
    code, output, errors = start(tmp_path / "run", stop="valid:1:SIGTERM")
    assert code == 143
    assert errors.startswith("SIGTERM: stopped; what is done is kept. Continue with: mtkit run ")
    assert errors.count("\n") == 1
    assert errors.endswith(f" --run-dir {tmp_path / 'run'} --resume\n")
    assert [path.name for path in (tmp_path / "run" / "checkpoints" / "valid").iterdir()] == ["step-00000024"]
    assert not (tmp_path / "run" / ".lock").exists()
    assert max(map(len, output.splitlines())) <= 80


@pytest.mark.slow
def test_a_process_that_is_killed_and_stopped_ends_as_if_it_had_not_been(start, tmp_path):
    code, _, errors = start(tmp_path / "whole")
    assert (code, errors) == (0, "")
    assert start(tmp_path / "run", stop="valid:2:SIGKILL")[0] == -signal.SIGKILL
    assert start(tmp_path / "run", "--resume", stop="test:1:SIGINT")[0] == 130
    code, output, errors = start(tmp_path / "run", "--resume")
    assert (code, errors) == (0, "")
    assert "goes on after step 24 of 72" in output
    assert_same(tmp_path / "run", tmp_path / "whole")


@pytest.mark.slow
def test_a_process_may_be_killed_at_any_moment(start, tmp_path):
    moments = random.Random(7)
    begin = time.monotonic()
    assert start(tmp_path / "whole")[0] == 0
    total = time.monotonic() - begin
    for number, moment in enumerate(moments.uniform(0.2, 1) * total for _ in range(SLOW_MOMENTS)):
        run = tmp_path / f"run-{number}"
        start(run, seconds=moment)
        code, _, errors = start(run, *(["--resume"] if run.exists() else []))
        assert (code, errors) == (0, ""), f"killed after {moment:.1f} of {total:.1f} s"
        assert_same(run, tmp_path / "whole")


def test_without_refit_the_model_of_validation_is_tested(tiny_recipe, tmp_path):
    split = 'data.split={use = "leave_one_out", refit = false}'
    recipe = load_recipe(tiny_recipe, [*ONE_SETS, split], ONE)
    metrics = run_recipe(recipe, tmp_path / "run")
    protocol = dict(metrics.protocol)
    sizes = protocol.pop("interactions")
    assert protocol.pop("data") == ["interactions.time: read as seconds since 1970-01-01 UTC"]
    assert protocol == {"split": "leave_one_out", "refit": False, "options": {"count": 1}, "sampled": None}
    assert sum(sizes.values()) == recipe.data.source.lines
    with (tmp_path / "run" / "history.csv").open() as file:
        assert {row["phase"] for row in csv.DictReader(file)} == {"valid"}
    tested = trained_pipeline(RunDirectory(tmp_path / "run"))
    assert dict(evaluate(tested)) == pytest.approx(dict(metrics.test))
    valid = build(recipe, fold="valid")
    training = Training(valid, tmp_path / "run" / "checkpoints" / "valid", validates=True)
    assert training.restore() == training.steps
    assert len(valid.tables["lines"]["train"]) == len(tested.tables["lines"]["train"])
    for one, other in zip(valid.model.weights, tested.model.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_folds_are_means_with_their_spread(tiny_recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("mtkit.serving.export.save", lambda _, directory, *options: directory)
    split = 'data.split={use = "rolling", length = "20d", folds = 2}'
    metrics = run_recipe(load_recipe(tiny_recipe, [*ONE_SETS, split], ONE), tmp_path / "run")
    of_folds = [read(tmp_path / "run" / f"fold-{fold}" / "metrics.json") for fold in (1, 2)]
    values = [fold["test"]["discounted/auc"] for fold in of_folds]
    assert metrics.test["discounted/auc"]["values"] == values
    assert metrics.test["discounted/auc"]["mean"] == pytest.approx(np.mean(values))
    assert [fold["protocol"]["options"]["fold"] for fold in of_folds] == [1, 2]
    assert of_folds[0]["protocol"]["interactions"]["test"] == of_folds[1]["protocol"]["interactions"]["valid"]
    with pytest.raises(RunError, match="2 folds, and 3 seeds are asked for; choose one fold"):
        run_recipe(load_recipe(tiny_recipe, [*ONE_SETS, split], ONE), tmp_path / "both", seeds=3)


def test_a_split_that_draws_trains_retrieval(train_tiny):
    split = 'data.split={use = "user_stratified", valid = 0.2, test = 0.2}'
    unsets = (
        "task.discounted",
        "task.gift",
        "task.department",
        "rows.items",
        "rows.lines",
        "encoder.visit",
        "data.split",
    )
    pipeline = train_tiny(split, 'rows.windows.length="20d"', unsets=unsets)
    assert pipeline.fold.cut == 100 * 86400
    targets = pipeline.tables["windows"]["eval"].lists["target"]
    late = pipeline.fold.events.time >= pipeline.fold.cut
    pairs = set(zip(*(ids[late] for ids in pipeline.fold.events.ids.values()), strict=True))
    assert len(targets.values["item"]) == len(pairs)


def test_what_leaks_is_said_before_anything_is_trained(tiny_recipe, tmp_path, monkeypatch, capsys):
    found = Finding("error", "context.hour", "is the label", 7, "do not read it")
    monkeypatch.setattr("mtkit.runs.run.find_leaks", lambda *_: [found])
    with pytest.raises(DataError, match="would know"):
        run_recipe(load_recipe(tiny_recipe), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    Reporter().leaks([replace(found, level="note")])
    assert "note: context.hour: is the label; do not read it" in capsys.readouterr().out


class Persons(DataSource):
    """Rows that stand for themselves."""

    def schema(self):
        number, label = Column(kind="numeric"), Column(kind="label")
        return Schema(interactions={"age": number, "town": Column(kind="categorical"), "rich": label}, entities={})

    def load(self):
        rng = np.random.default_rng(0)
        age = rng.random(500)
        rows = {"age": age, "town": rng.choice(["a", "b"], 500), "rich": rng.random(500) < age}
        return Dataset(pa.table(rows), {}, self.schema())


def test_rows_that_stand_for_themselves(tmp_path, monkeypatch):
    monkeypatch.setattr("mtkit.runs.procedure.lock", lambda recipe, _: recipe.name)
    recipe = compose(
        data=Persons(),
        split=Random(valid=0.2, test=0.2),
        rows={"persons": Interactions(batch_size=50)},
        encoder={"person": Features(reads=["context.age", "context.town"], dim=4)},
        task={"rich": UserPreference(rows="persons", inputs=["person"], label="rich")},
        train=Train(epochs=15, learning_rate=0.05, steps_per_execution=1),
        evaluate=Evaluate(prediction_metrics={"auc": Auc()}),
    )
    metrics = run_recipe(recipe, tmp_path)
    assert metrics.test["rich/auc"] > 0.7
    assert metrics.protocol["interactions"] == {"train": 300, "valid": 100, "test": 100}
    served = tf.saved_model.load(str(tmp_path / "export" / "1")).signatures
    assert set(served) == {"rich"}
    answer = served["rich"](context_age=tf.constant([0.1, 0.9]), context_town=tf.constant(["a", "a"]))
    young, old = answer["probability"].numpy()
    assert young < 0.4
    assert old > 0.6


@pytest.mark.parametrize("replace", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_run_whose_directory_goes_ends_with_an_error(tiny_recipe, tmp_path, monkeypatch, replace):
    append, other = RunDirectory.append_history, tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("")

    def moved(self, row):
        self.path.rename(tmp_path / "gone")
        if replace:
            other.rename(self.path)
        append(self, row)

    monkeypatch.setattr(RunDirectory, "append_history", moved)
    done = CliRunner().invoke(main, ["run", str(tiny_recipe), "--run-dir", str(tmp_path / "run")])
    assert done.exit_code == 2, done.exception
    assert "run: was removed or replaced while a run was at work in it" in done.stderr
    assert [path.name for path in (tmp_path / "run").glob("*")] == ["thesis.txt"] * replace
