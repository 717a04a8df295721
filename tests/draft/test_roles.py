"""Which table is what."""

import pytest
from user_files import shop

from mtkit.draft.roles import is_id_of, tables_of
from mtkit.draft.tables import find_tables
from mtkit.draft.words import ITEM, USER
from mtkit.errors import DataError


def of(directory, stated=None, roles=None):
    return tables_of(find_tables([directory]).tables, stated or {}, roles or {})


def test_interactions_refer_to_tables_of_entities(tmp_path):
    tables = of(shop(tmp_path))
    assert (tables.interactions.name, tables.user, tables.item) == ("purchases.csv", "customer_id", "product_id")
    assert {entity: (found.table.name, found.key) for entity, found in tables.entities.items()} == {
        "user": ("customers.csv", "customer_id"),
        "item": ("products.csv", "product_id"),
    }


@pytest.mark.parametrize(
    ("users", "items", "expected"),
    [
        ("users", "items", {"user": "users.csv", "item": "items.csv"}),
        ("Kunden", "articles", {"user": "Kunden.csv", "item": "articles.csv"}),
        ("a_users", "", {"user": "a_users.csv"}),
        ("", "some_items", {"item": "some_items.csv"}),
        ("", "things", {"item": "things.csv"}),
        ("a", "b", {"user": "a.csv", "item": "b.csv"}),
    ],
)
def test_tables_whose_numbers_are_those_of_both(tmp_path, users, items, expected):
    """Users and items are numbers from 0 on, as if a table of either had the ids of the other."""
    (tmp_path / "log.csv").write_text("user,item\n" + "".join(f"{i % 40},{i % 50}\n" for i in range(900)))
    for name, rows in ((users, 40), (items, 50)):
        if name:
            (tmp_path / f"{name}.csv").write_text("id,color\n" + "".join(f"{i},c{i % 3}\n" for i in range(rows)))
    assert {entity: found.table.name for entity, found in of(tmp_path).entities.items()} == expected


def test_a_file_of_items_is_none_of_users(tmp_path):
    """Films are numbers, too, and there is one for each user."""
    (tmp_path / "log.csv").write_text("user,item\n" + "".join(f"{i % 40},{i % 50}\n" for i in range(900)))
    for name, rows in (("films", 45), ("items", 50)):
        (tmp_path / f"{name}.csv").write_text("id,color\n" + "".join(f"{i},c{i % 3}\n" for i in range(rows)))
    assert {entity: found.table.name for entity, found in of(tmp_path).entities.items()} == {"item": "items.csv"}


def test_a_table_that_lacks_many_ids_is_not_used(tmp_path):
    file = shop(tmp_path) / "customers.csv"
    file.write_text("\n".join(file.read_text().splitlines()[:20]) + "\n")
    tables = of(tmp_path)
    assert "user" not in tables.entities
    assert any(note.startswith("customers.csv: not used: it has") for note in tables.notes)


def test_two_tables_as_likely_are_asked_about(tmp_path):
    file = shop(tmp_path) / "purchases.csv"
    (tmp_path / "views.csv").write_text(file.read_text())
    with pytest.raises(DataError, match=r"could both be the interactions; say which, as in --interactions"):
        of(tmp_path)
    assert of(tmp_path, {"interactions": "views.csv"}).interactions.name == "views.csv"


def test_names_that_say_nothing_are_asked_about(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("p,q\n" + "1,2\n2,1\n" * 9)
    with pytest.raises(DataError, match="--role COLUMN=user"):
        of(tmp_path)
    tables = of(tmp_path, {"interactions": "a.csv"}, {"p": "user", "q": "item"})
    assert (tables.user, tables.item) == ("p", "q")
    with pytest.raises(DataError, match="no such table"):
        of(tmp_path, {"user": "c.csv"})


@pytest.mark.parametrize(
    ("name", "user", "item"),
    [
        ("userId", True, False),
        ("uid", True, False),
        ("product_sku", False, True),
        ("item_category", False, False),
        ("follow_user_num", False, False),
    ],
)
def test_names_of_ids(name, user, item):
    assert (is_id_of(name, USER), is_id_of(name, ITEM)) == (user, item)
