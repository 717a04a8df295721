"""What `mtkit doctor` finds, one planted fault at a time."""

from importlib import metadata

import pytest
from click.testing import CliRunner

from mtkit.cli import program as cli
from mtkit.runs import doctor


@pytest.fixture
def found(monkeypatch):
    """What is found, by (level, what), without an import of TensorFlow."""
    monkeypatch.setattr(doctor, "_frameworks", lambda: iter(()))
    return lambda: {(one.level, one.what): f"{one.said} | {one.fix}" for one in doctor.diagnosis()}


def test_what_is_wrong_is_said_with_the_fix(found, monkeypatch, tmp_path):
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "0")
    monkeypatch.setenv("MTKIT_PLUGINS", "mtkit-nothing")
    monkeypatch.setenv("MTKIT_DATA", str(tmp_path / "none"))
    monkeypatch.setenv("MTKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1e9}))
    monkeypatch.setattr(doctor, "available", lambda: 1e9)
    version = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "1.0" if name == "tensorflow" else version(name))
    said = found()
    assert "asks TensorFlow for Keras 3 | unset TF_USE_LEGACY_KERAS" in said["problem", "Keras"]
    assert (
        'mtkit needs tensorflow<2.22,>=2.21, but 1.0 is installed | pip install "tensorflow'
        in said["problem", "versions"]
    )
    assert (
        "MTKIT_PLUGINS names mtkit-nothing, which offers nothing | pip install mtkit-nothing"
        in said["warning", "plugins"]
    )
    assert "cannot be written | set MTKIT_CACHE" in said["problem", "cache"]
    assert "1 GB are free" in said["warning", "disk"]
    assert "1 GB are free" in said["warning", "memory"]
    assert "is no directory" in said["warning", "MTKIT_DATA"]


def test_a_problem_is_an_exit_code(found, monkeypatch):
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "0")
    done = CliRunner().invoke(cli.main, ["doctor"])
    assert done.exit_code == 1
    assert "problem  Keras: TF_USE_LEGACY_KERAS=0 asks TensorFlow for Keras 3\n           unset" in done.output


def test_what_cannot_be_imported_is_a_problem(monkeypatch):
    monkeypatch.setattr(doctor, "_IMPORT", "import no_such_module")
    (one,) = doctor._frameworks()
    assert (one.level, one.what) == ("problem", "TensorFlow")
    assert "No module named 'no_such_module'" in one.said
    monkeypatch.setattr(doctor, "_IMPORT", "print(0)\nprint('there is a GPU that is not used')")
    assert [(one.level, one.said) for one in doctor._frameworks()][1] == ("warning", "there is a GPU that is not used")
