"""Cleaners, from the recipe to the result."""

import json

import numpy as np
import pandas as pd
import pytest

from mtkit.data.columns import load
from mtkit.data.fingerprint import fingerprint
from mtkit.recipe.loader import load_recipe
from mtkit.runs.run import run_recipe

START, DAY = 1_704_067_200, 86_400
CLEAN = """
[clean.ids]
use = "canonical_ids"
entities = ["user"]
[clean.items]
use = "one_per_entity"
entity = "item"
take = "mean"
[clean.brands]
use = "join"
table = "item"
file = "brands.csv"
key = "sku"
columns = {brand = {kind = "categorical"}}
[clean.unknown]
use = "to_null"
columns = ["price"]
values = ["?", -1]
[clean.buys]
use = "keep"
where = {event = "buy"}
[clean.once]
use = "duplicates"
by = ["user", "item", "time"]
[clean.visits]
use = "sessions"
gap = "30min"
[clean.calendar]
use = "derive"
columns = {weekday = {function = "weekday", of = "time"}, log_price = {function = "log1p", of = "price"}}
"""
BY_HAND = """
[data.columns.session]
kind = "id"
[data.columns.weekday]
kind = "categorical"
[data.columns.log_price]
kind = "numeric"
[data.entity_columns.item.brand]
kind = "categorical"
"""
RECIPE = """
recipe = 1
name = "shop"
[data]
use = "files"
interactions = "rows.csv"
entities = {item = "items.csv"}
[data.columns]
user = {kind = "id", entity = "user"}
item = {kind = "id", entity = "item"}
time = {kind = "time"}
event = {kind = "categorical"}
price = {kind = "numeric"}
liked = {kind = "label"}
[data.entity_columns.item]
size = {kind = "numeric"}
[data.split]
use = "time"
valid = 2024-02-10
test = 2024-02-20
[rows.lines]
use = "interactions"
labels = ["liked"]
[encoder.all]
use = "features"
reads = ["user.id", "item.id", "item.size", "item.brand", "context.weekday", "context.log_price"]
dim = 4
[task.liked]
use = "user_preference"
rows = "lines"
inputs = ["all"]
label = "liked"
[train]
epochs = 1
[evaluate]
prediction_metrics = ["auc"]
baselines = ["majority"]
"""


@pytest.fixture
def rows():
    rng, count = np.random.default_rng(0), 1500
    rows = pd.DataFrame(
        {
            "user": rng.integers(1, 40, count),
            "item": rng.integers(1, 20, count),
            "time": np.sort(START + rng.integers(0, 60 * DAY, count)),
            "event": rng.choice(["buy", "view"], count, p=[0.8, 0.2]),
            "price": rng.integers(1, 9, count),
            "liked": rng.integers(0, 2, count),
        }
    )
    return pd.concat([rows, rows.iloc[::10]]).sort_values("time", kind="stable", ignore_index=True)


@pytest.fixture
def recipe(rows, tmp_path):
    """A recipe with cleaners, on tables that need them."""
    dirty = rows.assign(
        user=[f"{' U' if row % 3 else 'u'}{user}" for row, user in enumerate(rows["user"])],
        price=["?" if row % 50 == 0 else "-1" if row % 41 == 0 else price for row, price in enumerate(rows["price"])],
    )
    dirty.to_csv(tmp_path / "rows.csv", index=False)
    items = pd.DataFrame({"id": [*range(1, 20), *range(1, 20)], "size": [*range(1, 20), *range(3, 22)]})
    items.to_csv(tmp_path / "items.csv", index=False)
    pd.DataFrame({"sku": range(1, 15), "brand": ["x", "y"] * 7}).to_csv(tmp_path / "brands.csv", index=False)
    path = tmp_path / "clean.toml"
    path.write_text(RECIPE + CLEAN)
    return path


@pytest.fixture
def by_hand(rows, tmp_path):
    """A recipe of the same, whose tables are cleaned by pandas."""
    directory = tmp_path / "by-hand"
    directory.mkdir()
    price = rows["price"].mask((rows.index % 50 == 0) | (rows.index % 41 == 0))
    cleaned = rows.assign(user=[f"u{user}" for user in rows["user"]], price=price)
    cleaned = cleaned[cleaned["event"] == "buy"].drop_duplicates(["user", "item", "time"], ignore_index=True)
    session, last = [], {}
    for user, time in zip(cleaned["user"], cleaned["time"], strict=True):
        number = last[user][1] if user in last and time - last[user][0] <= 1800 else len({*session})
        session.append(number)
        last[user] = (time, number)
    moments = pd.to_datetime(cleaned["time"], unit="s")
    cleaned = cleaned.assign(session=session, weekday=moments.dt.day_of_week, log_price=np.log1p(cleaned["price"]))
    cleaned.to_parquet(directory / "rows.parquet")
    items = pd.DataFrame({"id": range(1, 20), "size": range(2, 21), "brand": [*["x", "y"] * 7, *[None] * 5]})
    items.astype({"id": str, "size": float}).to_parquet(directory / "items.parquet")
    path = directory / "by-hand.toml"
    text = RECIPE.replace("rows.csv", "rows.parquet").replace("items.csv", "items.parquet") + BY_HAND
    path.write_text(text)
    return path


def as_frame(table):
    frame = table.to_pandas()
    return frame.astype({name: str for name in ("user", "item", "weekday", "session") if name in frame})


def test_tables_are_as_if_they_had_been_cleaned_by_hand(recipe, by_hand):
    one, other = (load(load_recipe(path).data.source) for path in (recipe, by_hand))
    assert one.schema == other.schema
    pd.testing.assert_frame_equal(as_frame(one.interactions), as_frame(other.interactions), check_dtype=False)
    assert one.entities["user"].equals(other.entities["user"])
    items = [each.entities["item"].to_pandas().astype({"id": str}) for each in (one, other)]
    pd.testing.assert_frame_equal(*items, check_dtype=False)


def test_a_run_keeps_what_was_cleaned_and_knows_when_it_changes(recipe, tmp_path):
    loaded = load_recipe(recipe)
    run_recipe(loaded, tmp_path / "run")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    noted = [note for note in metrics["protocol"]["data"] if note.startswith("clean.")]
    assert [note.partition(":")[0] for note in noted] == [f"clean.{name}" for name in loaded.clean]
    left_out = metrics["left_out"]["test"]["interactions"]
    assert left_out.keys() == {"by clean.buys", "by clean.once"}
    assert f"clean.buys: left out {left_out['by clean.buys']} of 1,650 rows of interactions" in noted
    before = fingerprint(load(loaded.data.source))
    pd.DataFrame({"sku": range(1, 15), "brand": ["x", "z"] * 7}).to_csv(recipe.with_name("brands.csv"), index=False)
    assert fingerprint(load(loaded.data.source)) != before, "a file that is joined is part of the data"
