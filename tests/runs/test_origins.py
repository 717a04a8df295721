"""Runs that begin with the weights of another run: which model a phase may take, and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from interrupting import STOP, assert_same, install

from mtkit.cli.program import main
from mtkit.data.catalogs import make_cuts
from mtkit.data.columns import load
from mtkit.errors import RecipeError
from mtkit.recipe.loader import load_recipe
from mtkit.recipe.lock import lock
from mtkit.runs.directory import RunDirectory
from mtkit.runs.keras_api import build, load_run
from mtkit.runs.origins import origin_of

NEXT = ("data.split.valid=2024-08-01", "data.split.test=2024-08-15")
SMALL = (
    "data.lines=1200",
    "encoder.past.dropout=0.3",
    "deterministic=true",
    "hook.interrupter={}",
    "evaluate.baselines=['popularity']",
    "evaluate.slices=[]",
)
UNSETS = ("task.gift", "task.department", "rows.items", "encoder.visit", "correlation.experts", "balance")


@pytest.fixture
def earlier(tiny_run, tmp_path):
    """A copy of the tiny run, to be changed."""
    return Path(shutil.copytree(tiny_run, tmp_path / "earlier", ignore=shutil.ignore_patterns("export")))


def run(recipe, *options):
    return CliRunner().invoke(main, [str(word) for word in ("run", recipe, *options)])


def sets(*values):
    return [word for value in values for word in ("--set", value)]


def origin(recipe, run, *values, unsets=()):
    loaded = load_recipe(recipe, (f"train.init_from={run}", *values), unsets)
    dataset = load(loaded.data.source)
    return [origin_of(loaded, dataset, cut) for cut in make_cuts(dataset, loaded.data.split)]


def test_each_phase_takes_the_newest_model_that_has_not_seen_what_it_evaluates(tiny_recipe, tiny_run):
    assert [one.kept.fold for one in origin(tiny_recipe, tiny_run)] == ["valid", "test"]
    assert [one.kept.fold for one in origin(tiny_recipe, tiny_run, *NEXT)] == ["test", "test"]
    between = ("data.split.valid=2024-07-15", "data.split.test=2024-08-10")
    assert [one.kept.fold for one in origin(tiny_recipe, tiny_run, *between)] == ["valid", "test"]
    assert [one.kept.fold for one in origin(tiny_recipe, tiny_run, "data.split.refit=false")] == ["valid", "valid"]


def test_a_run_that_has_seen_what_is_evaluated_is_refused(tiny_recipe, tiny_run, tmp_path):
    late = ("train.init_from=" + str(tiny_run), "data.split.valid=2024-06-30")
    done = run(tiny_recipe, *sets(*late), "--run-dir", tmp_path / "new")
    assert done.exit_code == 2
    assert (
        f"train.init_from: {tiny_run}: its models were trained until 2024-07-01 (valid) and 2024-08-01" in done.output
    )
    assert "phase valid trains until 2024-06-30: they have seen what it evaluates on" in done.output
    assert not (tmp_path / "new").exists()
    done = CliRunner().invoke(main, ["check", str(tiny_recipe), *sets(*late)])
    assert done.exit_code == 2
    assert "they have seen what it evaluates on" in done.output


@pytest.mark.slow
def test_splits_that_are_not_by_time_need_the_same_data_and_split(tiny_recipe, tiny_run, tmp_path):
    drawn = (*SMALL[:1], "data.split={use='user_stratified'}", "train.epochs=1")
    unset = [word for key in ("data.split", *UNSETS) for word in ("--unset", key)]
    assert run(tiny_recipe, *sets(*drawn), *unset, "--run-dir", tmp_path / "drawn").exit_code == 0
    unsets = ("data.split", *UNSETS)
    for more, taken in (((), ["valid", "test"]), (("data.split.refit=false",), ["valid", "valid"])):
        found = origin(tiny_recipe, tmp_path / "drawn", *drawn, *more, unsets=unsets)
        assert [one.kept.fold for one in found] == taken
    for other in ("data.split.seed=1", "data.seed=1"):
        with pytest.raises(
            RecipeError, match="its split is not by time, or this one is not, so the same data and split"
        ):
            origin(tiny_recipe, tmp_path / "drawn", *drawn, other, unsets=unsets)
    for sets_, earlier in ((("data.lines=1200",), tmp_path / "drawn"), (drawn, tiny_run)):
        with pytest.raises(RecipeError, match="the same data and split are needed"):
            origin(tiny_recipe, earlier, *sets_, unsets=unsets if sets_ == drawn else ())


def test_what_is_no_finished_run_is_refused(tiny_recipe, tmp_path, earlier):
    with pytest.raises(RecipeError, match=r"init_from: .*nowhere: there is no such directory; name the run directory"):
        origin(tiny_recipe, tmp_path / "nowhere")
    with pytest.raises(RecipeError, match=r"train.init_from: .*: cannot be a run directory: File name too long"):
        origin(tiny_recipe, tmp_path / ("long" * 100))
    (tmp_path / "seeds").mkdir()
    (tmp_path / "seeds" / "seed-1").symlink_to(earlier)
    with pytest.raises(RecipeError, match=r"train.init_from: .*it holds several runs; name one of them: .*seed-1"):
        origin(tiny_recipe, tmp_path / "seeds")
    for name in ("weights", "phases"):
        shutil.rmtree(earlier / name)
    with pytest.raises(RecipeError, match=r"init_from: .*earlier: it was not trained to the end; finish it with"):
        origin(tiny_recipe, earlier)


def test_a_run_of_another_version_is_refused(tiny_recipe, earlier):
    path = RunDirectory(earlier).kept_weights("test")
    notes = json.loads(path.read_text())
    path.write_text(json.dumps({"format": 1, "mtkit": "0.0.9", "other": notes}))
    with pytest.raises(RecipeError, match=r"earlier: was trained by mtkit 0.0.9, and this is .*; run it anew"):
        origin(tiny_recipe, earlier)


NAMES = ("weights/test.json", "recipe.lock.toml", "entities/test-item.parquet", "checkpoints/test")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", ["gone", "empty", "garbage", "other"])
def test_damaged_files_are_one_message(tiny_recipe, earlier, tmp_path, name, damage):
    path = earlier / name
    if path.is_dir():
        path = max(path.iterdir()) / "checkpoint.index"
    texts = {"empty": b"", "garbage": b"\xff\xfe\x00garbage" * 40, "other": b'{"mtkit": "0.1.0", "other": 1}'}
    path.unlink() if damage == "gone" else path.write_bytes(texts[damage])
    done = run(tiny_recipe, *sets(f"train.init_from={earlier}", *NEXT), "--run-dir", tmp_path / "new")
    assert done.exit_code == 2, done.output
    assert "Traceback" not in done.output
    message = " ".join(done.stderr.split())
    assert str(earlier) in message
    assert any(word in message for word in ("restore it", "name the run directory", "remove", "finish it"))


@pytest.mark.slow
def test_an_interrupted_run_goes_on_as_if_it_had_not_been(tiny_recipe, tmp_path, monkeypatch):
    install(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    unset = [word for key in UNSETS for word in ("--unset", key)]
    plain = [*sets(*SMALL), *unset]
    assert run(tiny_recipe, *plain, "--run-dir", tmp_path / "first").exit_code == 0
    options = [*plain, *sets(f"train.init_from={tmp_path / 'first'}", *NEXT, "data.users=100", "data.items=50")]
    done = run(tiny_recipe, *options, "--run-dir", tmp_path / "whole")
    assert done.exit_code == 0, done.output
    assert "user.id:" in done.output
    for at in ("valid:1", "test:1"):
        monkeypatch.setenv(STOP, f"{at}:SIGTERM")
        assert run(tiny_recipe, *options, "--run-dir", tmp_path / at).exit_code == 143
        monkeypatch.delenv(STOP)
        done = run(tiny_recipe, *options, "--run-dir", tmp_path / at, "--resume")
        assert done.exit_code == 0, done.output
        assert_same(tmp_path / at, tmp_path / "whole")
    results = json.loads((tmp_path / "whole" / "metrics.json").read_text())
    assert {phase: init["phase"] for phase, init in results["init"].items()} == {"valid": "test", "test": "test"}
    assert results["init"]["valid"]["labels"]["item.id"]["new"] > 0
    record = json.loads((tmp_path / "whole" / "data.json").read_text())
    assert record["files"].keys() == {"train.init_from"}

    notes = tmp_path / "first" / "weights" / "test.json"
    notes.write_text(notes.read_text() + "\n")
    done = run(tiny_recipe, *options, "--run-dir", tmp_path / "whole", "--resume")
    assert done.exit_code == 2
    assert "the files that train.init_from names are damaged, or others than when the run began" in " ".join(
        done.output.split()
    )
    shutil.rmtree(tmp_path / "first")  # what is trained needs it no more
    assert CliRunner().invoke(main, ["evaluate", str(tmp_path / "whole")]).exit_code == 0


def test_the_lock_names_the_run_from_where_it_is(tiny_recipe, tiny_run, tmp_path):
    recipe = load_recipe(tiny_recipe, [f"train.init_from={Path(tiny_run).relative_to(tiny_run.parent)}"])
    text = lock(recipe, tiny_recipe.parent / "runs" / "new")
    assert 'init_from = "../../run"' in text


def test_models_in_keras_code_begin_with_it_too(tiny_recipe, tiny_run):
    with pytest.warns(UserWarning, match=r"train.init_from: encoder.visit _hidden/0/kernel begins anew: is not there"):
        pipeline = build(tiny_recipe, [f"train.init_from={tiny_run}", "encoder.visit.hidden=[4]"], fold="test")
    past = pipeline.model.encoders["past"].items.numpy()
    np.testing.assert_array_equal(past, load_run(tiny_run).model.encoders["past"].items.numpy())


def test_check_says_what_a_run_would_begin_with(tiny_recipe, tiny_run):
    values = sets(f"train.init_from={tiny_run}", "encoder.visit.hidden=[4]", "data.users=100")
    done = CliRunner().invoke(main, ["check", str(tiny_recipe), *values])
    assert done.exit_code == 0, done.output
    assert "begins with 48 weights of phase valid\n" in done.output
    assert "user.id: 79 known, 20 new, 1 gone\n" in done.output
    assert "warning: train.init_from: encoder.visit _hidden/0/kernel begins anew: is not there" in done.output
