"""What a search may try, and the recipes that it makes."""

import json
import tomllib

import pytest

from mtkit.errors import DeclarationError, RecipeError
from mtkit.recipe.loader import load_recipe
from mtkit.recipe.lock import lock
from mtkit.recipe.search_settings import Range
from mtkit.recipe.search_space import stated, tried

RATE = '"train.learning_rate" = {low = 1e-4, high = 0.1, log = true}'


def searching(path, *keys, more=()):
    return load_recipe(path, [f"search.keys={{{', '.join(keys or (RATE,))}}}", *more])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "expected low and high"),
        ({"low": 2, "high": 2}, "where low is less"),
        ({"low": 0, "high": 2, "log": True}, "low must be above 0"),
        ({"low": 1, "high": 2, "log": True, "step": 1}, "exclude one another"),
        ({"low": 1, "high": 4, "step": 0.5}, "step must be one"),
        ({"choices": [1]}, "two or more"),
        ({"choices": [1, 1]}, "all different"),
        ({"choices": [1, 2], "low": 1}, "choices stand alone"),
    ],
)
def test_what_is_no_range(given, said):
    with pytest.raises(DeclarationError, match=said):
        Range(**given)


def test_numbers_are_whole_where_both_ends_are():
    assert Range(low=1, high=3).whole
    assert not Range(low=1, high=3.0).whole


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ('"evaluate.k" = {choices = [1, 2]}', "'evaluate.k' is of a section that is not tried; expected one of rows, "),
        ('"a b" = {low = 1, high = 2}', "'a b' is no dotted key"),
        ('"train.epochs" = {low = 1, high = 2, also = ["data.x"]}', "'data.x' is of a section that is not tried"),
    ],
)
def test_keys_that_are_not_tried(tiny_recipe, key, said):
    with pytest.raises(RecipeError, match=said):
        searching(tiny_recipe, key)


def test_a_figure_that_is_not_measured(tiny_recipe):
    with pytest.raises(
        RecipeError, match=r"search\.metric: no figure is called 'next/ndgc@10'; did you mean 'next/ndcg@10'"
    ):
        searching(tiny_recipe, more=["search.metric='next/ndgc@10'"])


def test_a_tried_recipe_has_the_values_and_no_search(tiny_recipe):
    recipe = searching(tiny_recipe, RATE, '"train.epochs" = {low = 1, high = 5}')
    other = tried(recipe, {"train.learning_rate": 0.02, "train.epochs": 3})
    assert (other.train.learning_rate, other.train.epochs, other.search) == (0.02, 3, None)
    plain = load_recipe(tiny_recipe, ["train.learning_rate=0.02", "train.epochs=3"])
    assert lock(other, tiny_recipe.parent) == lock(plain, tiny_recipe.parent)


def test_a_key_may_stand_for_several(tiny_recipe):
    first, *rest = load_recipe(tiny_recipe).encoder
    also = [*(f"encoder.{name}.dim" for name in rest), "correlation.experts.units"]
    recipe = searching(tiny_recipe, f'"encoder.{first}.dim" = {{choices = [4, 8], also = {json.dumps(also)}}}')
    other = tried(recipe, {f"encoder.{first}.dim": 4})
    assert {encoder.dim for encoder in other.encoder.values()} == {4}


def test_values_that_the_recipe_has_are_those_of_its_lock(tiny_recipe):
    recipe = searching(
        tiny_recipe, RATE, '"balance.use" = {choices = ["fixed", "rlw"]}', '"train.nothing" = {low = 1, high = 2}'
    )
    assert stated(recipe) == {
        "train.learning_rate": recipe.train.learning_rate,
        "balance.use": recipe.uses["balance"],
        "train.nothing": None,
    }


def test_a_lock_keeps_what_is_searched(tiny_recipe):
    recipe = searching(tiny_recipe)
    assert tomllib.loads(lock(recipe, tiny_recipe.parent))["search"]["keys"]["train.learning_rate"]["low"] == 1e-4
