"""All checks together: on clean data, silenced, and on data that are refused."""

from dataclasses import replace

import pyarrow as pa
import pytest

from mtkit.data.catalogs import make_cuts
from mtkit.profile.findings import codes
from mtkit.profile.survey import glance, survey
from mtkit.recipe.data_checks import CHECKS


def test_every_check_has_a_function():
    assert codes() == tuple(CHECKS)


def test_nothing_is_found_in_clean_data(clean, recipe_of):
    result = survey(clean, recipe_of(clean))
    assert [str(finding) for finding in result.findings] == []
    assert result.looked == tuple(CHECKS)


def test_nothing_is_found_in_clean_data_without_a_recipe(clean):
    result = survey(clean, None)
    assert result.findings == ()
    assert result.left_out == ("P046", "P047", "P048", "P049", "P051")


def test_the_worst_comes_first(clean, with_column, recipe_of):
    data = with_column(clean, "interactions.price", lambda prices: [-5.0, *prices[1:]])
    data = with_column(data, "interactions.channel", ["web"] * 6000)
    data = with_column(data, "interactions.region", lambda regions: ["once", *regions[1:]])
    result = survey(data, recipe_of(data))
    assert [(finding.code, finding.severity) for finding in result.findings] == [
        ("P014", "warning"), ("P016", "note"), ("P021", "note"),
    ]  # fmt: skip


def test_checks_are_silenced(clean, with_column, recipe_of):
    data = with_column(clean, "interactions.price", lambda prices: [-5.0, *prices[1:]])
    recipe = recipe_of(data)
    assert [finding.code for finding in survey(data, recipe).findings] == ["P014"]
    assert survey(data, recipe, ["P014"]).findings == ()
    quiet = recipe.model_copy(update={"data": recipe.data.model_copy(update={"silence": ("P014",)})})
    result = survey(data, quiet, ["P001"])
    assert result.findings == ()
    assert result.silenced == ("P001", "P014")
    cuts = make_cuts(data, recipe.data.split)
    assert [finding.code for finding in glance(recipe, data, *cuts)] == ["P014"]
    assert glance(quiet, data, *cuts) == []


def test_a_glance_leaves_notes_out(clean, with_column, recipe_of):
    data = with_column(clean, "interactions.click", lambda labels: [None] * 200 + labels[200:])
    recipe = recipe_of(data)
    assert [finding.code for finding in survey(data, recipe).findings] == ["P043"]
    assert glance(recipe, data, *make_cuts(data, recipe.data.split)) == []


def test_data_that_are_refused_are_looked_over_as_they_came(clean, with_column, recipe_of):
    data = with_column(clean, "interactions.price", lambda prices: ["$5", *map(str, prices[1:])])
    data = with_column(data, "interactions.channel", lambda channels: ["NULL"] * 2 + channels[2:])
    result = survey(data, recipe_of(data))
    assert [(finding.code, finding.severity) for finding in result.findings] == [("P001", "error"), ("P023", "warning")]
    assert "interactions.price, row 1: '$5' is no number" in result.findings[0].detail
    assert "P046" in result.left_out


def test_parts_that_cannot_be_made(clean, recipe_of):
    lost = replace(clean, entities={**clean.entities, "item": clean.entities["item"].slice(1)})
    codes = [finding.code for finding in survey(lost, recipe_of(lost)).findings]
    assert codes == ["P002", "P007"]


@pytest.mark.parametrize("rows", [1, 2, 30])
def test_few_rows(clean, recipe_of, rows):
    few = replace(clean, interactions=clean.interactions.slice(0, rows))
    assert all(
        finding.code in ("P002", "P008", "P009", "P044", "P049", "P050", "P051")
        for finding in survey(few, recipe_of(few)).findings
    )


def test_columns_without_a_value(clean, recipe_of):
    nothing = {name: pa.nulls(6000) for name in ("channel", "price", "comment", "click")}
    table = clean.interactions
    for name, column in nothing.items():
        table = table.set_column(table.column_names.index(name), name, [column])
    data = replace(clean, interactions=table)
    found = {finding.code for finding in survey(data, recipe_of(data)).findings}
    assert found >= {"P017", "P027", "P043"}


def test_what_a_recipe_cleans_is_no_fault_of_its_data(clean, with_column, recipe_of):
    data = with_column(clean, "user.age", lambda ages: [-1] * 5 + ages[5:])
    assert "P020" in {finding.code for finding in survey(data, recipe_of(data)).findings}
    cleaners = {"placeholders": {"use": "to_null", "table": "user", "columns": ["age"], "values": [-1]}}
    assert "P020" not in {finding.code for finding in survey(data, recipe_of(data, clean=cleaners)).findings}
