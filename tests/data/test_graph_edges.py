import numpy as np
import pyarrow as pa
import pytest
from graphs import BUY, END, ITEMS, USERS, made_events, made_fold, neighbors_before

from mtkit.data.graph_edges import event_edges, listed_edges
from mtkit.types import Entity


@pytest.mark.parametrize("where", [None, BUY])
@pytest.mark.parametrize(("role", "side", "nodes"), [("user", "acting", USERS), ("item", "item", ITEMS)])
def test_edges_are_events_in_the_order_of_time(role, side, nodes, where):
    fold = made_fold(*made_events(), guests=2)
    edges = event_edges(fold, role, where)
    assert len(edges.offsets) == nodes + 1
    for node in range(nodes):
        mine = slice(edges.offsets[node], edges.offsets[node + 1])
        assert edges.neighbor[mine].tolist() == neighbors_before(fold, side, node, END, where)
        assert (np.diff(edges.time[mine]) >= 0).all()


def test_the_unknown_has_no_edges_and_guests_are_nobodys_neighbors():
    fold = made_fold(*made_events(), guests=2)
    of_items, of_users = event_edges(fold, "item", None), event_edges(fold, "user", None)
    assert of_items.offsets[1] == of_users.offsets[1] == 0
    assert of_items.neighbor.min() > 0
    assert of_items.neighbor.max() < USERS - 2
    assert of_users.offsets[-1] > of_users.offsets[USERS - 2]


@pytest.mark.parametrize("weighted", [False, True])
def test_lists_of_ids_are_edges_at_any_moment(weighted):
    lists = [None, ["2", "3", "9"], None, ["1", "3"]]
    if weighted:
        lists = [of and [{"value": value, "weight": 0.5} for value in of] for of in lists]
    kind = pa.list_(pa.struct({"value": pa.string(), "weight": pa.float32()}) if weighted else pa.string())
    column = pa.chunked_array([pa.array(lists, kind)])
    edges = listed_edges(Entity("user", np.arange(4), pa.table({"friends": column})), "friends")
    assert edges.offsets.tolist() == [0, 0, 2, 2, 3]
    assert edges.neighbor.tolist() == [2, 3, 1]
    assert (edges.time == np.iinfo(np.int64).min).all()


def test_guests_are_no_friends_and_have_some():
    column = pa.array([None, ["3", "2"], ["1"], ["1"]], pa.list_(pa.string()))
    edges = listed_edges(
        Entity("user", np.array(["", "1", "2", "3"], object), pa.table({"friends": column}), 1), "friends"
    )
    assert edges.offsets.tolist() == [0, 0, 1, 2, 3]
    assert edges.neighbor.tolist() == [2, 1, 1]


def test_without_events_there_are_no_edges():
    edges = event_edges(made_fold(*(column[:0] for column in made_events())), "item", None)
    assert edges.offsets.tolist() == [0] * (ITEMS + 1)
    assert len(edges.neighbor) == len(edges.time) == 0
