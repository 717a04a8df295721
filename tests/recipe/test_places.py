import pytest

from mtkit.recipe.places import Source, excerpt

TEXT = '[a]\n\tkey = "value"  # why\nlong = [\n  1,\n  2]\n'


@pytest.fixture
def places():
    return Source("shop.toml", TEXT).places()


def test_places_are_lines_and_columns(places):
    assert places["a",].where() == places["a",].where(value=True) == "shop.toml:1:2"
    assert places["a", "key"].where() == "shop.toml:2:2"
    assert places["a", "key"].where(value=True) == "shop.toml:2:8"
    assert places["a", "long", 1].where(value=True) == "shop.toml:5:3"


def test_carets_are_below_what_is_meant(places):
    assert places["a", "key"].excerpt() == '  2 |  key = "value"  # why\n    |  ^^^'
    assert places["a", "key"].excerpt(value=True) == '  2 |  key = "value"  # why\n    |        ^^^^^^^'


def test_of_what_takes_several_lines_the_first_is_marked(places):
    assert places["a", "long"].excerpt(value=True) == "  3 | long = [\n    |        ^"


@pytest.mark.parametrize("before", [0, 10, 60, 90, 500])
@pytest.mark.parametrize("after", [0, 60, 500])
@pytest.mark.parametrize("length", [1, 20, 300])
def test_of_long_lines_the_part_around_is_shown(before, after, length):
    text = "." * before + "x" * length + "," * after
    line, carets = excerpt(Source("f", text), (before, before + length)).splitlines()
    assert len(line) < 120
    marked = [character for character, mark in zip(line, carets, strict=False) if mark == "^"]
    assert marked[: min(length, 20)] == ["x"] * min(length, 20)


def test_of_the_command_line_there_is_no_line():
    from mtkit.recipe.places import Place

    place = Place(Source("--set", "seed=x", file=False), Source("f", "seed = 1").places()["seed",].found)
    assert (place.where(value=True), place.excerpt()) == ("--set", "")
