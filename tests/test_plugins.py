"""Plugins through a run: a hook that fails, a callback, an export that answers nobody, a file of the command line."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from mtkit.cli import program as cli
from mtkit.recipe import plugin_files
from mtkit.scaffold.new import write_new

MINE = '''
from pydantic import Field

from mtkit.hooks import hookimpl
from mtkit.spec import Callback


class Fragile:
    """Fails after the first epoch."""

    @hookimpl
    def epoch_end(self, epoch):
        if epoch == 1:
            raise LookupError("the tracker is away")

    @hookimpl
    def report_section(self):
        return "the last word"


class Impatient(Callback):
    """Notes epochs, and wants to stop."""

    note: str = Field("epoch", description="what is noted")

    def build(self, context, directory):
        from mtkit.backend import keras

        class Noting(keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                directory.mkdir(parents=True, exist_ok=True)
                (directory / f"{options.note}{epoch + 1}").write_text(context.name)
                self.model.stop_training = True

        options = self
        return Noting()
'''


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A directory with a recipe, its data, and a file of plugins."""
    directory = write_new("hooks", "own", tmp_path)
    text = (directory / "recipe.toml").read_text()
    text = text[: text.index("[hook.log]")] + '[hook.fragile]\n[callback.noting]\nuse = "impatient"\n'
    (directory / "recipe.toml").write_text(text)
    (directory / "mine.py").write_text(MINE)
    monkeypatch.chdir(directory)
    return directory


def call(*words):
    plugin_files.forget()
    done = CliRunner().invoke(cli.main, words)
    return done, done.output


def test_what_fails_beside_a_run_does_not_end_it(project):
    done, said = call("run", "recipe.toml", "--plugin", "mine.py", "-v")
    assert done.exit_code == 0, said
    run = Path("runs/own")
    record = json.loads((run / "metrics.json").read_text())
    failed = [line for line in record["warnings"] if "the tracker is away" in line]
    assert len(failed) == 2, "once in each phase"
    assert "hook.fragile: hooks 'fragile' of mine.py " in failed[0]
    assert "failed at mine.py:14: LookupError" in failed[0]
    assert any("callback.noting: stop_training has no effect" in line for line in record["warnings"])
    assert "the last word" in said
    for phase in ("valid", "test"):
        assert (run / "callbacks" / "noting" / phase / "epoch2").read_text() == "noting"
    assert '"mine.py" = "sha256:' in (run / "recipe.lock.toml").read_text()

    refused, said = call("evaluate", "runs/own")
    assert refused.exit_code == 2
    assert "given on the command line: --plugin PATH/mine.py" in said
    done, said = call("evaluate", "runs/own", "--plugin", "mine.py")
    assert done.exit_code == 0, said
    assert json.loads(said)["test"].keys() == record["test"].keys()
