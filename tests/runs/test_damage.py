"""A file of a run directory that is damaged, or gone, is named in one message that says what to do; or it is not needed."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from interrupting import STOP, install
from tiny_shop import RECIPE

from mtkit.cli.program import main
from mtkit.errors import RunError
from mtkit.runs.damage import read_json, reading
from mtkit.runs.directory import RunDirectory
from mtkit.runs.trainer import trained_pipeline
from mtkit.training.fit import Training

SETS = (
    "data.lines=600",
    "data.users=30",
    "encoder.past.length=8",
    "rows.windows.count=2",
    "evaluate.baselines=['popularity']",
    "evaluate.slices=[]",
    "hook.interrupter={}",
)
UNSETS = (
    *("task.gift", "task.department", "task.discounted", "rows.items", "rows.lines"),
    *("encoder.visit", "correlation.experts", "balance"),
)
USER = "105"
LAST = "checkpoints/test/step-00000004"
#: Files of a run, and the commands that read them; all others are written for people, or for other programs.
READ = {
    "recipe.lock.toml": ("resume", "evaluate", "recommend", "export", "compare"),
    "data.json": ("evaluate", "resume", "export", "compare"),
    "counters.json": ("resume",),
    "history.csv": ("resume",),
    "per_user.parquet": ("compare", "report"),
    "metrics.json": ("report",),
    "evidence/test.json": ("report",),
    "evidence/lists-next.parquet": ("report",),
    "phases/valid.json": ("resume",),
    "phases/test.json": ("resume",),
    "entities/test-item.parquet": ("evaluate", "recommend", "export"),
    "entities/test-user.parquet": ("recommend", "evaluate", "export"),
    "export/1/saved_model.pb": ("recommend",),
    "export/1/variables/variables.index": ("recommend",),
    "export/1/variables/variables.data-00000-of-00001": ("recommend",),
    f"{LAST}/checkpoint.index": ("evaluate", "export"),
    f"{LAST}/checkpoint.data-00000-of-00001": ("evaluate", "export"),
}
OTHER = {
    ".json": ('{"other": 1}', "[1, 2]", '{"fingerprint": [1], "model": 3, "baselines": [1], "tuned": [2], "n": "a"}'),
    ".toml": ("[other]\nx = 1\n", 'recipe = 1\nname = "other"\n'),
    ".csv": ("a,b\n1,2,3,4\n", "phase,epoch\n1,2,3,4\n"),
}  # fmt: skip


def gone(path):
    path.unlink()


def truncated(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path):
    path.write_bytes(b"")


def garbage(path):
    path.write_bytes(b"\xff\xfe\x00garbage\x93" * 40)


def other(path, number=0):
    """Puts something of the same format there that says other things."""
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"other": [1, 2]}), path)
    else:
        texts = OTHER.get(path.suffix, ("other",))
        path.write_text(texts[number % len(texts)])


#: A word of what a message says to do; without a lock, a directory is no run, and another is to be named.
REMEDIES = ("remove", "restore", "resume", "mtkit export", "name the run directory")
DAMAGES = (gone, truncated, empty, garbage, other)


def asked(command, run):
    """The answer of a command of a run."""
    options = [word for value in SETS for word in ("--set", value)] + [w for key in UNSETS for w in ("--unset", key)]
    words = {
        "run": ["run", run.parent / "tiny.toml", *options, "--run-dir", run],
        "resume": ["run", run.parent / "tiny.toml", *options, "--run-dir", run, "--resume"],
        "recommend": ["recommend", run, "--user", USER],
    }
    result = CliRunner().invoke(main, list(map(str, words.get(command, [command, run]))))
    assert result.exit_code in (0, 2, 143), (command, result.exit_code, result.exception)
    return result


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Directories of a finished run, and of one that was stopped amid the training for the test."""
    directory = tmp_path_factory.mktemp("runs")
    (directory / "tiny.toml").write_text(RECIPE)
    site = directory / "site"
    (site / "tiny_shop-1.0.dist-info").mkdir(parents=True)
    (site / "tiny_shop-1.0.dist-info/METADATA").write_text("Name: tiny-shop\nVersion: 1.0\n")
    (site / "tiny_shop-1.0.dist-info/entry_points.txt").write_text(
        "[mtkit.data_source]\ntiny_shop = tiny_shop:TinyShop\n"
    )
    install(site)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        patch.setenv(STOP, "test:1:SIGTERM")
        assert asked("run", directory / "interrupted").exit_code == 143
        patch.delenv(STOP)
        shutil.copytree(directory / "interrupted", directory / "finished")
        assert asked("resume", directory / "finished").exit_code == 0
        yield directory


@pytest.fixture
def copied(runs):
    """A function from the state of a run to a copy of its directory."""
    shutil.rmtree(runs / "work", ignore_errors=True)
    return lambda state: Path(shutil.copytree(runs / state, runs / "work"))


def check(command, run, name):
    """A damaged file is not needed, or is one message that names it, or the directory that is of no use without it."""
    result = asked(command, run)
    if result.exit_code == 2:
        assert str(run) in result.stderr
        assert "Traceback" not in result.stderr
        assert name in result.stderr or any(str(run / part) in result.stderr for part in Path(name).parents), (
            result.stderr
        )
        assert any(word in result.stderr for word in REMEDIES), result.stderr


@pytest.mark.parametrize("damage", [gone, pytest.param(garbage, marks=pytest.mark.slow), other])
@pytest.mark.parametrize("name", READ)
def test_a_damaged_file_of_a_finished_run(copied, name, damage):
    run = copied("finished")
    damage(run / name)
    check(READ[name][0], run, name)


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("state", ["finished", "interrupted"])
def test_every_file_and_every_command(runs, copied, state, damage):
    for path in sorted(path for path in (runs / state).rglob("*") if path.is_file()):
        name = str(path.relative_to(runs / state))
        for number, command in enumerate(("evaluate", "recommend", "resume", "export", "compare", "report")):
            shutil.rmtree(runs / "work", ignore_errors=True)
            run = copied(state)
            damage(run / name, number) if damage is other else damage(run / name)
            check(command, run, name)


def test_a_damaged_last_checkpoint_is_trained_again_as_the_message_says(copied):
    run = copied("finished")
    before = asked("evaluate", run).stdout
    truncated(run / LAST / "checkpoint.data-00000-of-00001")
    refused = asked("evaluate", run)
    again = f"remove {run}/phases/test.json, then mtkit run --resume does phase test again"
    assert refused.exit_code == 2
    assert refused.stderr.startswith(f"{run / LAST} is damaged and left out: ")
    assert refused.stderr.endswith(f"{run}: trained for 2 of 4 steps; {again}\n")
    (run / "phases/test.json").unlink()
    assert asked("resume", run).exit_code == 0
    assert asked("evaluate", run).stdout == before


@pytest.mark.parametrize("name", ["per_user.parquet", "entities/test-item.parquet"])
def test_a_damaged_file_of_a_phase_is_written_again_as_the_message_says(copied, name):
    run = copied("finished")
    before = asked("compare", run).stdout
    garbage(run / name)
    command = READ[name][0]
    assert f"remove {run / name} and {run}/phases/test.json, then mtkit run --resume" in asked(command, run).stderr
    for path in (run / name, run / "phases/test.json"):
        path.unlink()
    assert asked("resume", run).exit_code == 0
    assert asked(command, run).exit_code == 0
    assert asked("compare", run).stdout == before


def test_weights_that_are_not_finite_are_noticed(copied, monkeypatch):
    run = copied("finished")
    pipeline = trained_pipeline(RunDirectory(run))
    training = Training(pipeline, run / "checkpoints/test")
    weight = pipeline.model.encoders["product"].trainable_variables[0]
    weight.assign(np.full(weight.shape, np.nan))
    training.step = training.steps
    training._checkpoints.save(training.step)
    (run / "phases/test.json").unlink()
    for command in ("evaluate", "export", "resume"):
        message = (
            rf"the weights {weight.name} are not finite at step 4 of 4 (epoch 2); try a smaller train.learning_rate"
        )
        assert message in asked(command, run).stderr
    with pytest.raises(RunError, match=r"nothing is exported, for the weights .* are not finite: training diverged"):
        pipeline.recipe.export.export(pipeline, run / "export")
    monkeypatch.setattr("mtkit.serving.export.not_finite", lambda _: "")
    monkeypatch.setattr("mtkit.serving.export.warn_of_weights", lambda _: None)
    pipeline.recipe.export.export(pipeline, run / "export")
    refused = asked("recommend", run)
    assert (refused.exit_code, f"{run}/export/2: scores are not finite" in refused.stderr) == (2, True)


def test_a_checkpoint_of_another_model_is_refused(copied):
    from mtkit.backend import tf

    run = copied("finished")
    tf.train.Checkpoint(other=tf.Variable(1.0)).write(str(run / LAST / "checkpoint"))
    assert f"{run / LAST}: is of another model: " in asked("evaluate", run).stderr


def test_readers_say_what_is_wrong_in_one_line(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(RunError, match=rf"^{path}: is missing; do this$"):
        read_json(path, dict[str, int], "do this")
    path.write_text(json.dumps({"a": "b"}))
    with pytest.raises(RunError, match=rf"^{path}: is damaged: a: Input should be a valid integer.*; do this$"):
        read_json(path, dict[str, int], "do this")
    with pytest.raises(RuntimeError, match="a bug"), reading(path, "do this"):
        raise RuntimeError("a bug")
