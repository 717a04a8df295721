import pytest

from mtkit.errors import RecipeError
from mtkit.recipe.loader import load_recipe


def test_a_category_is_refused_without_data(tiny_recipe):
    words = "encoder.words={use='bert', reads=['item.family']}"
    message = r"encoder\.words\.reads\[0\]: item\.family is declared as categorical; this encoder reads .* kind text"
    with pytest.raises(RecipeError, match=message):
        load_recipe(tiny_recipe, [words])
    assert load_recipe(tiny_recipe, [words.replace("family", "text")])
