"""What columns are for."""

import pandas as pd
import pytest
from user_files import customers_alone, shop, shown

from mtkit.draft.columns import entity_guesses, interaction_guesses
from mtkit.draft.roles import tables_of
from mtkit.draft.tables import find_tables
from mtkit.errors import DataError


def guessed(directory, roles=None):
    tables = tables_of(find_tables([directory]).tables, {}, roles or {})
    return {name: guess.role for name, guess in interaction_guesses(tables, roles or {}).items()}


def test_a_shop(tmp_path):
    tables = tables_of(find_tables([shop(tmp_path)]).tables, {}, {})
    assert {name: guess.role for name, guess in interaction_guesses(tables, {}).items()} == {
        "customer_id": "user",
        "product_id": "item",
        "purchased_at": "time",
    }
    assert {name: guess.role for name, guess in entity_guesses(tables.entities["item"], {}).items()} == {
        "title": "text",
        "category": "categorical",
        "price": "numeric",
        "tags": "list",
        "views": "ignore",
    }


def test_outcomes_and_what_is_known_afterwards(tmp_path):
    assert guessed(shown(tmp_path)) == {
        "user_id": "user",
        "video_id": "item",
        "time_ms": "time",
        "is_click": "label",
        "play_time_ms": "ignore",
        "tab": "categorical",
        "is_new": "ignore",
    }


def test_rows_alone_end_with_their_label(tmp_path):
    roles = guessed(customers_alone(tmp_path))
    assert roles == {
        "age": "numeric",
        "job": "categorical",
        "calls": "categorical",
        "duration": "ignore",
        "deposit": "label",
    }
    assert guessed(tmp_path, {"calls": "label"})["deposit"] == "categorical"


def test_baskets_events_ratings_and_the_finest_time(tmp_path):
    rows = [
        {"user": n % 7, "item": n % 5, "order_id": n // 21 * 7 + n % 7, "event": ["view", "buy"][n % 2], "stars": n % 5 + 1,
         "date": f"2024-01-{n % 28 + 1:02}", "time": f"2024-01-{n % 28 + 1:02} 10:00:{n % 60:02}"}
        for n in range(200)
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "log.csv", index=False)
    roles = guessed(tmp_path)
    assert roles["order_id"] == "basket"
    assert roles["event"] == "event"
    assert roles["stars"] == "rating"
    assert (roles["time"], roles["date"]) == ("time", "ignore")


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        ({"prise": "numeric"}, "no such column"),
        ({"tab": "colour"}, "no such role"),
        ({"tab": "time", "time_ms": "time"}, "both time"),
    ],
)
def test_roles_that_cannot_be(tmp_path, roles, message):
    with pytest.raises(DataError, match=message):
        guessed(shown(tmp_path), roles)
