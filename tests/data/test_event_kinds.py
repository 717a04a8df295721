import pyarrow as pa
import pytest

from mtkit.conditions import Where
from mtkit.data.event_kinds import unused_kinds
from mtkit.recipe.loader import load_recipe
from mtkit.schema import Column, Schema
from mtkit.standard.row_cleaners import Keep
from mtkit.types import Dataset


def data(values):
    ids = {name: Column(kind="id", entity=name) for name in ("user", "item")}
    schema = Schema(interactions={**ids, "event": Column(kind="categorical")}, entities={"user": {}, "item": {}})
    rows = len(values)
    return Dataset(pa.table({"user": [1] * rows, "item": [2] * rows, "event": values}), {}, schema)


@pytest.fixture
def recipe(tiny_recipe):
    return load_recipe(tiny_recipe)


def test_kinds_of_events_that_no_condition_looks_at_are_noted(recipe):
    (note,) = unused_kinds(recipe, data(["view", "Add to cart", "purchase", None]))
    assert "event: looks like kinds of events (view, Add to cart, purchase)" in note
    assert '[events.chosen] where = {event = "view"}' in note


@pytest.mark.parametrize("values", [["red", "blue", "view"], ["view", "view"], [None, None], list(map(str, range(40)))])
def test_other_columns_are_not(recipe, values):
    assert not list(unused_kinds(recipe, data(values)))


def test_columns_that_a_condition_looks_at_are_not(recipe):
    name, rows = next((name, rows) for name, rows in recipe.rows.items() if "where" in type(rows).model_fields)
    asking = rows.model_copy(update={"where": Where.model_validate({"event": "view"})})
    of_views = recipe.model_copy(update={"rows": {**recipe.rows, name: asking}})
    assert not list(unused_kinds(of_views, data(["view", "purchase"])))


def test_columns_that_a_past_reads_are_not(recipe):
    reading = recipe.encoder["past"].model_copy(update={"reads": ("history.item", "history.event")})
    of_past = recipe.model_copy(update={"encoder": {**recipe.encoder, "past": reading}})
    assert not list(unused_kinds(of_past, data(["view", "purchase"])))


def test_columns_by_which_rows_are_kept_are_not(recipe):
    keep = Keep.model_validate({"where": {"event": ["view", "purchase"]}})
    kept = recipe.model_copy(update={"clean": {"chosen": keep}})
    assert not list(unused_kinds(kept, data(["view", "purchase"])))
