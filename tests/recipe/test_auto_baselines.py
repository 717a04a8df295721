import tomllib

import pytest
from toy_components import RECIPE, Ranker, Retriever, Shop, toy_entries

from mtkit.errors import RecipeError
from mtkit.recipe.auto_baselines import auto_baselines
from mtkit.recipe.loader import load_recipe
from mtkit.recipe.lock import lock
from mtkit.recipe.registry import Registry

RETRIEVER = Retriever(rows="lines", query=("user",), candidate=("item",))
RANKER = Ranker(rows="lines", inputs=("user",), label="cheap")
GIVEN = RECIPE[RECIPE.index("baselines =") :].splitlines()[0]
FOR_RETRIEVAL = ["popularity", "recency_popularity", "fading_popularity", "own_recency", "item_knn", "ease", "ials"]
FOR_PREDICTION = ["majority", "gradient_boosting", "logistic_regression", "bag_of_words"]


class Number(Ranker):
    numeric = True


NUMBER = Number(rows="lines", inputs=("user",), label="price")


@pytest.fixture
def load(tmp_path):
    """The toy recipe with `baselines = VALUE`, and the installed baselines."""
    installed = [entry for entry in Registry.installed().entries() if entry.kind == "baseline"]
    registry = Registry([*(entry for entry in toy_entries() if entry.kind != "baseline"), *installed])

    def load(value, *sets, text=RECIPE):
        path = tmp_path / "toy.toml"
        path.write_text(text.replace(GIVEN, f"baselines = {value}"))
        return load_recipe(path, sets, registry=registry)

    return load


def test_they_fit_the_tasks_and_the_columns():
    schema = Shop().schema()
    without_texts = schema.model_copy(update={"entities": {"item": {}}})
    assert auto_baselines([], schema) == ()
    assert list(auto_baselines([RETRIEVER], schema)) == FOR_RETRIEVAL
    assert list(auto_baselines([RANKER, RANKER], schema)) == FOR_PREDICTION
    assert list(auto_baselines([RANKER], without_texts)) == FOR_PREDICTION[:-1]
    assert list(auto_baselines([RANKER], None)) == FOR_PREDICTION[:-1]
    assert list(auto_baselines([RANKER, RETRIEVER], schema)) == FOR_RETRIEVAL + FOR_PREDICTION
    assert auto_baselines([NUMBER], schema) == ("majority", "gradient_boosting", "ridge")
    assert list(auto_baselines([NUMBER, RANKER], schema)) == [*FOR_PREDICTION[:2], "ridge", *FOR_PREDICTION[2:]]


def test_the_lock_says_what_was_picked_and_loads_to_the_same(load, tmp_path):
    recipe = load('"auto"')
    assert list(recipe.evaluate.baselines) == FOR_RETRIEVAL + FOR_PREDICTION
    locked = lock(recipe, tmp_path)
    assert [given["use"] for given in tomllib.loads(locked)["evaluate"]["baselines"]] == list(recipe.evaluate.baselines)
    assert load("", text=locked).evaluate.baselines == recipe.evaluate.baselines
    assert lock(load('"auto"'), tmp_path) == locked
    assert load('["ials"]', 'evaluate.baselines="auto"').evaluate == recipe.evaluate


def test_another_word_is_refused(load):
    with pytest.raises(RecipeError, match=r'evaluate.baselines: expected a list of names, or "auto", got "atuo"'):
        load('"atuo"')
