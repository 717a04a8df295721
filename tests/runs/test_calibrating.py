import json
import shutil

import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.cli.commands.evaluate import command as evaluate_command
from mtkit.errors import RunError
from mtkit.evaluation.calibration import BeforeAfter, Learned, Temperature, learn
from mtkit.evaluation.metrics import labeled
from mtkit.files import write_text
from mtkit.model.model_evaluation import evaluate
from mtkit.recipe.loader import load_recipe
from mtkit.runs.directory import RunDirectory, to_json
from mtkit.runs.keras_api import build, load_run
from mtkit.runs.run import run_recipe
from mtkit.training.fit import Training

#: Leave a task on lines of baskets, with a label of 0 and 1, and one on items, whose classes are few.
UNSETS = (
    "task.next", "task.gift", "rows.windows", "correlation.experts", "encoder.visit", "encoder.past", "encoder.product",
    "evaluate.slices", "evaluate.main",
)  # fmt: skip
SETS = (
    'task.discounted.inputs=["customer", "look"]', "train.epochs=1", 'evaluate.baselines=["majority"]',
    'evaluate.prediction_metrics=["auc", "log_loss", "calibration_error"]', "data.lines=8000",
)  # fmt: skip
#: The last steps of a training that is stopped early are large, and answers say too little.
EARLY = ("train.learning_rate=0.004", "deterministic=true")


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture
def recipe(tiny_recipe):
    return load_recipe(tiny_recipe, [*SETS, *EARLY], UNSETS)


@pytest.fixture(scope="module")
def _finished():
    return {}


@pytest.fixture
def finished(_finished, recipe, tmp_path, tmp_path_factory):
    """A copy of a finished run."""
    if not _finished:
        _finished["run"] = tmp_path_factory.mktemp("calibrated") / "run"
        run_recipe(recipe, _finished["run"])
    return shutil.copytree(_finished["run"], tmp_path / "copy")


def test_what_is_on_record(finished):
    results, kept = read(finished / "metrics.json"), read(finished / "calibration.json")
    record = results["calibration"]["valid"]["discounted"]
    assert record["use"] == "temperature"
    assert {key: kept["tasks"]["discounted"]["calibration"][key] for key in ("slope", "bias")} == {
        key: record[key] for key in ("slope", "bias")
    }
    assert record["log_loss"]["after"] < record["log_loss"]["before"]
    assert results["calibration"]["valid"]["department"]["use"] == "none"
    assert "expected 50 of either" in results["calibration"]["valid"]["department"]["why"]
    tested = results["calibration"]["test"]["discounted"]
    assert tested["calibration_error"] == results["test"]["discounted/calibration_error"]
    assert 0 < tested["calibration_error_by_chance"] < 0.1


def test_figures_of_validation_are_of_the_model_as_it_was_trained(finished, recipe):
    pipeline, answers = build(recipe, fold="valid"), {}
    training = Training(pipeline, finished / "checkpoints" / "valid", validates=True)
    assert training.restore() == training.steps
    plain = evaluate(pipeline, answers=answers)
    assert dict(plain) == pytest.approx(read(finished / "metrics.json")["valid"]["model"])
    record = read(finished / "metrics.json")["calibration"]["valid"]["discounted"]
    assert record["log_loss"]["before"] == pytest.approx(plain["discounted/log_loss"])
    assert record["calibration_error"]["before"] == pytest.approx(plain["discounted/calibration_error"])
    rows = labeled(pipeline.tables["lines"]["eval"], "discounted")
    found = learn("temperature", answers["discounted"], rows)
    assert found.calibration.slope == pytest.approx(record["slope"])
    assert found.plain()["rows"] == record["rows"] == len(rows.labels)


def test_the_model_of_the_test_answers_with_what_validation_taught(finished, capsys):
    results, pipeline = read(finished / "metrics.json"), load_run(finished)
    record = results["calibration"]["valid"]["discounted"]
    known = pipeline.model.heads["discounted"].calibration
    assert (known.slope, known.bias) == (record["slope"], record["bias"])
    assert pipeline.model.heads["department"].calibration is None
    assert dict(evaluate(pipeline)) == pytest.approx(results["test"])
    evaluate_command([str(finished)], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["test"] == pytest.approx(results["test"])
    table = pipeline.tables["lines"]["eval"]
    given = {f"{role}_id": pipeline.fold.catalog(role).ids[ids].astype(str) for role, ids in table.ids.items()}
    served = tf.saved_model.load(str(finished / "export" / "1")).signatures["rank"]
    answer = served(**{name: tf.constant(ids.tolist()) for name, ids in given.items()})["discounted"]
    calibrated = pipeline.model.predict(pipeline.eval_data("lines"), verbose=0)["discounted"]
    np.testing.assert_allclose(answer, calibrated, atol=1e-6)
    pipeline.model.heads["discounted"].calibration = None
    plain = evaluate(pipeline)
    assert plain["discounted/auc"] == pytest.approx(results["test"]["discounted/auc"], abs=1e-6)
    assert plain["discounted/log_loss"] != pytest.approx(results["test"]["discounted/log_loss"], abs=1e-5)


@pytest.mark.parametrize(
    "lost",
    [
        ("metrics.json", "phases/test.json", "export"),
        ("metrics.json", "phases/test.json", "phases/valid.json", "export", "checkpoints/test"),
        ("metrics.json", "phases/test.json", "phases/valid.json", "export", "checkpoints/test", "calibration.json"),
    ],
    ids=["in the test", "before validation is complete", "before calibration is kept"],
)
def test_a_run_that_was_killed_ends_as_if_it_had_not_been(finished, recipe, lost):
    before, kept = read(finished / "metrics.json"), (finished / "calibration.json").read_text()
    for name in lost:
        (shutil.rmtree if (finished / name).is_dir() else type(finished).unlink)(finished / name)
    run_recipe(recipe, finished, resume=True)
    after = read(finished / "metrics.json")
    unlike = {"timing": None, "memory": None}
    assert {**after, **unlike} == {**before, **unlike}
    assert (finished / "calibration.json").read_text() == kept


@pytest.mark.parametrize("content", [None, '{"format": 1, "tasks": {"discounted"', '{"format": 1, "tasks": {}}'])
def test_a_file_that_is_lost_or_damaged_is_named(finished, content):
    file = finished / "calibration.json"
    if content is None:
        file.unlink()
    else:
        write_text(file, content)
    with pytest.raises(RunError, match=r"calibration.json: is (missing|damaged: .*); remove .*does phase valid again"):
        load_run(finished)


@pytest.mark.parametrize("calibration", [None, Temperature(0.1, -2.5)])
def test_what_was_learned_is_read_as_it_was_written(tmp_path, calibration):
    directory = RunDirectory(tmp_path)
    learned = Learned(calibration, "" if calibration else "too few", 7, {"log_loss": BeforeAfter(0.2, 0.1)})
    plain = {"calibration": calibration and vars(calibration), "why": learned.why, "rows": 7}
    write_text(
        directory.calibration,
        to_json({"tasks": {"a": {**plain, "figures": {"log_loss": {"before": 0.2, "after": 0.1}}}}}),
    )
    assert directory.read_calibration(["a"]) == {"a": learned}


@pytest.mark.slow
def test_without_refit_the_model_of_validation_is_calibrated(tiny_recipe, tmp_path):
    split = 'data.split={use = "user_stratified", valid = 0.2, test = 0.2, refit = false}'
    isotonic = 'task.discounted.calibrate="isotonic"'
    recipe = load_recipe(tiny_recipe, [*SETS, *EARLY, split, isotonic], (*UNSETS, "data.split"))
    metrics = run_recipe(recipe, tmp_path / "run")
    assert metrics.calibration["valid"]["discounted"]["use"] == "isotonic"
    tested = load_run(tmp_path / "run")
    assert (
        len(tested.model.heads["discounted"].calibration.inputs) == metrics.calibration["valid"]["discounted"]["knots"]
    )
    assert dict(evaluate(tested)) == pytest.approx(dict(metrics.test))


@pytest.mark.slow
def test_what_is_not_to_be_calibrated_is_not(recipe, tmp_path, monkeypatch):
    tasks = {name: task.model_copy(update={"calibrate": "none"}) for name, task in recipe.task.items()}
    monkeypatch.setattr("mtkit.serving.export.save", lambda _, directory, *options: directory)
    monkeypatch.setattr("mtkit.runs.procedure.lock", lambda recipe, _: recipe.name)
    metrics = run_recipe(recipe.model_copy(update={"task": tasks}), tmp_path / "run")
    assert metrics.calibration is None
    assert not (tmp_path / "run" / "calibration.json").exists()


def test_isotonic_is_for_two_classes(tiny_recipe):
    with pytest.raises(Exception, match=r"calibrate: is for labels of 0 and 1, and .item.department. has 6 classes"):
        build(load_recipe(tiny_recipe, ['task.department.calibrate="isotonic"']))
