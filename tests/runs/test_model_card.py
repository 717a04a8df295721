import json
from dataclasses import replace

import pytest

from mtkit.recipe.loader import load_recipe
from mtkit.recipe.lock import lock
from mtkit.runs.directory import RunDirectory
from mtkit.runs.model_card import NAME, model_card


@pytest.fixture
def told(tiny_run):
    run = RunDirectory(tiny_run)
    return run.read_recipe(), run.read_metrics(), run.read_fingerprint()


def test_a_card_lies_beside_the_export(tiny_run, told):
    card = (tiny_run / "export" / "1" / NAME).read_text(encoding="utf-8")
    assert card == model_card(*told)
    results = json.loads((tiny_run / "metrics.json").read_text(encoding="utf-8"))
    for line in results["verdicts"]:
        assert f"| {line['task']} | {line['metric']} | {line['model']:.4f} |" in card
        low, high = results["intervals"]["test"][f"{line['task']}/{line['metric']}"]
        assert f"{low:.4f} to {high:.4f}" in card
    for section in ("# tiny", "## Intended use", "## Data", "## Tasks", "## Metrics", "## Limits", "## Versions"):
        assert f"{section}\n" in card
    assert told[2] in card
    assert "Not stated" in card


def test_what_a_recipe_says_of_its_use_is_on_the_card_and_in_the_lock(tiny_recipe, told, tmp_path):
    sets = [
        "description=What customers of a shop buy next.",
        "intended_use=For its home page; not for credit decisions.",
    ]
    recipe = load_recipe(tiny_recipe, sets)
    card = model_card(recipe, *told[1:])
    assert "# tiny\n\nWhat customers of a shop buy next.\n\n## Intended use\n\nFor its home page; not for" in card
    (tmp_path / "again.toml").write_text(lock(recipe, tmp_path), encoding="utf-8")
    assert load_recipe(tmp_path / "again.toml").intended_use == recipe.intended_use


def test_limits_say_where_baselines_are_better(told):
    recipe, results, fingerprint = told
    worse = {
        "task": "next",
        "metric": "ndcg@3",
        "model": 0.1,
        "baseline": "popularity",
        "value": 0.2,
        "verdict": "worse",
    }
    results = replace(
        results,
        verdicts=[worse],
        test={"next/ndcg@3": 0.1, "next/new/ndcg@3": 0.3, "next/tail/ndcg@3": 0.3},
        baselines={"popularity": {"next/new/ndcg@3": 0.4, "next/tail/ndcg@3": 0.2}},
        warnings=["a <b>|c"],
    )
    card = model_card(recipe, results, fingerprint)
    assert "- `next` is worse than the baseline `popularity` by ndcg@3." in card
    assert "- next/new/ndcg@3 is 0.3000, and 0.4000 by the baseline popularity." in card
    assert "next/tail/ndcg@3" not in card
    assert r"- a \<b\>\|c" in card


def test_only_what_is_left_out_is_told(told):
    recipe, results, fingerprint = told
    card = model_card(recipe, replace(results, left_out={"test": {"interactions": {"a": 0, "b": 1}}}), fingerprint)
    assert "- left out: 1 interaction, b\n" in card
    assert ", a\n" not in card
