"""Every recipe of the repository loads, and its lock is a recipe that says the same."""

import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from mtkit.recipe.loader import load_recipe
from mtkit.recipe.lock import lock

RECIPES = sorted((Path(__file__).parents[1] / "recipes").rglob("*.toml"))


@pytest.fixture(params=RECIPES, ids=lambda path: path.stem)
def recipe(request):
    """A recipe whose plugins are installed."""
    needed = tomllib.loads(request.param.read_text(encoding="utf-8")).get("requires", {})
    if missing := needed.keys() - {distribution.name for distribution in metadata.distributions()}:
        pytest.skip(f"needs {', '.join(sorted(missing))}")
    return load_recipe(request.param)


def test_there_are_recipes():
    assert RECIPES


def test_its_lock_says_the_same(recipe, tmp_path):
    path = tmp_path / "recipe.lock.toml"
    path.write_text(lock(recipe, path.parent), encoding="utf-8")
    assert load_recipe(path) == recipe
    assert lock(load_recipe(path), path.parent) == lock(recipe, path.parent)


def test_it_requires_what_it_uses(recipe):
    """A missing distribution is then named at once, and with its version."""
    assert set(recipe.requires) == set(recipe.distributions) - {"mtkit"}
