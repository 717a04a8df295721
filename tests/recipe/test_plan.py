import pytest

from mtkit.recipe.loader import load_recipe
from mtkit.recipe.plan import Plan


@pytest.fixture
def plan(tiny_recipe):
    recipe = load_recipe(tiny_recipe)
    return Plan(recipe.encoder, recipe.correlation, recipe.task)


def test_entities_of_embeddings(plan):
    found = {name: plan.entity(name) for name in plan.encoders}
    assert found == {"customer": "user", "look": "item", "product": "item", "past": None, "visit": None}


def test_what_is_computed_whole(plan):
    assert plan.candidate_entity("next") == "item"
    assert plan.whole_entities() == {"item"}
    assert plan.rows_of("next") == "windows"
    assert list(plan.predictions()) == ["discounted", "gift", "department"]
    assert list(plan.rankings()) == ["next"]


def test_reads_include_those_of_predictions_that_are_read(plan):
    assert plan.reads("gift") == {"lines": [("inputs", "customer"), ("inputs", "visit"), ("inputs", "look")]}
    assert plan.reads("next") == {"windows": [("query", "past"), ("query", "customer")]}


def test_pairs_join_what_comes_before_them(tiny_recipe):
    pair = load_recipe(tiny_recipe, sets=["correlation.pair={use='mmoe', apply='pair', on=['look', 'product']}"])
    plan = Plan(pair.encoder, pair.correlation, pair.task)
    assert plan.on("experts") == tuple(pair.encoder)
    assert plan.on("pair") == ("look", "product")
    assert plan.entity("pair") == "item"
    every = load_recipe(tiny_recipe, sets=["correlation.pair={use='mmoe', apply='pair'}"])
    plan = Plan(every.encoder, every.correlation, every.task)
    assert plan.on("pair") == tuple(every.encoder)
    assert plan.entity("pair") is None


def test_pairs_of_those_that_read_them(tiny_recipe):
    """A pair after a correlation for those that read its members is for those that read the pair."""
    sets = (
        "correlation.experts.tasks=reading",
        "correlation.pair={use='mmoe', apply='pair', on=['look', 'product']}",
        "task.discounted.inputs=['customer', 'pair']",
    )
    recipe = load_recipe(tiny_recipe, sets=sets)
    plan = Plan(recipe.encoder, recipe.correlation, recipe.task)
    assert plan.tasks_of("pair", "pair") == ("discounted",)
    assert "discounted" in plan.tasks_of("experts", "look")
    assert plan.tasks_of("experts", "visit") == ("gift",)


def test_what_several_tasks_share(plan):
    assert {name for name in plan.encoders if plan.is_shared(name)} == {"customer", "look", "product", "past"}
