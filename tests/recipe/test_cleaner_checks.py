import tomllib

import pytest

import mtkit
from mtkit.errors import RecipeError
from mtkit.recipe.describe import describe
from mtkit.recipe.loader import load_recipe
from mtkit.recipe.lock import lock
from mtkit.spec import Cleaned
from mtkit.standard.row_cleaners import Keep

CLEAN = """
[events.online]
where = {channel = "web"}
[clean.online]
use = "keep"
where = "online"
[clean.calendar]
use = "derive"
[clean.calendar.columns]
weekday = {function = "weekday", of = "time"}
log_weight = {function = "log1p", of = "item.weight"}
log_price = {function = "log1p", of = "price"}
[clean.sides]
use = "join"
file = "sides.csv"
table = "item"
columns = {brand = {kind = "categorical"}}
"""


@pytest.fixture
def recipe(tiny_recipe):
    """`recipe(old, new, ...)` loads the tiny recipe with cleaners, and with other text in the place of some."""

    def load(*changes, reads='"context.channel", "context.weekday", "context.log_weight"'):
        text = tiny_recipe.read_text().replace('"context.channel", "context.hour"', reads) + CLEAN
        for old, new in zip(changes[::2], changes[1::2], strict=True):
            assert old in text
            text = text.replace(old, new)
        path = tiny_recipe.with_name("clean.toml")
        path.write_text(text)
        return load_recipe(path)

    return load


def refused(recipe, *changes, **options):
    with pytest.raises(RecipeError) as error:
        recipe(*changes, **options)
    return str(error.value)


def test_all_that_asks_for_the_schema_gets_the_cleaned_one(recipe):
    loaded = recipe()
    assert isinstance(loaded.data.source, Cleaned)
    assert list(loaded.clean) == ["online", "calendar", "sides"] == list(loaded.data.source.cleaners)
    schema = loaded.data.source.schema()
    assert {"context.weekday", "context.log_weight", "item.brand"} <= set(schema.features())
    assert "data are cleaned by online (keep), calendar (derive), sides (join)" in describe(loaded)


def test_a_recipe_without_cleaners_has_its_source_alone(tiny_recipe):
    assert not isinstance(load_recipe(tiny_recipe).data.source, Cleaned)


def test_the_lock_loads_to_an_equal_recipe(recipe, tmp_path):
    loaded = recipe()
    path = tmp_path / "below" / "lock.toml"
    path.parent.mkdir()
    text = lock(loaded, path.parent)
    path.write_text(text)
    again = load_recipe(path)
    assert again.clean["calendar"] == loaded.clean["calendar"]
    assert again.clean["online"].where == loaded.clean["online"].where
    assert tomllib.loads(text)["clean"]["sides"]["file"] == "../sides.csv"
    assert again.clean["sides"].file.resolve() == loaded.clean["sides"].file.resolve()
    assert again.data.source.schema() == loaded.data.source.schema()
    assert tomllib.loads(text)["data"]["use"] == "tiny_shop"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            ('of = "time"', 'of = "tme"'),
            "clean.calendar.columns.weekday.of: 'tme' is no column of interactions; did you mean 'time'",
        ),
        (('use = "join"', 'use = "joins"'), "clean.sides.use: no cleaner is named 'joins'; did you mean 'join'"),
        (('table = "item"', 'table = "itm"'), "clean.sides.table: there is no table 'itm'; did you mean 'item'"),
        (('table = "item"', 'tabel = "item"'), "clean.sides.tabel: unknown key; did you mean 'table'"),
        (
            ('where = "online"', 'where = "onlin"'),
            "clean.online.where: no events are called 'onlin'; did you mean 'online'",
        ),
        (("[clean.sides]", "[clean.Sides]"), "clean.Sides: expected a name of lower-case letters"),
        (("log_price = ", "hour = "), "clean.calendar.columns.hour: interactions has a column 'hour' already"),
    ],
)
def test_a_mistake_is_said_once_at_its_place(recipe, changes, message):
    text = refused(recipe, *changes)
    assert message in text
    assert text.count("clean.toml:") == 1, f"what follows from it is not said:\n{text}"


def test_what_would_tell_a_label_is_no_feature(recipe):
    text = refused(recipe, reads='"context.log_price"')
    assert (
        "encoder.visit.reads[0]: context.log_price is a source of label 'discounted', and cannot be a feature" in text
    )


def test_addresses_are_checked_against_the_cleaned_columns(recipe):
    text = refused(recipe, reads='"context.weekdy"')
    assert "encoder.visit.reads[0]: no feature is called 'context.weekdy'; did you mean 'context.weekday'" in text


def test_recipes_of_specs(recipe):
    loaded = recipe()
    parts = {name: getattr(loaded, name) for name in ("rows", "encoder", "correlation", "task", "balance", "evaluate")}
    parts |= {"data": loaded.data.source.source, "split": loaded.data.split}
    composed = mtkit.compose(**parts, clean=loaded.clean)
    assert composed.data.source == loaded.data.source
    assert composed.uses["clean.online"] == "keep"
    with pytest.raises(RecipeError, match=r"no feature is called 'context.weekday'"):
        mtkit.compose(**parts)
    with pytest.raises(
        RecipeError, match=r"clean\.a.where: 'chanel' is no column of the table interactions; .*did you mean 'channel'"
    ):
        mtkit.compose(**parts, clean={"a": Keep.model_validate({"where": {"chanel": "web"}})})
    with pytest.raises(RecipeError, match=r"clean\.a: expected a mtkit.spec.Cleaner, got"):
        mtkit.compose(**parts, clean={"a": loaded.data.split})
