"""Updates from files to results: what the newer model begins with, what it learns, and what cannot be updated."""

import contextlib
import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from growing_files import SHELVES, item, user, write

from mtkit.cli.program import main
from mtkit.data.catalogs import make_cuts
from mtkit.data.columns import load
from mtkit.data.kept_weights import Beginning
from mtkit.model.assembly import assemble
from mtkit.model.named_weights import named_weights
from mtkit.runs.continuing import earlier_of
from mtkit.runs.directory import RunDirectory
from mtkit.runs.origins import origin_of
from mtkit.runs.trainer import trained_pipeline
from mtkit.training.warm_start import begin_with

WHO, WHAT, SHELF = (
    f"encoders/{name}/embeddings"
    for name in ("who/_tables/user..id", "what/_tables/item..id", "what/_tables/item..shelf")
)


def run(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def kiosk(tmp_path_factory):
    """A folder with the recipe, its files, the newer ones, and a run."""
    folder = write(tmp_path_factory.mktemp("kiosk"))
    one = ("--set", "data.split.refit=false")  # so that it trains once
    done = run("run", folder / "kiosk.toml", "--run-dir", folder / "first", "-q", *one)
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture(scope="module")
def updated(kiosk):
    """The run after an update, and what that printed."""
    with contextlib.chdir(kiosk):
        done = run("update", "first", "--data", "later", "--run-dir", "next", "--set", "data.split.refit=true")
    assert done.exit_code == 0, done.output
    return RunDirectory(kiosk / "next"), done.output


def begun(directory, phase):
    """A phase's pipeline before it is trained, and what it begins with."""
    recipe = directory.read_recipe()
    dataset = load(recipe.data.source)
    cut = make_cuts(dataset, recipe.data.split)[phase]
    origin = origin_of(recipe, dataset, cut)
    pipeline = assemble(recipe, dataset, cut, earlier=earlier_of(recipe, dataset, cut))
    cold = {name: weight.numpy() for name, weight in named_weights(pipeline.model).items()}
    return pipeline, begin_with(pipeline, origin), cold


def test_the_run_names_its_parent_and_the_days_follow_the_data(kiosk, updated):
    directory, _ = updated
    lock = directory.read_lock()
    assert lock["train"]["init_from"] == "../first"
    assert lock["data"]["newer"] == ["../later"]
    assert {name: str(lock["data"]["split"][name]) for name in ("valid", "test")} == {
        "valid": "2024-04-30",
        "test": "2024-05-31",
    }
    assert json.loads(directory.data.read_text())["files"].keys() == {"train.init_from"}


def test_old_rows_are_kept_and_new_ones_begin_like_what_they_are_like(kiosk, updated):
    earlier = trained_pipeline(RunDirectory(kiosk / "first"))
    pipeline, beginning, cold = begun(updated[0], 1)
    now, before = ({n: w.numpy() for n, w in named_weights(p.model).items()} for p in (pipeline, earlier))
    assert isinstance(beginning, Beginning)
    assert not beginning.left
    for entity, name in (("user", WHO), ("item", WHAT)):
        old, ids = earlier.fold.entities[entity].ids, pipeline.fold.entities[entity].ids
        assert ids[: len(old)].tolist() == old.tolist()  # appended, never renumbered
        np.testing.assert_array_equal(now[name][: len(old)], before[name])
    items = pipeline.fold.entities["item"].ids.tolist()
    alike = [items.index(item(number)) for number in (3, 6, 9, 12, 15, 18)]  # of the first shelf; goods 0 have left it
    expected = now[WHAT][alike].mean(0)
    np.testing.assert_allclose(now[WHAT][items.index(item(20))], expected, atol=1e-6)
    lonely = items.index(item(23))  # on the new shelf, beside what has moved there
    np.testing.assert_allclose(now[WHAT][lonely], now[WHAT][items.index(item(0))], atol=1e-6)
    users = pipeline.fold.entities["user"].ids.tolist()
    fresh = [number for number in range(40, 50) if user(number) in users]
    for number in fresh:  # nothing is known of them
        np.testing.assert_array_equal(now[WHO][users.index(user(number))], cold[WHO][users.index(user(number))])


def test_what_preprocessors_have_learned_stays_and_new_values_come_behind(kiosk, updated):
    def states(directory):
        return json.loads((directory.features / "test.json").read_text())["features"]

    before, now = states(RunDirectory(kiosk / "first")), states(updated[0])
    assert before["item.shelf"]["values"] == sorted(SHELVES[:3])
    assert now["item.shelf"]["values"] == [*before["item.shelf"]["values"], SHELVES[3]]
    assert now["item.weight"] == before["item.weight"]


def test_training_sees_what_is_new_and_a_share_of_the_rest(kiosk, updated):
    pipeline, _, _ = begun(updated[0], 1)
    table = pipeline.tables["lines"]["train"]
    until = int(np.datetime64("2024-03-01", "s").astype(int))
    events = pipeline.fold.events.time[pipeline.fold.events.time < pipeline.fold.fit]
    new, old = np.count_nonzero(events >= until), np.count_nonzero(events < until)
    assert np.count_nonzero(table.time >= until) == new > 0
    assert np.count_nonzero(table.time < until) == round(0.1 * old)
    assert "those that the earlier run has not learned from" in table.note
    windows = pipeline.tables["windows"]["train"]
    assert (windows.ends > until).all()


def test_it_is_measured_before_and_after_for_old_ids_and_new_ones(updated):
    directory, said = updated
    results = json.loads(directory.metrics.read_text())
    before, after = results["init"]["test"]["before"], results["test"]
    assert before.keys() == after.keys()
    for key in ("next/ndcg@10", "next/added_user/ndcg@10", "liked/kept_item/log_loss", "liked/added_item/log_loss"):
        assert before[key] is not None
        assert after[key] != before[key]
    counts = results["counts"]
    assert counts["liked/kept_item"] + counts["liked/added_item"] == counts["liked"]
    assert 0 < counts["liked/added_item"] < counts["liked/kept_item"]
    assert "Before, by the model of the earlier run, and after the update" in said
    assert "added item" in said


@pytest.mark.slow
def test_it_stands_without_its_parent_and_can_be_updated_again(updated, tmp_path):
    copy = shutil.copytree(updated[0].path.parent, tmp_path / "kiosk")
    shutil.rmtree(copy / "first")
    done = run("evaluate", copy / "next")
    assert done.exit_code == 0, done.output
    again = run("update", copy / "next", "--run-dir", copy / "third")
    assert again.exit_code == 2
    assert "nothing is new: the data are those that it has learned from" in again.output


def test_ids_of_any_script_are_recommended_to(updated):
    done = run("recommend", updated[0].path, "--user", user(41), "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert found["known"]
    assert {one["item"] for one in found["recommendations"]} <= {item(number) for number in range(24)}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "nothing is new: the data are those that it has learned from; say where newer ones are by --data"),
        (("--data", "nowhere"), "nowhere: expected a folder with newer files; there is none"),
        pytest.param(
            ("--data", "later", "--set", "encoder.what.hidden=[4]"), "cannot be gone on with: ", marks=pytest.mark.slow
        ),
        (
            ("--data", "later", "--set", "preprocess.w={use='log',columns=['item.weight']}"),
            "preprocess.w is set otherwise",
        ),
        (("--data", "later", "--set", "data.split.valid=2024-02-01"), "they have seen what it evaluates on"),
        (
            ("--data", "later", "--unset", "data.split", "--set", "data.split.use='random'"),
            "its split is not by time, or this one is not",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_message(kiosk, tmp_path, words, message):
    words = [kiosk / word if word in ("later", "nowhere") else word for word in words]
    done = run("update", kiosk / "first", "--run-dir", tmp_path / "bad", *words)
    assert done.exit_code == 2, done.output
    assert message in " ".join(done.output.split()), done.output
    if "--data" not in words or message.startswith("nowhere"):
        assert not (tmp_path / "bad").exists()


def test_newer_files_with_other_columns_and_with_all_rows_are_refused(kiosk, tmp_path):
    write(tmp_path / "other")
    later = tmp_path / "other" / "later"
    (later / "log.csv").write_text("user,item,time\na,b,2024-05-02\n")
    done = run("update", kiosk / "first", "--data", later, "--run-dir", tmp_path / "next")
    assert done.exit_code == 2
    assert "liked" in done.output
    shutil.copy(kiosk / "log.csv", later / "log.csv")
    done = run("update", kiosk / "first", "--data", later, "--run-dir", tmp_path / "next")
    assert done.exit_code == 2
    assert "are in the older files, too, and would count twice" in " ".join(done.output.split())


@pytest.mark.slow
def test_an_update_that_is_stopped_goes_on_as_if_it_had_not_been(kiosk, updated, monkeypatch):
    refit = ("--set", "data.split.refit=true")
    words = ("update", kiosk / "first", "--data", kiosk / "later", "--run-dir", kiosk / "stopped", *refit)
    written = RunDirectory.append_history

    def stop(self, row):
        written(self, row)
        if row["phase"] == "test":
            raise KeyboardInterrupt

    monkeypatch.setattr(RunDirectory, "append_history", stop)
    assert run(*words).exit_code != 0
    monkeypatch.undo()
    done = run(*words, "--resume")
    assert done.exit_code == 0, done.output
    one, other = (json.loads((kiosk / name / "metrics.json").read_text()) for name in ("stopped", "next"))
    assert one["test"] == other["test"]
    assert one["init"] == other["init"]
