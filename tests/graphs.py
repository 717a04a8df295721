"""A made-up log of events, and what of its graph is known at a moment, found one by one."""

import numpy as np
import pyarrow as pa

from mtkit.conditions import Where
from mtkit.schema import Column, Schema
from mtkit.types import Entity, Events, Fold

USERS, ITEMS, END = 9, 8, 100
BUY = Where.model_validate({"event": "buy"})
SCHEMA = Schema(
    interactions={
        "user": Column(kind="id", entity="user"),
        "item": Column(kind="id", entity="item"),
        "event": Column(kind="categorical"),
    },
    entities={"user": {"friends": Column(kind="list")}, "item": {}},
)


def made_events(seed=0, size=120):
    """Users, items, times and kinds, drawn; users act at the same times, too."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(1, USERS, size), rng.integers(0, ITEMS, size)
    return [*ids, rng.integers(0, END, size), rng.choice(["buy", "view"], size)]


def made_fold(user, item, time, kind, guests=0):
    """The fold of events in any order; the last `guests` of the users are such."""
    order = np.lexsort((time, user))
    ids = {"user": user[order].astype(np.int32), "item": item[order].astype(np.int32)}
    rng = np.random.default_rng(7)
    friends = [None, *(sorted({str(u) for u in rng.integers(0, USERS, 3)}) for _ in range(USERS - 1))]
    friends[3] = None
    entities = {
        "user": Entity(
            "user", np.arange(USERS), pa.table({"friends": pa.array(friends, pa.list_(pa.string()))}), guests
        ),
        "item": Entity("item", np.arange(ITEMS), pa.table({})),
    }
    offsets = np.searchsorted(ids["user"], np.arange(USERS + 1))
    columns = pa.table({"event": kind[order].tolist()})
    events = Events(ids, time[order].astype(np.int64), np.arange(len(user)), columns, offsets)
    return Fold("test", END, END, END, entities, events, SCHEMA)


def neighbors_before(fold, side, node, moment, where=None):
    """The neighbors of a node, oldest first, by a look at every event."""
    own, other = ("user", "item") if side == "acting" else ("item", "user")
    events = fold.events
    found = [
        (time, number, neighbor)
        for number, (time, mine, neighbor, kind) in enumerate(
            zip(events.time, events.ids[own], events.ids[other], events.columns["event"].to_pylist(), strict=True)
        )
        if mine == node > 0
        and 0 < neighbor < fold.catalog(other).known
        and time < moment
        and (where is None or kind == "buy")
    ]
    return [int(neighbor) for _, _, neighbor in sorted(found)]
