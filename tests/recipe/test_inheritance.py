import re

import pytest
from toy_components import RECIPE, toy_registry

from mtkit.errors import RecipeError
from mtkit.recipe.loader import load_recipe
from mtkit.recipe.lock import lock


@pytest.fixture
def load(tmp_path, monkeypatch):
    """`load(text, sets)` loads `own/new.toml`, which is beside the toy recipe's folder `base`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base").mkdir()
    (tmp_path / "own").mkdir()
    (tmp_path / "base" / "toy.toml").write_text(RECIPE)

    def load(text, sets=(), unsets=()):
        (tmp_path / "own" / "new.toml").write_text(text)
        return load_recipe("own/new.toml", sets, unsets, toy_registry())

    return load


NEW = 'extends = "../base/toy.toml"\n'


def test_tables_are_merged_and_lists_replaced(load, tmp_path):
    old = load_recipe(tmp_path / "base" / "toy.toml", registry=toy_registry())
    more = '[encoder.more]\nuse = "sum"\nreads = ["item.id"]\n'
    new = load(NEW + 'name = "new"\n[encoder.item]\nrate = 0.5\n[evaluate]\nk = [7]\n' + more)
    assert (new.name, new.encoder["item"].rate, new.evaluate.k) == ("new", 0.5, (7,))
    assert new.encoder["item"].reads == old.encoder["item"].reads
    assert list(new.encoder) == [*old.encoder, "more"]
    assert new.evaluate.metrics == old.evaluate.metrics


def test_nothing_but_extends_is_the_same_recipe(load, tmp_path):
    old = load_recipe(tmp_path / "base" / "toy.toml", registry=toy_registry())
    assert load(NEW) == old


def test_a_component_of_another_use_leaves_the_options_of_the_one_below(load):
    recipe = load(NEW + '[encoder.item]\nuse = "sum"\nreads = ["item.id"]\n')
    assert recipe.uses["encoder.item"] == "sum"


def test_a_recipe_extends_one_that_extends_another(load, tmp_path):
    (tmp_path / "own" / "middle.toml").write_text(NEW + "seed = 3\n[evaluate]\nk = [7]\n")
    recipe = load('extends = "middle.toml"\n[evaluate]\nk = [8]\n')
    assert (recipe.seed, recipe.evaluate.k) == (3, (8,))


def test_set_and_unset_are_of_what_came_together(load):
    recipe = load(NEW + "seed = 3\n", ["seed=4"], ["rows.lines.window"])
    assert recipe.seed == 4


def test_a_mistake_names_the_file_where_its_key_stands(load, tmp_path):
    base = tmp_path / "base" / "toy.toml"
    base.write_text(RECIPE.replace("k = [10, 50]", "k = [10, 0]"))
    with pytest.raises(RecipeError) as raised:
        load(NEW + "[encoder.item]\nmode = 'lorra'\n")
    own, below = map(str, raised.value.problems)
    assert own.startswith("own/new.toml:3:8: encoder.item.mode: ")
    assert re.match(r"base/toy\.toml:\d+:10: evaluate\.k\[1\]: ", below)
    assert "k = [10, 0]" in str(raised.value)


def test_paths_begin_at_the_file_that_says_them(load, tmp_path):
    base = tmp_path / "base" / "toy.toml"
    base.write_text(RECIPE.replace('use = "deep"', 'use = "deep"\noptions = {files = ["x", "../y"]}'))
    recipe = load(NEW + '[data]\npath = "z"\n', ["encoder.user.use=deep", 'encoder.user.options.files=["w"]'])
    assert recipe.encoder["item"].options.files == (tmp_path / "base" / "x", tmp_path / "y")
    assert recipe.data.source.path == tmp_path / "own" / "z"
    assert recipe.encoder["user"].options.files == (tmp_path / "own" / "w",)


@pytest.mark.parametrize("files", ['["x", "${recipe.dir}/../y", "/z"]', '["${env:MTKIT_TEST_FILE:-v}"]'])
def test_the_lock_says_the_same_without_what_it_extends(load, tmp_path, files):
    base = tmp_path / "base" / "toy.toml"
    base.write_text(
        RECIPE.replace('use = "deep"', f'use = "deep"\noptions = {{files = {files}}}\nwords = "in ${{recipe.dir}}"')
    )
    recipe = load(NEW + '[data]\npath = "${recipe.dir}/z"\n')
    assert recipe.encoder["item"].words == f"in {tmp_path}/base"
    (run := tmp_path / "runs" / "one").mkdir(parents=True)
    text = lock(recipe, run)
    assert "extends" not in text
    (run / "recipe.lock.toml").write_text(text)
    again = load_recipe(run / "recipe.lock.toml", registry=toy_registry())
    assert again.encoder["item"].options == recipe.encoder["item"].options
    assert again.data.source.path == tmp_path / "own" / "z"
    assert lock(again, run) == text
    assert str(tmp_path) not in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('extends = "gone.toml"', "own/new.toml:1:11: extends: there is no such file: own/gone.toml"),
        ("extends = 3", "own/new.toml:1:11: extends: expected the path of a recipe, got 3"),
        ('extends = "new.toml"', "extends: a recipe cannot extend itself: own/new.toml -> own/new.toml"),
        (
            'extends = "loop.toml"',
            "own/loop.toml:1:11: extends: a recipe cannot extend itself: own/new.toml -> own/loop.toml",
        ),
    ],
)
def test_what_cannot_be_extended_is_refused(load, tmp_path, text, message):
    (tmp_path / "own" / "loop.toml").write_text('extends = "new.toml"')
    with pytest.raises(RecipeError) as raised:
        load(text)
    assert message in str(raised.value)


def test_the_command_line_extends_nothing(load):
    with pytest.raises(RecipeError, match="--set: extends: is read from a recipe's file alone"):
        load(NEW, ["extends=x.toml"])
