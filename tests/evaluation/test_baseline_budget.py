from dataclasses import replace

import pytest

from mtkit.data.columns import load
from mtkit.evaluation.baseline_budget import estimated, sizes_of, within_budget
from mtkit.recipe.loader import load_recipe
from mtkit.recipe.lock import lock
from mtkit.standard.baselines import Popularity
from mtkit.standard.factor_baselines import Ease, Ials
from mtkit.types import Sizes


@pytest.fixture
def auto(tiny_recipe):
    """The tiny recipe with `baselines = "auto"`, and options."""
    return lambda *sets: load_recipe(tiny_recipe, ['evaluate.baselines="auto"', *sets])


def test_a_listed_baseline_has_no_limit_unless_one_is_set(tiny_recipe, auto):
    assert load_recipe(tiny_recipe).evaluate.baseline_budget is None
    assert auto().evaluate.baseline_budget == 300
    assert auto("evaluate.baseline_budget=7").evaluate.baseline_budget == 7
    assert load_recipe(tiny_recipe, ["evaluate.baseline_budget=7"]).evaluate.baseline_budget == 7


def test_sizes_are_of_the_catalog(auto):
    recipe = auto("data.catalog.item.min_count=150")
    dataset = load(recipe.data.source)
    log = dataset.interactions.to_pandas()
    column = dataset.schema.reference("item")
    size = sizes_of(recipe, dataset)
    users = log[dataset.schema.reference("user")].nunique()
    assert size == Sizes(users, int((log[column].value_counts() >= 150).sum()), len(log))
    assert 0 < size.items < log[column].nunique()


def test_what_is_too_dear_is_left_out_said_and_kept_out_of_the_lock(auto, tmp_path):
    recipe = auto("evaluate.baseline_budget=0.1")
    dataset = load(recipe.data.source)
    kept, lines = within_budget(recipe, dataset)
    assert set(recipe.evaluate.baselines) - set(kept.evaluate.baselines) == {"ials"}
    assert lines[0].startswith("baseline ials is left out: about 1 s for 80 users")
    again = tmp_path / "recipe.lock.toml"
    again.write_text(lock(kept, tmp_path), encoding="utf-8")
    assert "ials" not in again.read_text(encoding="utf-8")
    assert within_budget(load_recipe(again), dataset) == (load_recipe(again), [])
    assert within_budget(auto(), dataset) == (auto(), [])


def test_estimates_grow_as_the_work_does():
    small, large = Sizes(1_000, 1_000, 50_000), Sizes(80_000, 10_000, 1_000_000)
    assert estimated(Popularity(), large) == 0
    assert estimated(Ease(), small) < 2
    assert 300 < estimated(Ease(), large) < 1100
    assert estimated(Ials(), small) < 30
    assert 300 < estimated(Ials(), large) < 700
    assert estimated(Ease(), replace(large, items=20_001)) == 0  # it does not apply
    assert estimated(Ease(l2s=(1, 2)), large) == pytest.approx(estimated(Ease(), large) / 2)
