import pytest

from mtkit.errors import RecipeError
from mtkit.recipe.loader import load_recipe


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (
            ["task.gift.rows=windows"],
            r"task\.gift\.label: row table 'windows' has no label 'gift'; rows of 'lines' have it",
        ),
        (["task.gift.label=gfit"], r"task\.gift\.label: row table 'lines' has no label 'gfit'; did you mean 'gift'"),
        (
            ["task.next.rows=lines"],
            r"task\.next\.rows: row table 'lines' has no targets to evaluate on; .* has: windows",
        ),
        (
            ["task.next.evaluate=lines"],
            r"task\.next\.evaluate: row table 'lines' has no targets to evaluate on; .* has: windows",
        ),
        (
            ["task.department.inputs=['past']"],
            r"task\.department\.inputs: 'past' depends on history\.item, which row table 'items' does not have",
        ),
        (
            [
                "task.gift={use='count', inputs=['past'], rows='items', label='item.department'}",
                "task.department.weight=1",
            ],
            r"task\.gift\.label: label 'item\.department' is declared with classes = true, and this head predicts a number",
        ),
        (
            ["task.department.use='multi_label'"],
            r"task\.department\.label: label 'item\.department' has one value in a row; declare it with multi_label",
        ),
        (
            ["rows.lines.labels=['gfit']"],
            r"rows\.lines\.labels\[0\]: 'gfit' is no label of the .*; did you mean 'gift'",
        ),
        (["rows.items.entity=itm"], r"rows\.items\.entity: the data have no such entity; did you mean 'item'"),
        (["rows.items.holdout_by=famly"], r"rows\.items\.holdout_by: item\.famly is no .*; did you mean 'family'"),
    ],
)
def test_what_rows_do_not_have_is_said_without_data(tiny_recipe, sets, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(tiny_recipe, sets)


def test_a_condition_makes_a_label(tiny_recipe):
    sets = ["rows.lines.chosen={channel = 'web'}", "task.gift.label=chosen", "encoder.visit.reads=['context.hour']"]
    assert load_recipe(tiny_recipe, sets).task["gift"].label == "chosen"


def test_rows_that_do_not_say_what_they_have_are_left_alone(tiny_recipe, monkeypatch):
    from mtkit.standard.rows import Windows

    monkeypatch.setattr(Windows, "holds", lambda self, schema: None)
    assert load_recipe(tiny_recipe, ["task.gift.rows=windows", "encoder.visit.reads=['context.hour']"])
