"""Recipes of all shapes are right as they are written."""

import tomllib

import numpy as np
import pandas as pd
import pytest
from user_files import customers_alone, shop, shown

from mtkit.draft.draft import draft_of
from mtkit.draft.recipe_text import name_of, recipe_text, task_name
from mtkit.draft.tables import find_tables
from mtkit.recipe.loader import load_recipe


def ratings(directory):
    """Ratings without times, with a header of another tool."""
    random = np.random.default_rng(0)
    pairs = pd.DataFrame({"user_id:token": random.integers(0, 50, 900), "item_id:token": random.integers(0, 70, 900)})
    pairs = pairs.drop_duplicates()
    pairs["rating:float"] = random.integers(1, 6, len(pairs))
    pairs.to_csv(directory / "log.inter", sep="\t", index=False)
    return directory


def two_labels(directory):
    shown(directory)
    frame = pd.read_parquet(directory / "log.parquet")
    frame["liked"] = frame["is_click"] * (np.arange(len(frame)) % 2)
    frame.to_parquet(directory / "log.parquet")
    return directory


def returns(directory):
    shown(directory)
    frame = pd.read_parquet(directory / "log.parquet").rename(columns={"is_click": "returned"})
    frame.to_parquet(directory / "log.parquet")
    return directory


def written(directory):
    draft = draft_of(find_tables([directory]), {}, {})
    text = recipe_text(draft, "first", directory)
    (directory / "recipe.toml").write_text(text, encoding="utf-8")
    return draft, text, load_recipe(directory / "recipe.toml")


@pytest.mark.parametrize(
    ("make", "shape", "tasks"),
    [
        (shop, "windows", {"next"}),
        (ratings, "profiles", {"next", "rating"}),
        (shown, "outcomes", {"next", "is_click"}),
        (two_labels, "outcomes", {"next", "is_click", "liked"}),
        (returns, "outcomes", {"next", "returned"}),
        (customers_alone, "rows", {"deposit"}),
    ],
)
def test_a_recipe_can_be_read(tmp_path, make, shape, tasks):
    draft, text, recipe = written(make(tmp_path))
    assert draft.shape == shape
    assert set(recipe.task) == tasks
    assert recipe.data.source.load().interactions.num_rows == draft.counts.rows
    assert all(len(line) <= 140 for line in text.splitlines())


def test_reasons_stand_beside_columns_and_what_is_left_out_is_named(tmp_path):
    _, text, recipe = written(shown(tmp_path))
    assert 'is_click = {kind = "label"}' in text
    assert "values in 3,000 rows" in text
    assert "# left out play_time_ms:" in text
    assert "play_time_ms" not in recipe.data.source.columns


def test_texts_are_read_where_they_can_be(tmp_path):
    draft, _, _ = written(shop(tmp_path))
    from dataclasses import replace

    without = tomllib.loads(recipe_text(replace(draft, texts=False), "first", tmp_path))
    assert "text" not in without["encoder"]
    assert "title" not in without["data"]["entity_columns"]["item"]
    with_texts = tomllib.loads(recipe_text(replace(draft, texts=True), "first", tmp_path))
    assert with_texts["encoder"]["text"]["reads"] == ["item.title"]
    assert with_texts["task"]["next"]["candidate"] == ["item", "text"]


def test_a_purchase_is_what_is_asked_for(tmp_path):
    file = shop(tmp_path) / "purchases.csv"
    log = pd.read_csv(file)
    log["event"] = np.where(np.arange(len(log)) % 3, "view", "buy")
    log.to_csv(file, index=False)
    _, text, _ = written(tmp_path)
    values = tomllib.loads(text)
    assert values["events"]["positive"] == {"where": {"event": "buy"}}
    assert values["rows"]["next"]["where"] == "positive"


def test_names(tmp_path):
    assert name_of(tmp_path / "my data (2).csv") == "my-data-2"
    assert task_name("Is Click?") == "is_click"
    assert task_name("2nd") == "label_2nd"


def test_what_is_recommended_is_what_users_wanted(tmp_path):
    (tmp_path / "sold").mkdir()
    _, _, recipe = written(returns(tmp_path / "sold"))
    assert not recipe.events
    assert recipe.rows["next"].where is None
    (tmp_path / "shown").mkdir()
    _, _, recipe = written(two_labels(tmp_path / "shown"))
    assert recipe.rows["next"].where == recipe.events["positive"].where
