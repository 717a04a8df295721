"""The recipes of the domains on small data that are made: every task trains, is measured and is told what could be had."""

import json

import pytest
from click.testing import CliRunner

from mtkit.cli.program import main
from mtkit.recipe.loader import load_recipe
from mtkit.runs.run import run_recipe
from mtkit.standard.sources import Synthetic
from mtkit.synthetic.settings import Settings
from mtkit.synthetic.writing import make, recipe_texts

SMALL = ("data.rows=4000", "data.users=80", "data.items=60", "train.epochs=1", "evaluate.baselines=['majority']")
SIZES = Settings(rows=4000, users=80, items=60)


@pytest.fixture(params=recipe_texts().items(), ids=lambda found: found[0])
def recipe(request, tmp_path):
    name, text = request.param
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name


def test_they_are_of_data_that_are_made(recipe):
    loaded = load_recipe(recipe)
    assert isinstance(loaded.data.source, Synthetic)
    assert len(loaded.task) >= 2


@pytest.mark.slow
def test_every_task_is_measured(recipe, tmp_path):
    loaded = load_recipe(recipe, SMALL)
    found = run_recipe(loaded, tmp_path / "run")
    assert {key.split("/")[0] for key in found.test} == set(loaded.task)
    make(loaded.data.source.domain, SIZES, tmp_path / "files")
    best = json.loads((tmp_path / "files" / "truth.json").read_text())["tasks"]
    assert set(loaded.task) <= set(best), "what could be had is known of every task"
    for task in loaded.task:
        assert f"{task}/{best[task]['metric']}" in found.test


@pytest.mark.slow
def test_nothing_above_the_band_is_recommended_by_the_command(tmp_path):
    files = make("finance", SIZES, tmp_path / "bank")
    recipe = next(file for file in files if file.suffix == ".toml")
    run_recipe(load_recipe(recipe, [*SMALL[3:], "export.use='saved_model'"]), tmp_path / "run")
    source = load_recipe(recipe).data.source.load()
    risk = dict(zip(*(source.entities["item"][name].to_pylist() for name in ("id", "risk")), strict=True))
    limits = dict(zip(*(source.entities["user"][name].to_pylist() for name in ("id", "limit")), strict=True))
    for user in list(limits)[:5]:
        options = ["recommend", str(tmp_path / "run"), "--user", str(user), "-k", "20", "--json"]
        found = json.loads(CliRunner().invoke(main, options, catch_exceptions=False).output)
        listed = [risk[int(one["item"])] for one in found["recommendations"]]
        assert listed
        assert max(listed) <= limits[user]
