"""`mtkit delta` as a command; what it does is tested with `mtkit.serving.delta`."""

import pytest
from click.testing import CliRunner

from mtkit.cli.program import main


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("make", "1", "2"), "Missing option '--out'"),
        (("make", "1", "2", "--out", "delta"), "1/saved_model.pb: cannot be read: No such file or directory"),
        (("apply", "delta", "exports"), "delta: is no delta, for there is no delta.json"),
    ],
)
def test_what_cannot_be_done_is_said(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["delta", *words])
    assert done.exit_code == 2
    assert message in done.output
    assert not list(tmp_path.iterdir())
