"""Faults of ids, planted into a clean log."""

from dataclasses import replace

import numpy as np
import pytest

from mtkit.recipe.settings import Catalog
from mtkit.schema import Column

ROWS = 6000


def renamed(data, with_column, name, ids):
    """The data with other ids in the interactions and in the entity's table."""
    data = with_column(data, f"interactions.{name}", lambda values: [ids(value) for value in values])
    return with_column(data, f"{name}.id", lambda values: [ids(value) for value in values])


def test_clean_ids(clean, found):
    assert [str(one) for code in range(3, 12) for one in found(f"P{code:03}", clean)] == []


def test_blank_ids(clean, with_column, found):
    data = with_column(clean, "interactions.user", lambda ids: [None, "  ", *ids[2:]])
    (blank,) = found("P003", data)
    assert (blank.where, blank.count, blank.of, blank.examples) == ("interactions.user", 2, ROWS, ("row 1", "row 2"))


def test_ids_alike(clean, with_column, found):
    spellings = {"u001": ("u001", "U001"), "u002": ("u002", "u002 "), "u003": ("u003", "\uff55\uff10\uff10\uff13")}
    data = with_column(
        clean, "interactions.user", lambda ids: [spellings.get(u, (u, u))[row % 2] for row, u in enumerate(ids)]
    )
    (alike,) = found("P004", data)
    assert (alike.where, alike.count, alike.of) == ("user ids", 6, 303)
    assert {frozenset(example.split(" and ")) for example in alike.examples} == {
        frozenset(("'u001'", "'U001'")), frozenset(("'u002'", "'u002 '")), frozenset(("'u003'", r"'\uff55\uff10\uff10\uff13'")),
    }  # fmt: skip


@pytest.mark.parametrize("nobody", ["unknown", "-", "NULL", "Guest"])
def test_ids_that_stand_for_none(clean, with_column, found, nobody):
    data = renamed(clean, with_column, "user", lambda user: nobody if user == "u000" else user)
    assert [(one.where, one.count, one.examples) for one in found("P005", data)] == [
        ("interactions.user", 20, (f"{nobody!r} (20)",)),
        ("user.id", 1, (f"{nobody!r} (1)",)),
    ]


def test_numbers_that_stand_for_no_id(clean, with_column, found):
    numbered = renamed(clean, with_column, "user", lambda user: int(user[1:]))
    assert found("P005", numbered) == []  # 0 is an id like others
    minus = with_column(numbered, "interactions.user", lambda users: [-1 if u == 7 else u for u in users])
    (one,) = found("P005", minus)
    assert (one.count, one.examples) == (20, ("-1 (20)",))
    zero = with_column(numbered, "interactions.user", lambda users: [0] * 1000 + users[1000:])
    (one,) = found("P005", zero)
    assert one.count >= 1000


def test_zeros_that_are_lost(clean, with_column, found):
    digits = renamed(clean, with_column, "item", lambda item: item[1:])
    assert found("P006", digits) == []
    data = with_column(
        digits, "interactions.item", lambda ids: [str(int(i)) if row % 2 else i for row, i in enumerate(ids)]
    )
    (lost,) = found("P006", data)
    assert (lost.where, lost.count) == ("interactions.item", 100)
    data = with_column(clean, "user.town", lambda towns: ["02115", "2116", "10001"] * (len(towns) // 3))
    (lost,) = found("P006", data)
    assert (lost.where, lost.examples) == ("user.town", ("'2116' (100)",))


def test_ids_without_a_row(clean, with_column, found, recipe_of):
    data = replace(clean, entities={**clean.entities, "item": clean.entities["item"].slice(2)})
    (lost,) = found("P007", data)
    assert (lost.where, lost.count, lost.severity) == ("interactions.item", 60, "warning")
    assert set(lost.examples) == {"'i000'", "'i001'"}
    (lost,) = found("P007", data, recipe_of(data, catalog={"item": Catalog(unlisted="drop")}))
    assert lost.severity == "note"


def test_rows_without_interactions(clean, found):
    data = replace(clean, interactions=clean.interactions.filter(
        [user not in ("u005", "u006") for user in clean.interactions["user"].to_pylist()]
    ))  # fmt: skip
    (idle,) = found("P008", data)
    assert (idle.where, idle.count, idle.of, idle.examples) == ("user", 2, 300, ("'u005'", "'u006'"))


def test_single_interactions(clean, found):
    users = np.array(clean.interactions["user"].to_pylist())
    keep = users != "u009"
    keep[np.flatnonzero(users == "u009")[0]] = True
    (single,) = found("P009", replace(clean, interactions=clean.interactions.filter(keep)))
    assert (single.where, single.count, single.of, single.examples) == ("user ids", 1, 300, ("'u009'",))


def test_several_descriptions(clean, with_column, found):
    items = clean.interactions["item"].to_pylist()
    names = [f"name of {item}" for item in items]
    same = with_column(clean, "interactions.comment", names)
    assert found("P010", same) == []
    names[items.index("i004")] = "damaged"
    names[items.index("i007")] = "lost"
    (several,) = found("P010", with_column(clean, "interactions.comment", names))
    assert (several.where, several.count, several.of, several.unit) == ("interactions.comment", 2, 200, "item ids")
    assert sorted(example[:7] for example in several.examples) == ["'i004':", "'i007':"]
    assert all("damaged" in example or "lost" in example for example in several.examples)


def test_same_text(clean, with_column, found):
    data = with_column(clean, "item.title", lambda titles: [titles[1], *titles[1:]])
    (same,) = found("P011", data)
    assert (same.where, same.count, same.of) == ("item.title", 2, 200)
    category = with_column(clean, "item.title", lambda titles: [f"kind {n % 9}" for n in range(len(titles))])
    assert found("P011", category) == []


def test_ids_in_several_rows_of_their_table(clean, with_column, found):
    data = with_column(clean, "item.id", lambda ids: [ids[1], *ids[1:]])
    (several,) = found("P010", data)  # though the data are refused
    assert (several.where, several.count, several.of, several.examples) == ("item.id", 1, 199, ("'i001' (2)",))


def test_unusual_forms(clean, with_column, found):
    assert found("P052", clean) == []
    data = with_column(clean, "interactions.item", lambda ids: ["POST", "FEE", *ids[2:]])
    (unusual,) = found("P052", data)
    assert (unusual.where, unusual.count, unusual.examples) == ("interactions.item", 2, ("'POST' (1)", "'FEE' (1)"))
    baskets = [f"C{row}" if row % 50 == 0 else f"{row}" for row in range(ROWS)]
    (cancelled,) = found("P052", with_column(clean, "interactions.basket", baskets, Column(kind="id")))
    assert (cancelled.where, cancelled.count) == ("interactions.basket", 120)
    mixed = [f"{'A' * (row % 2)}{row}" for row in range(ROWS)]
    assert found("P052", with_column(clean, "interactions.basket", mixed, Column(kind="id"))) == []


def test_shared_baskets(clean, with_column, found):
    users = clean.interactions["user"].to_pylist()
    own = with_column(
        clean, "interactions.basket", [f"{user} {row % 3}" for row, user in enumerate(users)], Column(kind="id")
    )
    assert found("P053", own) == []
    data = with_column(own, "interactions.basket", lambda baskets: ["7", "7", *baskets[2:]])
    (shared,) = found("P053", data)
    assert (shared.where, shared.count, shared.examples) == ("interactions.basket", 1, ("'7'",))
