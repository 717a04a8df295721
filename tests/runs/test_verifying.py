import json

import pytest
from click.testing import CliRunner

from mtkit.cli.program import main
from mtkit.errors import RecipeError, RunError
from mtkit.recipe.loader import load_recipe
from mtkit.recipe.lock import lock
from mtkit.runs.verifying import verify

EXPECT = '\n[expect]\n"next/ndcg@3" = [0.2, 0.4]\n"gift/auc" = {at_least = 0.8}\n'


@pytest.fixture
def run(tiny_recipe, tmp_path):
    """`run(figures)`: a run directory with these figures of the test, of a recipe that expects some."""
    tiny_recipe.write_text(tiny_recipe.read_text() + EXPECT)
    (directory := tmp_path / "run").mkdir()

    def run(figures, sets=()):
        (directory / "recipe.lock.toml").write_text(lock(load_recipe(tiny_recipe, sets), directory))
        (directory / "metrics.json").write_text(json.dumps({"format": 1, "test": figures}))
        return directory

    run.recipe = tiny_recipe
    return run


def mtkit(*words):
    return CliRunner().invoke(main, list(map(str, words)))


def test_figures_in_their_intervals_hold(run):
    directory = run({"next/ndcg@3": 0.4, "gift/auc": 0.9, "gift/accuracy": 0.1})
    assert [(each.key, each.holds) for each in verify(directory)] == [("next/ndcg@3", True), ("gift/auc", True)]
    assert mtkit("verify", directory).exit_code == 0


@pytest.mark.parametrize(
    ("figures", "off"),
    [
        ({"next/ndcg@3": 0.41, "gift/auc": 0.9}, ["next/ndcg@3"]),
        ({"next/ndcg@3": 0.19, "gift/auc": 0.79}, ["next/ndcg@3", "gift/auc"]),
        ({"next/ndcg@3": 0.3, "gift/auc": None}, ["gift/auc"]),
        ({"next/ndcg@3": 0.3}, ["gift/auc"]),
        ({"next/ndcg@3": {"mean": 0.5, "std": 0.1, "values": [0.4, 0.6]}, "gift/auc": 1}, ["next/ndcg@3"]),
    ],
)
def test_figures_that_are_off_are_told(run, figures, off):
    directory = run(figures)
    assert [each.key for each in verify(directory) if not each.holds] == off
    shown = mtkit("verify", directory, "--json")
    assert shown.exit_code == 1
    assert [each["metric"] for each in json.loads(shown.stdout)["expected"] if not each["holds"]] == off
    table = mtkit("verify", directory)
    assert table.exit_code == 1
    assert table.stdout.count(" off") == len(off) + 1


def test_a_recipe_is_held_against_its_run(run, monkeypatch):
    directory = run({"next/ndcg@3": 0.3, "gift/auc": 0.9})
    assert all(each.holds for each in verify(run.recipe, directory))
    run.recipe.write_text(run.recipe.read_text().replace("[0.2, 0.4]", "[0.5, 0.6]"))
    assert [each.holds for each in verify(run.recipe, directory)] == [False, True]
    run({"next/ndcg@3": 0.3}, ["train.epochs=7"])
    with pytest.raises(RunError, match=r"run: is a run of another recipe: 1 key differs \(train\.epochs\)"):
        verify(run.recipe, directory)


def test_what_nothing_is_expected_of_is_no_success(run, tmp_path):
    directory = run({"next/ndcg@3": 0.3})
    (directory / "recipe.lock.toml").write_text(lock(load_recipe(run.recipe, unsets=["expect"]), directory))
    assert mtkit("verify", directory).exit_code == 2
    (directory / "metrics.json").unlink()
    run.recipe.write_text(run.recipe.read_text())
    with pytest.raises(RunError, match="nothing is expected; add"):
        verify(directory)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('"next/ndgc@3" = [0, 1]', r'expect\."next/ndgc@3": no figure is called .*; did you mean .next/ndcg@3'),
        ('"next/ndcg@3" = [1, 0]', r'expect\."next/ndcg@3": expected the smaller one first, got 1 and 0'),
        (
            '"next/ndcg@3" = 1',
            r'expect\."next/ndcg@3": expected a table with some of the keys at_least, at_most, got 1',
        ),
        ('"next/ndcg@3" = {}', r"expected \[LOW, HIGH\], or a table with at_least or at_most"),
        ('"next/ndcg@3" = {at_lest = 1}', r"at_lest: unknown key; did you mean 'at_least'"),
    ],
)
def test_what_cannot_be_expected_is_refused(tiny_recipe, line, message):
    tiny_recipe.write_text(tiny_recipe.read_text() + f"\n[expect]\n{line}\n")
    with pytest.raises(RecipeError, match=message):
        load_recipe(tiny_recipe)


def test_a_recipe_of_one_task_expects_its_figures(tiny_recipe):
    from mtkit.recipe.alone import alone

    tiny_recipe.write_text(tiny_recipe.read_text() + EXPECT)
    assert list(alone(load_recipe(tiny_recipe), "next").expect.root) == ["next/ndcg@3"]
    assert alone(load_recipe(tiny_recipe), "department").expect is None
