"""Recipes that speak of some interactions by name, from the text to the export."""

import numpy as np
import pytest
from click.testing import CliRunner

from mtkit.cli.program import main
from mtkit.conditions import Where
from mtkit.data.conditions import events_where
from mtkit.errors import RecipeError
from mtkit.recipe.loader import load_recipe
from mtkit.recipe.lock import lock
from mtkit.standard.baselines import Popularity

WEB = 'events.web.where={channel = "web"}'
NAMED = ("rows.windows.where=web", "rows.windows.past=web", "data.catalog.item.where=web")


def load(path, *sets):
    return load_recipe(path, [WEB, *sets])


def test_a_name_stands_for_its_condition_wherever_conditions_may_stand(tiny_recipe):
    recipe = load(tiny_recipe, *NAMED, 'evaluate.baselines=[{use = "popularity", where = "web"}]')
    expected = Where.model_validate({"channel": "web"})
    rows = recipe.rows["windows"]
    assert rows.where == rows.past == recipe.data.catalog["item"].where == expected
    assert recipe.evaluate.baselines["popularity"].where == recipe.events["web"].where == expected


def test_locks_say_what_was_meant(tiny_recipe, tmp_path):
    recipe = load(tiny_recipe, *NAMED)
    path = tmp_path / "recipe.lock.toml"
    path.write_text(lock(recipe, tmp_path), encoding="utf-8")
    again = load_recipe(path)
    assert again.rows == recipe.rows
    assert again.events == recipe.events
    assert again.data.catalog == recipe.data.catalog


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("rows.windows.where=webb", "no events are called 'webb'; did you mean 'web'?"),
        ('rows.windows.where={chanel = "web"}', "'chanel' is no column of the interactions"),
        ("rows.windows.where={user = 3}", "'user' is declared as id; a condition looks at columns of kind"),
        ("rows.windows.where={channel = {above = 3}}", "'channel' is declared as categorical, which has no order"),
        ('rows.windows.where={hour = "noon"}', "'hour' holds numbers, and is compared with 'noon'; write a number"),
        ("events.web.where={channel = {}}", "events.web.where.channel: asks nothing"),
        ("events.Web.where={hour = 3}", "expected a name of lower-case letters"),
        ("events.web.were={hour = 3}", "events.web.were: unknown key; did you mean 'where'?"),
    ],
)
def test_conditions_that_do_not_fit(tiny_recipe, change, message):
    with pytest.raises(RecipeError, match="(?s)" + message.replace("?", r"\?")):
        load(tiny_recipe, change)


def test_a_mistake_of_named_events_is_told_once(tiny_recipe):
    with pytest.raises(RecipeError) as raised:
        load_recipe(tiny_recipe, ["events.web.where={chanel = 1}", *NAMED])
    assert len(raised.value.problems) == 1


@pytest.fixture
def trained(train_tiny):
    return train_tiny(WEB, *NAMED, "train.epochs=1", "rows.lines.sample=300")


def test_the_export_counts_the_events_that_rows_count(trained):
    from mtkit.serving.servable import serving_rows

    fold, rows = trained.fold, trained.recipe.rows["windows"]
    table = serving_rows(fold, {"own"}, rows.counted)
    web = events_where(fold.events, rows.past, fold.schema.interactions)
    had = set(zip(web.ids["user"].tolist(), web.ids["item"].tolist(), strict=True))
    own = table.lists["own"]
    users = np.repeat(np.arange(len(table)), np.diff(own.offsets))
    items = own.values["id"]
    assert set(zip(users.tolist(), items.tolist(), strict=True)) == had


def test_baselines_are_told_what_targets_are_made_of(tiny_recipe, tmp_path):
    words = ["baselines", str(tiny_recipe), "--run-dir", str(tmp_path / "run"), "--set", WEB]
    words += ["--set", "rows.windows.where=web", "--set", 'evaluate.baselines=["popularity"]']
    tried = []

    def rank(self, events, cut, items):
        tried.append(self.where)
        return Popularity._rank(self, events, cut, items)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Popularity, "_rank", Popularity.rank, raising=False)
        patch.setattr(Popularity, "rank", rank)
        result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert tried[:2] == [None, Where.model_validate({"channel": "web"})]
