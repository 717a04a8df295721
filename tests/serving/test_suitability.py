"""Nothing above a customer's risk band is recommended, whatever is asked: through a generated bank and its export."""

from pathlib import Path

import numpy as np
import pytest
from asking import ids_of, recommend

from mtkit.backend import tf
from mtkit.data.catalogs import make_cuts
from mtkit.data.columns import load
from mtkit.errors import RecipeError
from mtkit.model.assembly import assemble
from mtkit.recipe.loader import load_recipe
from mtkit.serving.export import save
from mtkit.serving.list_evaluation import _Lists
from mtkit.synthetic import writing

SIZES = ("data.rows=1500", "data.users=50", "data.items=40", "data.missing=0.3")
RECIPE = Path(writing.__file__).parent / "recipes" / "finance.toml"


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    """A pipeline that was not trained, whose lists are of all kinds, and its signatures."""
    folder = tmp_path_factory.mktemp("bank")
    recipe = load_recipe(RECIPE, SIZES)
    dataset = load(recipe.data.source)
    pipeline = assemble(recipe, dataset, make_cuts(dataset, recipe.data.split)[1], cache_dir=folder)
    return pipeline, tf.saved_model.load(str(save(pipeline, folder / "export"))).signatures


@pytest.fixture(scope="module")
def numbers(bank):
    """Risk by product, and band by customer, as the data say."""
    pipeline, _ = bank
    risk, limit = (
        pipeline.fold.catalog(scope).columns[name].to_pylist() for scope, name in (("item", "risk"), ("user", "limit"))
    )
    return dict(zip(ids_of(pipeline, "item"), risk, strict=True)), dict(
        zip(ids_of(pipeline, "user"), limit, strict=True)
    )


def suitable(risk, limit):
    return {item for item, value in risk.items() if value is not None and value <= limit}


@pytest.mark.parametrize("signature", ["recommend", "retrieve"])
def test_lists_have_all_that_is_suitable_and_nothing_else(bank, numbers, signature):
    risk, limits = numbers
    for user, limit in list(limits.items())[1:]:
        listed = recommend(bank[1], [user], k=40, signature=signature)["item_ids"][0]
        assert {item.decode() for item in listed if item} == suitable(risk, limit)
    assert len({len(suitable(risk, limit)) for limit in list(limits.values())[1:]}) >= 4, "bands differ"


def test_the_default_signature_keeps_to_it(bank, numbers):
    risk, limits = numbers
    user = next(user for user, limit in limits.items() if limit == 1)
    listed = bank[1]["serving_default"](user_id=tf.constant([user]))["item_ids"].numpy()[0]
    assert {item.decode() for item in listed if item} <= suitable(risk, 1)


def test_nobody_in_particular_is_recommended_nothing(bank):
    assert not recommend(bank[1], ["nobody"])["item_ids"][0].any()


def test_new_customers_bring_their_band(bank, numbers):
    risk, _ = numbers
    inputs = bank[1]["recommend_new_user"].structured_input_signature[1]
    given = {
        name: np.zeros([1] if spec.shape.rank == 1 else [1, 0])
        for name, spec in inputs.items()
        if spec.dtype == tf.float32
    }
    given |= {
        name: np.full([1] if spec.shape.rank == 1 else [1, 0], "", object)
        for name, spec in inputs.items()
        if spec.dtype == tf.string and name != "exclude_ids"
    }
    for limit, expected in ((3.0, suitable(risk, 3)), (0.0, set()), (np.nan, set())):
        listed = recommend(bank[1], None, k=40, signature="recommend_new_user", **given | {"user_limit": [limit]})
        assert {item.decode() for item in listed["item_ids"][0] if item} == expected


def test_lists_that_are_measured_are_these(bank, numbers):
    pipeline, _ = bank
    risk, limits = numbers
    scores = _Lists(pipeline, "next").scorer(1)(np.arange(len(pipeline.tables["next"]["eval"].ids["user"])))
    users = pipeline.tables["next"]["eval"].ids["user"]
    names, owners = ids_of(pipeline, "item"), ids_of(pipeline, "user")
    for row, user in zip(scores, users, strict=True):
        assert {names[i] for i in np.flatnonzero(row > -np.inf)} == suitable(risk, limits[owners[user]])


def test_columns_that_are_no_numbers_are_refused():
    with pytest.raises(RecipeError, match=r"users have no column of numbers 'band'; .*limit"):
        load_recipe(RECIPE, [*SIZES, 'recommend.suitability={risk="band"}'])
    with pytest.raises(RecipeError, match=r"items have no column of numbers 'rsk'; did you mean 'risk'"):
        load_recipe(RECIPE, [*SIZES, 'recommend.suitability={rsk="limit"}'])
