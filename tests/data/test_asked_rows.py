import pytest

from mtkit.data.asked_rows import PARTS, asked_columns, make_rows
from mtkit.data.catalogs import make_cuts
from mtkit.data.row_tables import fold_of
from mtkit.recipe.loader import load_recipe
from mtkit.standard.retrieval import GatedRetrieval


@pytest.fixture
def made(tiny_recipe):
    def make(*sets):
        recipe = load_recipe(tiny_recipe, sets)
        dataset = recipe.data.source.load()
        return recipe, fold_of(recipe, dataset, make_cuts(dataset, recipe.data.split)[1])

    return make


def test_rows_have_what_heads_ask_for_and_no_more(made):
    recipe, fold = made()
    asked = asked_columns(recipe)
    assert asked.keys() == {(table, part) for table in recipe.rows for part in PARTS}
    for (name, part), columns in asked.items():
        table = make_rows(name, recipe.rows[name], fold, part, columns)
        bare = make_rows(name, recipe.rows[name], fold, part, ())
        assert table.name == name
        assert columns <= table.columns()
        assert table.columns() - bare.columns() <= columns


def test_a_slice_asks_for_the_list_that_it_leaves_out(made, monkeypatch):
    monkeypatch.setattr(GatedRetrieval, "columns", lambda *_: ("target",))
    tables = {task.evaluated_on for task in made()[0].plan.rankings().values()}
    for slices, there in (("[]", False), ('["new"]', True)):
        recipe, _ = made(f"evaluate.slices={slices}")
        asked = asked_columns(recipe)
        assert all(("own" in asked[table, "eval"]) is there for table in tables)
