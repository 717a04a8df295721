import json
import os
import shlex
import signal

import pytest
from click.testing import CliRunner

from mtkit.cli.program import main


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--set", "task.next.weight=0.5", "--set", "encoder.item.reads=['item.id', 'item.text']", "--unset", "hook.a"],
        ["--run-dir", "runs/with space", "--seeds", "3"],
        ["--alone", "next", "--seeds", "2"],
    ],
)
def test_an_interrupted_run_says_how_to_continue(monkeypatch, options):
    monkeypatch.setattr("mtkit.recipe.loader.load_recipe", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    done = CliRunner().invoke(main, ["run", "shop.toml", *options])
    assert done.exit_code == 130
    (line,) = done.stderr.strip().splitlines()
    said, command = line.split(": mtkit ")
    assert said == "SIGINT: stopped before there was anything to keep. Start again with"
    assert shlex.split(command) == ["run", "shop.toml", *options]


def test_an_interrupted_run_that_has_kept_something_says_how_to_continue(tiny_recipe, tmp_path, monkeypatch):
    def stop(*_):
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("mtkit.runs.procedure.split_record", stop)
    words = ["run", str(tiny_recipe), "--run-dir", str(tmp_path / "run")]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 130
    (line,) = done.stderr.strip().splitlines()
    said, command = line.split(": mtkit ")
    assert said == "SIGINT: stopped; what is done is kept. Continue with"
    assert shlex.split(command) == [*words, "--resume"]


def test_a_task_alone_runs_in_a_directory_of_its_own(tiny_recipe, tmp_path, monkeypatch):
    """Checked, run, and taken up again; the lock has what was run."""
    monkeypatch.chdir(tmp_path)
    arguments = [str(tiny_recipe), "--alone", "department", "--set", "train.epochs=1"]
    checked = CliRunner().invoke(main, ["check", *arguments], catch_exceptions=False)
    assert "tiny-alone-department" in checked.stdout
    assert "task next" not in checked.stdout
    assert CliRunner().invoke(main, ["run", *arguments], catch_exceptions=False).exit_code == 0
    directory = tmp_path / "runs" / "tiny-alone-department"
    assert "[task.next]" not in (directory / "recipe.lock.toml").read_text()
    metrics = json.loads((directory / "metrics.json").read_text())
    assert {key.split("/")[0] for key in metrics["test"]} == {"department"}
    assert CliRunner().invoke(main, ["run", *arguments, "--resume"], catch_exceptions=False).exit_code == 0


def test_a_task_that_is_not_there(tiny_recipe):
    done = CliRunner().invoke(main, ["check", str(tiny_recipe), "--alone", "depart", "--fast"])
    assert done.exit_code == 2
    assert "--alone: depart: the recipe has no such task; did you mean 'department'" in done.stderr
