"""Labels of the log itself, against loops over all pairs of interactions."""

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from mtkit.errors import RecipeError
from mtkit.recipe.loader import load_recipe
from mtkit.schema import INTERACTIONS, Column, Schema
from mtkit.standard.label_cleaners import Ahead
from mtkit.testing import check_cleaner

COLUMNS = {
    "user": Column(kind="id", entity="user"),
    "item": Column(kind="id", entity="item"),
    "basket": Column(kind="id"),
    "time": Column(kind="time"),
    "event": Column(kind="categorical"),
    "price": Column(kind="numeric"),
    "shop": Column(kind="categorical"),
}
SCHEMA = Schema(interactions=COLUMNS, entities={"user": {}, "item": {}})
HOUR = timedelta(hours=1)


def log(rows=60, seed=0):
    random = np.random.default_rng(seed)
    return pa.table(
        {
            "user": random.integers(0, 4, rows),
            "item": random.integers(0, 3, rows),
            "basket": random.integers(0, 20, rows),
            "time": random.integers(0, 12, rows) * 1800 - 9000,
            "event": random.choice(["buy", "return"], rows),
            "price": pa.array(random.normal(size=rows), mask=random.random(rows) < 0.2),
            "shop": pa.array(random.choice(["a", "b"], rows), mask=random.random(rows) < 0.2),
        }
    )


def slow(table, same, seconds, counts=lambda row: True, value=lambda row: 1.0):
    rows = table.to_pylist()
    found = []
    for row in rows:
        if any(row[name] is None for name in same):
            found.append(None)
            continue
        later = [
            value(other)
            for other in rows
            if all(other[name] == row[name] for name in ("user", *same))
            and row["time"] < other["time"] <= row["time"] + seconds
            and other["basket"] != row["basket"]
            and counts(other)
        ]
        found.append(sum(later, 0.0))
    return found


def label(table, **options):
    cleaner = Ahead(label="next", within=HOUR, **options)
    changed, note = cleaner.clean({INTERACTIONS: table}, SCHEMA)
    assert note.startswith("next is ")
    assert changed[INTERACTIONS].drop_columns(["next"]) == table
    return changed[INTERACTIONS]["next"].to_pylist()


@pytest.mark.parametrize("seed", range(3))
def test_it_is_what_comes_later_in_time(seed):
    table = log(seed=seed)
    items = slow(table, ["item"], 3600)
    assert label(table) == [float(found > 0) for found in items]
    assert label(table, what="none") == [float(found == 0) for found in items]
    assert label(table, what="count") == items
    assert label(table, what="count", same=[]) == slow(table, [], 3600)
    shops = slow(table, ["shop", "item"], 3600)
    assert label(table, what="count", same=["shop", "item"]) == shops
    assert None in shops


def test_what_counts_may_be_of_a_kind_and_have_values():
    table = log()
    returned = slow(table, ["item"], 3600, lambda row: row["event"] == "return")
    assert label(table, where={"event": "return"}) == [float(found > 0) for found in returned]
    assert any(returned)
    spent = slow(table, [], 3600, value=lambda row: row["price"] or 0.0)
    np.testing.assert_allclose(label(table, what="sum", of="price", same=[]), spent, atol=1e-12)


def test_labels_have_their_horizon_and_are_no_features():
    declared = Ahead(label="next", within=HOUR).declares(SCHEMA)
    assert declared.interactions["next"] == Column(kind="label", horizon=HOUR)
    assert "context.next" not in declared.features()
    assert "looks ahead" in declared.known_later("next")


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        ('label = "gift", within = "9d"', r"clean\.later\.label: interactions has a column 'gift' already"),
        ('label = "next", within = "9d", same = ["itme"]', r"clean\.later\.same.*'itme' is no column of interactions"),
        ('label = "next", within = "9d", what = "sum"', '`of` and what = "sum" go together'),
        (
            'label = "next", within = "9d", what = "sum", of = "channel"',
            "'channel' is declared as categorical; expected numeric",
        ),
        ('label = "next", within = "9d", where = {chanel = "web"}', r"clean\.later\.where: .*'chanel'"),
    ],
)
def test_mistakes(tiny_recipe, sets, said):
    with pytest.raises(RecipeError, match=said):
        load_recipe(tiny_recipe, [f'clean.later={{use = "ahead", {sets}}}'])


def test_a_recipe_learns_such_a_label(tiny_recipe):
    later = 'clean.later={use = "ahead", label = "comes_back", within = "9d", same = []}'
    rows = 'rows.lines.labels=["discounted", "comes_back"]'
    recipe = load_recipe(tiny_recipe, [later, rows, 'task.gift.label="comes_back"'])
    data = recipe.data.source.schema()
    assert data.interactions["comes_back"].horizon == timedelta(days=9)


def test_conforms():
    check_cleaner(Ahead(label="later", within=timedelta(days=9)))
    check_cleaner(Ahead(label="later", within=timedelta(days=9), what="count", same=[]))
