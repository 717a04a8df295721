"""New distributions of every kind: as they are generated, they pass their own tests and take part in their recipe."""

import importlib
import inspect
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from click.testing import CliRunner

import mtkit
from mtkit.cli import program as cli
from mtkit.errors import PluginError
from mtkit.recipe.loader import load_recipe
from mtkit.recipe.registry import KINDS
from mtkit.scaffold.new import write_new
from mtkit.scaffold.templates import kinds, made

ROOT = Path(mtkit.__file__).parents[1]


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Makes a distribution, and installs it for this process and those that it starts."""

    def install(kind):
        directory = write_new(kind, "own_part", tmp_path)
        found = made(kind, "own_part")
        information = directory / "src" / f"{found.package}-0.1.0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {directory.name}\nVersion: 0.1.0\n")
        (information / "entry_points.txt").write_text(f"[mtkit.{kind}]\nown_part = {found.value}\n")
        monkeypatch.syspath_prepend(directory / "src")
        monkeypatch.setenv("PYTHONPATH", str(directory / "src"), prepend=":")
        monkeypatch.syspath_prepend(directory / "tests")
        monkeypatch.chdir(directory)
        return directory

    yield install
    for name in [name for name in sys.modules if name.startswith(("mtkit_own_part", "test_own_part"))]:
        del sys.modules[name]


def test_there_is_a_template_for_every_kind():
    assert set(kinds()) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_distribution_passes_its_tests_and_takes_part_in_its_recipe(kind, install, tmp_path):
    directory = install(kind)
    module = importlib.import_module("test_own_part")
    tests = [function for name, function in vars(module).items() if name.startswith("test_")]
    assert tests
    for function in tests:
        function(*([tmp_path] if inspect.signature(function).parameters else []))
    recipe = load_recipe(directory / "recipe.toml")
    assert "own_part" in (recipe.train.strategy if kind == "strategy" else "", *recipe.uses.values())


def test_what_cannot_be_made_is_said(tmp_path):
    with pytest.raises(PluginError, match="there is no kind 'encodr'; did you mean 'encoder'"):
        write_new("encodr", "words", tmp_path)
    with pytest.raises(PluginError, match="expected a name of lower-case letters"):
        write_new("encoder", "Words", tmp_path)
    write_new("split", "words", tmp_path)
    with pytest.raises(PluginError, match="mtkit-words: is there already"):
        write_new("split", "words", tmp_path)
    done = CliRunner().invoke(cli.main, ["plugins", "new", "split", "other", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert f"cd {tmp_path / 'mtkit-other'}" in done.output


@pytest.mark.parametrize(("kind", "most"), [("correlation", 40), ("encoder", 50), ("balancer", 60)])
def test_a_third_party_needs_few_lines(kind, most):
    files = made(kind, "own_part").files
    lines = {
        path: text.count("\n") for path, text in files.items() if path == "pyproject.toml" or path.startswith("src/")
    }
    assert sum(lines.values()) <= most, lines


@pytest.mark.slow
def test_built_wheels_run_in_a_fresh_environment(tmp_path):
    """Every kind: the wheel is built and installed beside mtkit's, its tests pass, and its recipe runs."""
    wheels, environment = tmp_path / "wheels", tmp_path / "venv"
    base = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(wheels)]
    directories = {kind: write_new(kind, f"own_{kind}", tmp_path) for kind in KINDS}
    subprocess.run([*base, str(ROOT), *map(str, directories.values())], check=True)
    # What mtkit depends on is taken from here: it would be a gigabyte to download.
    venv.create(environment, with_pip=True, system_site_packages=True)
    here = next(path for path in sys.path if path.endswith("site-packages"))
    site = next(environment.glob("lib/python*/site-packages"))
    (site / "here.pth").write_text(f"{here}\n")
    python = environment / "bin" / "python"
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(
        [python, "-m", "pip", "install", "-q", "--no-deps", "--force-reinstall", *wheels.iterdir()],
        check=True,
        env=plain,
    )
    for kind, directory in directories.items():
        subprocess.run([python, "-m", "pytest", "-q", "tests"], check=True, cwd=directory, env=plain)
        subprocess.run([python, "-m", "mtkit", "run", "recipe.toml"], check=True, cwd=directory, env=plain)
        assert (directory / "runs" / f"own_{kind}" / "metrics.json").exists()
