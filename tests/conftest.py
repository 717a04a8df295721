"""A small shop whose data are made up on the spot."""

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from mtkit.schema import Column, Schema
from mtkit.types import Dataset

DAY = 86400
SCHEMA = Schema(
    interactions={
        "customer": Column(kind="id", entity="user"),
        "product": Column(kind="id", entity="item"),
        "basket": Column(kind="id"),
        "when": Column(kind="time"),
        "store": Column(kind="categorical"),
        "price": Column(kind="numeric"),
        "amount": Column(kind="numeric"),
        "cheap": Column(kind="label", sources=("price",)),
        "returns": Column(kind="label", horizon=timedelta(days=5)),
        "payment": Column(kind="label", classes=True),
    },
    entities={
        "user": {"town": Column(kind="categorical")},
        "item": {
            "text": Column(kind="text"),
            "family": Column(kind="categorical"),
            "weight": Column(kind="numeric"),
            "shelf": Column(kind="label", classes=True),
        },
    },
)


def _choice(rng, values, size):
    return [values[i] for i in rng.integers(0, len(values), size)]


def _shop(seed=0, users=12, items=20, baskets=150, days=100):
    """Baskets of 1 to 5 lines of which some last a few minutes, with nulls where nulls may be."""
    rng = np.random.default_rng(seed)
    size = rng.integers(1, 6, baskets)
    basket = np.repeat(np.arange(baskets), size)
    lines = len(basket)
    start = rng.integers(0, days, baskets) * DAY + rng.integers(0, 3, baskets) * 3600
    interactions = pa.table(
        {
            "customer": 100 + rng.integers(0, users, baskets)[basket],
            "product": pa.array([f"p{i:02}" for i in rng.zipf(1.3, lines) % items]).dictionary_encode(),
            "basket": basket,
            "when": start[basket] + rng.integers(0, 2, lines) * rng.integers(0, 300, lines),
            "store": _choice(rng, ["north", "south", None], lines),
            "price": rng.random(lines),
            "amount": pa.array(rng.random(lines), mask=rng.random(lines) < 0.2),
            "cheap": pa.array(rng.random(lines) < 0.5, mask=rng.random(lines) < 0.2),
            "returns": rng.random(lines) < 0.5,
            "payment": _choice(rng, ["card", "cash", None], lines),
        }
    )
    interactions = interactions.take(rng.permutation(lines))
    entities = {
        "user": pa.table({"id": 100 + rng.permutation(users), "town": _choice(rng, ["a", "b", None], users)}),
        "item": pa.table(
            {
                "id": [f"p{i:02}" for i in rng.permutation(items)],
                "text": [f"thing {i}" for i in range(items)],
                "family": [f"f{i % 7}" for i in range(items)],
                "weight": pa.array(rng.random(items), mask=rng.random(items) < 0.3),
                "shelf": _choice(rng, ["top", "low"], items),
            }
        ),
    }
    return Dataset(interactions, entities, SCHEMA)


@pytest.fixture
def make_shop():
    """`make_shop(seed=0, users=12, items=20, baskets=150, days=100)` makes a data set; times are seconds from 0 on."""
    return _shop


@pytest.fixture
def shop(make_shop):
    """The shop of seed 0."""
    return make_shop()
