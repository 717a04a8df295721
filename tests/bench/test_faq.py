"""The pages of the FAQ: their recipes load as their commands say, and their remedies help."""

import pytest
from faq import FAQ, measured, parts_of

from mtkit.recipe.loader import load_recipe

PAGES = sorted(page.stem for page in FAQ.glob("*.md") if page.stem != "README")


def test_all_are_listed():
    listed = (FAQ / "README.md").read_text(encoding="utf-8")
    assert PAGES
    assert [page for page in PAGES if f"({page}.md)" not in listed] == []


@pytest.mark.parametrize("page", PAGES)
def test_its_commands_are_of_its_recipe(page):
    metric, (plain, remedy) = parts_of(page)
    assert plain == []
    assert remedy
    changed = load_recipe(FAQ / f"{page}.toml", remedy)
    assert changed != load_recipe(FAQ / f"{page}.toml")
    assert metric.split("/")[0] in changed.task


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_remedy_helps(page):
    low, _ = measured(page)["gain"]
    assert low > 0
