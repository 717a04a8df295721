"""A run whose `recommend` makes lists in two stages."""

import json

import pytest
from click.testing import CliRunner

from mtkit.cli.program import main
from mtkit.recipe.loader import load_recipe
from mtkit.runs.run import run_recipe

SETS = (
    'recommend={candidates = 9, utility = {discounted = 1}, diversity = 0.2, filters = ["color"]}',
    "train.epochs=1",
    "evaluate.slices=[]",
    'evaluate.baselines=["popularity"]',
)


@pytest.fixture
def run(tiny_recipe, tmp_path):
    run_recipe(load_recipe(tiny_recipe, SETS), tmp_path / "run")
    return tmp_path / "run"


def test_a_run_measures_its_lists_and_serves_them(run):
    results = json.loads((run / "metrics.json").read_text("utf-8"))
    keys = {f"next/recommend/{name}@{k}" for name in ("ndcg", "recall", "coverage", "diversity") for k in (3, 10)}
    for phase in (results["test"], results["baselines"]["retrieval"], results["valid"]["model"]):
        assert keys <= set(phase)
    assert set(results["baselines"]["retrieval"]) == keys
    assert "next/recommend/ndcg@3" in results["intervals"]["test"]
    locked = load_recipe(run / "recipe.lock.toml")
    assert dict(locked.recommend.utility) == {"discounted": 1}
    assert locked.recommend.filters == ("color",)

    again = CliRunner().invoke(main, ["evaluate", str(run)])
    assert json.loads(again.stdout)["test"] == pytest.approx(results["test"], abs=1e-6)

    def asked(*options):
        return CliRunner().invoke(main, ["recommend", str(run), "--user", "105", *options])

    said = json.loads(asked("--json").stdout)["recommendations"]
    assert len(said) == 9
    red = json.loads(asked("--json", "--filter", "color=red", "--filter", "color=blue").stdout)["recommendations"]
    assert {item["text"].split()[0] for item in red} == {"red", "blue"}
    wrong = asked("--filter", "town=a")
    assert wrong.exit_code == 2
    assert "filters by no column 'town'; known: color" in wrong.stderr
    assert asked("--filter", "color").exit_code == 2
