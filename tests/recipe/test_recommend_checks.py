import pytest

from mtkit.errors import RecipeError
from mtkit.recipe.describe import describe
from mtkit.recipe.loader import load_recipe
from mtkit.recipe.lock import lock


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


def test_the_section_comes_back_from_its_lock(tiny_recipe):
    settings = 'recommend={utility = {next = 0.5, discounted = 1}, where = {color = "red"}, filters = ["family"]}'
    recipe = load_recipe(tiny_recipe, [settings])
    assert recipe.recommending == "next"
    path = tiny_recipe.with_name("lock.toml")
    path.write_text(lock(recipe, path.parent), encoding="utf-8")
    assert load_recipe(path).recommend == recipe.recommend
    assert "recommend orders 200 candidates of next by the sum of 0.5 next, 1 discounted" in describe(recipe)


def test_statistics_by_context_are_known_of_no_candidate(tiny_recipe):
    sets = ['preprocess.past={use = "target_statistics", columns = ["item.id", "context.channel"], labels = ["gift"]}']
    sets += [
        'encoder.look.reads=["item.color", "known.past"]',
        'task.next.candidate=["product"]',
        'encoder.past.items="product"',
    ]
    sets += ['task.department.inputs=["product"]', "recommend={utility = {discounted = 1}}"]
    with pytest.raises(
        RecipeError, match=r"'discounted' depends on context.channel, which is not known of a user and a candidate"
    ):
        load_recipe(tiny_recipe, sets)
