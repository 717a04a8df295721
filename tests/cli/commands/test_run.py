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
    ],
)
def test_an_interrupted_run_says_how_to_continue(monkeypatch, options):
    monkeypatch.setattr("mtkit.recipe.loader.load_recipe", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    done = CliRunner().invoke(main, ["run", "shop.toml", *options])
    assert done.exit_code == 130
    head, command = done.stderr.strip().splitlines()
    assert head == "SIGINT: stopped; what is done is kept. Continue with:"
    assert shlex.split(command) == ["mtkit", "run", "shop.toml", *options, "--resume"]
