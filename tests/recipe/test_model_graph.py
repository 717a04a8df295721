import pytest

from mtkit.recipe.loader import load_recipe
from mtkit.recipe.model_graph import Plan


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
    assert list(plan.retrievals()) == ["next"]


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
