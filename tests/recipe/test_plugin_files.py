"""Plugins that are one file: who gives them, what is kept of them, and that a recipe alone executes nothing."""

import subprocess
import sys

import pytest
from click.testing import CliRunner
from toy_components import RECIPE, toy_entries

from mtkit.cli import program as cli
from mtkit.errors import PluginError, RecipeError
from mtkit.recipe import plugin_files
from mtkit.recipe.loader import load_recipe
from mtkit.recipe.lock import lock
from mtkit.recipe.registry import Registry

MINE = '''
from mtkit.hooks import hookimpl
from mtkit.spec import Encoder

class BagOfHTML(Encoder):
    """Mine."""
    extra: tuple[str, ...] = ()

class _Hidden(Encoder):
    pass

class Bell:
    @hookimpl
    def run_end(self, directory):
        pass
'''
SETS = ("encoder.past.use=bag_of_html", "hook.bell={}")


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The toy recipe, and a file beside it, with the toy components installed."""
    installed = Registry.installed
    monkeypatch.setattr(
        Registry,
        "installed",
        lambda: Registry([*toy_entries(), *(e for e in installed().entries() if "mine" in e.value)]),
    )
    (tmp_path / "toy.toml").write_text(RECIPE)
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path


def test_recipes_name_what_a_file_defines(files):
    with pytest.raises(RecipeError, match="no encoder is named 'bag_of_html'"):
        load_recipe(files / "toy.toml", SETS)
    file = plugin_files.use(files / "mine.py")
    assert sorted(file.components()) == [("encoder", "bag_of_html", "BagOfHTML"), ("hooks", "bell", "Bell")]
    recipe = load_recipe(files / "toy.toml", SETS)
    assert type(recipe.encoder["past"]).__doc__ == "Mine."
    assert recipe.distributions["mine.py"] == file.digest[7:19]
    assert load_recipe(files / "toy.toml", ("encoder.past.use=mine.py:bag_of_html",)).encoder == recipe.encoder


def test_a_lock_asks_for_the_file_again(files):
    plugin_files.use(files / "mine.py")
    recipe = load_recipe(files / "toy.toml", SETS)
    locked = files / "lock.toml"
    locked.write_text(lock(recipe, files))
    assert f'[plugins]\n"mine.py" = "{plugin_files.given()["mine.py"].digest}"' in locked.read_text()
    assert lock(load_recipe(locked), files) == locked.read_text()
    assert "plugins" not in lock(load_recipe(files / "toy.toml"), files), "what is not used is not asked for"
    plugin_files.forget()
    with pytest.raises(
        RecipeError, match=r"plugins\.\"mine\.py\": .*given on the command line: --plugin PATH/mine\.py"
    ):
        load_recipe(locked)
    (files / "mine.py").write_text(MINE + "\n")
    plugin_files.use(files / "mine.py")
    with pytest.raises(RecipeError, match=r"mine\.py is not the file that this was made with: expected sha256:"):
        load_recipe(locked)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 / 0", r"mine\.py: failed: ZeroDivisionError"),
        ("from mtkit.spec import Encoder", "offers nothing; expected classes on a base class of mtkit.spec"),
        ("syntax error", "failed: SyntaxError"),
    ],
)
def test_a_file_that_is_of_no_use_is_refused(files, text, message):
    (files / "mine.py").write_text(text)
    with pytest.raises(PluginError, match=message):
        plugin_files.use(files / "mine.py")
    with pytest.raises(PluginError, match="cannot be read: No such file"):
        plugin_files.use(files / "none.py")


def test_two_files_of_one_name_are_refused(files):
    plugin_files.use(files / "mine.py")
    assert plugin_files.use(files / "mine.py") is plugin_files.given()["mine.py"]
    (files / "other").mkdir()
    (files / "other" / "mine.py").write_text(MINE + "x = 1\n")
    with pytest.raises(PluginError, match="has the same name"):
        plugin_files.use(files / "other" / "mine.py")


def test_it_is_given_before_or_behind_a_command(files):
    sets = [word for value in SETS for word in ("--set", value)]
    recipe, mine = str(files / "toy.toml"), str(files / "mine.py")
    for words in (
        ["--plugin", mine, "check", "--fast", recipe, *sets],
        ["check", "--fast", recipe, "--plugin", mine, *sets],
    ):
        done = CliRunner().invoke(cli.main, words)
        assert done.exit_code == 0, done.output
        assert "bag_of_html(history.item" in done.output
        plugin_files.forget()


def test_the_package_is_a_program():
    done = subprocess.run([sys.executable, "-m", "mtkit", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("mtkit, version ")
