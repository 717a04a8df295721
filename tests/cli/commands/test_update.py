"""`mtkit update` as a command; what it does is tested with `mtkit.runs.update`."""

import pytest
from click.testing import CliRunner

from mtkit.cli.program import main


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run",), "Missing option '--run-dir'"),
        (("run", "--run-dir", "next", "--replay", "1.5"), "1.5 is not in the range 0<=x<=1"),
        (("run", "--run-dir", "next", "--new-ids", "zero"), "'zero' is not one of 'content', 'initial'"),
        (
            ("run", "--run-dir", "next"),
            "run: there is no such directory; name the run directory of a finished mtkit run",
        ),
    ],
)
def test_what_cannot_be_asked_is_said(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["update", *words])
    assert done.exit_code == 2
    assert message in done.output
    assert not (tmp_path / "next").exists()


def test_sources_without_newer_folders_say_what_else_to_do(tiny_run, tmp_path):
    done = CliRunner().invoke(
        main, ["update", str(tiny_run), "--data", str(tmp_path), "--run-dir", str(tmp_path / "next")]
    )
    assert done.exit_code == 2
    assert "the data source 'tiny_shop' reads no folder of newer files" in done.output
    assert "--set data.KEY=VALUE" in done.output
