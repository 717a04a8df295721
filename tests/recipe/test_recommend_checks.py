import pytest

from mtkit.errors import RecipeError
from mtkit.recipe.loader import load_recipe


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            "recommend={utility = {gift = 1}}",
            "'gift' depends on context.channel, context.hour, which is not known of a user and a candidate",
        ),
        ("recommend={utility = {nothing = 1}}", "'nothing' is no task"),
        (
            "recommend={utility = {discounted = 1}, floors = {next = 0.1}}",
            "'next' is the retrieval task, whose scores have no floor",
        ),
        ('recommend={utility = {discounted = 1}, filters = ["weight"]}', "items have no categorical column 'weight'"),
        ("recommend={utility = {discounted = 1}, where = {brand = 1}}", "'brand' is no column of items"),
        ('recommend={utility = {discounted = 1}, task = "gift"}', "no retrieval task is called 'gift'"),
        ("recommend={utility = {}}", "utility"),
    ],
)
def test_what_does_not_fit_is_said_without_data(tiny_recipe, settings, said):
    with pytest.raises(RecipeError) as found:
        load_recipe(tiny_recipe, [settings])
    assert len(found.value.problems) == 1
    assert said in str(found.value)
