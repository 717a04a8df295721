import shutil

import pytest
from click.testing import CliRunner

from mtkit.cli.program import main
from mtkit.recipe.loader import load_recipe
from mtkit.recipe.lock import lock
from mtkit.runs.recipe_difference import differing, given_recipe


def found(first, second):
    return {each.key: (each.first, each.second) for each in differing(first, second)}


def test_only_values_differ(tiny_recipe, tmp_path):
    first = load_recipe(tiny_recipe)
    second = load_recipe(tiny_recipe, ["train.epochs=5", "evaluate.metrics=['ndcg', 'recall', 'mrr']"], ["balance"])
    assert found(first, second) == {
        "balance.use": ("uncertainty", "fixed"),
        "train.epochs": (2, 5),
        "evaluate.metrics.mrr.use": (None, "mrr"),
    }
    assert found(first, first) == {}


def test_a_run_and_its_recipe_are_the_same(tiny_recipe, tmp_path):
    run = tmp_path / "runs" / "one"
    run.mkdir(parents=True)
    (run / "recipe.lock.toml").write_text(lock(load_recipe(tiny_recipe), run))
    assert found(given_recipe(run), given_recipe(tiny_recipe)) == {}
    assert found(given_recipe(run / "recipe.lock.toml"), given_recipe(tiny_recipe)) == {}


def test_paths_are_compared_by_where_they_lead(tiny_recipe, tmp_path):
    (tmp_path / "sub").mkdir()
    shutil.copy(tiny_recipe, tmp_path / "sub" / "same.toml")
    assert found(given_recipe(tiny_recipe), given_recipe(tmp_path / "sub" / "same.toml")) == {}
    sets = "train.init_from='old'"
    (tmp_path / "old").mkdir()
    here = load_recipe(tiny_recipe, [sets])
    below = load_recipe(tmp_path / "sub" / "same.toml", [sets.replace("old", "../old")])
    other = load_recipe(tmp_path / "sub" / "same.toml", [sets])
    assert found(here, below) == {}
    assert found(here, other).keys() == {"train.init_from"}


@pytest.mark.parametrize("epochs", [2, 5])
def test_the_command_exits_with_1_where_something_differs(tiny_recipe, tmp_path, epochs):
    other = tmp_path / "other.toml"
    other.write_text(f'extends = "{tiny_recipe.name}"\n[train]\nepochs = {epochs}\n')
    result = CliRunner().invoke(main, ["diff", str(tiny_recipe), str(other)])
    assert result.exit_code == (epochs != 2)
    assert ("train.epochs" in result.output) == (epochs != 2)
