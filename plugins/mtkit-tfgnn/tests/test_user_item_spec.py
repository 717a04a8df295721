from dataclasses import replace

import pytest

from mtkit.errors import DeclarationError, WiringError
from mtkit.spec import Neighborhood, Where
from mtkit.standard.encoders import Features
from mtkit.testing import check_spec
from mtkit_tfgnn import UserItemGraph

BUY = Where.model_validate({"event": "buy"})
SIZES = {"user": 5, "item": 7}


@pytest.mark.parametrize(
    "reads",
    [("history.item",), ("history.item", "user.id"), ("item.id", "history.item")],
    ids="_".join,
)
def test_spec(reads):
    check_spec(
        UserItemGraph(reads=reads, neighbors=(5,), edges=(BUY,), friends="trusts", convolution="gat_v2", items="item")
    )


def test_entry_point(entry_point):
    assert entry_point("mtkit.encoder", "user_item_graph") is UserItemGraph


def test_it_asks_for_the_neighborhood_of_the_user_or_of_the_item():
    user = UserItemGraph(
        reads=("history.item", "user.id"), neighbors=(5, 3), edges=(BUY,), sample="drawn", friends="trusts"
    )
    assert user.neighborhood == Neighborhood("acting", (5, 3), (BUY,), "trusts", drawn=True, degrees=True)
    item = UserItemGraph(reads=("item.id", "history.item"), normalize="mean")
    assert item.neighborhood == Neighborhood("item", (20, 10))
    attention = UserItemGraph(reads=("history.item",), convolution="gat_v2")
    assert not attention.neighborhood.degrees
    assert user.past_conditions == (BUY,)


@pytest.mark.parametrize(
    "reads",
    [
        ("user.id",),
        ("history.item", "history.event"),
        ("user.id", "history.item"),
        ("history.item", "item.id"),
        ("history.item", "user.town"),
    ],
    ids="_".join,
)
def test_refuses_to_read_anything_else(reads):
    with pytest.raises(DeclarationError, match=r"reads .*, expected "):
        UserItemGraph(reads=reads)


def test_refuses_heads_that_do_not_divide_the_width():
    with pytest.raises(DeclarationError, match="heads = 3 do not divide dim = 64"):
        UserItemGraph(reads=("history.item",), convolution="gat_v2", heads=3)


@pytest.fixture
def context(make_context):
    encoders = {"item": Features(reads=("item.id",), dim=4), "wide": Features(reads=("item.id",), dim=8)}
    return replace(make_context("graph"), sizes=SIZES, encoders=encoders, roles=("user", "item"))


def test_options_arrive_in_the_layer(context):
    options = {"convolution": "gat_v2", "heads": 2, "dropout": 0.1, "id_dropout": 0.2, "dim": 4, "activation": "gelu"}
    spec = UserItemGraph(
        reads=("item.id", "history.item"), edges=(BUY, BUY), friends="trusts", neighbors=(4,), **options
    )
    config = spec.build(context).get_config()
    options |= {"root": "item", "widths": [4], "kinds": 2, "friends": True, "own": "item.id", "name": "graph"}
    options |= {"sizes": {"acting": 5, "item": 7}, "labels": {"acting": "user.id", "item": "item.id"}}
    assert {key: config[key] for key in options} == options


def test_items_of_another_encoder_have_to_be_as_wide(context):
    spec = UserItemGraph(reads=("history.item",), items="item", dim=4)
    assert spec.content == ("item",)
    assert spec.build(context).get_config()["content"] == "item"
    with pytest.raises(WiringError, match=r"encoder\.graph: items = 'wide' .* 8 numbers, but dim = 4"):
        UserItemGraph(reads=("history.item",), items="wide", dim=4).build(context)


def test_memory_is_told_by_nodes_and_tables():
    spec = UserItemGraph(reads=("history.item",), neighbors=(5, 3), dim=4)
    assert spec.numbers_per_row(SIZES) == 2 * 4 * (1 + 5 + 15)
    assert spec.table_rows(SIZES) == 12
    assert spec.model_copy(update={"items": "item"}).table_rows(SIZES) == 5
