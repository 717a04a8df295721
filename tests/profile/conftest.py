"""A clean log, into which tests plant faults, and what a check finds in it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mtkit import compose
from mtkit.profile import survey
from mtkit.profile.findings import look
from mtkit.schema import INTERACTIONS, Column, Schema
from mtkit.spec import DataSource
from mtkit.standard.encoders import Features
from mtkit.standard.heads import UserPreference
from mtkit.standard.rows import Interactions
from mtkit.standard.splits import TimeShares
from mtkit.types import Dataset

START, DAYS, DAY = 1_700_000_000, 200, 86400
ROWS, USERS, ITEMS = 6000, 300, 200
SCHEMA = Schema(
    interactions={
        "user": Column(kind="id", entity="user"),
        "item": Column(kind="id", entity="item"),
        "time": Column(kind="time"),
        "channel": Column(kind="categorical"),
        "region": Column(kind="categorical"),
        "price": Column(kind="numeric"),
        "quantity": Column(kind="numeric"),
        "comment": Column(kind="text"),
        "click": Column(kind="label"),
        "grade": Column(kind="label"),
    },
    entities={
        "user": {"town": Column(kind="categorical"), "age": Column(kind="numeric")},
        "item": {
            "title": Column(kind="text"),
            "brand": Column(kind="categorical"),
            "tags": Column(kind="list", length=4),
            "weight": Column(kind="numeric"),
        },
    },
)


class Given(DataSource):
    """Tables that are there."""

    data: Any

    def schema(self):
        return self.data.schema

    def load(self):
        return self.data


def _clean():
    """A log without faults: everyone comes several times, all is in order of time, and nothing is there twice."""
    rng = np.random.default_rng(0)
    user = rng.permutation(np.arange(ROWS) % USERS)
    item = rng.permutation(np.arange(ROWS) % ITEMS)
    price = rng.gamma(4, 5, ROWS).round(2)
    interactions = pa.table(
        {
            "user": [f"u{u:03}" for u in user],
            "item": [f"i{i:03}" for i in item],
            "time": START + np.sort(rng.choice(DAYS * DAY, ROWS, replace=False)),
            "channel": rng.choice(["web", "app", "store", "phone"], ROWS),
            "region": [f"r{r:02}" for r in rng.integers(0, 30, ROWS)],
            "price": price,
            "quantity": rng.integers(1, 6, ROWS),
            "comment": [f"a remark of {n} words, number {n * 7 % 1000}" for n in range(ROWS)],
            "click": (rng.random(ROWS) < 0.2 + 0.2 * (price > 20)).astype(int),
            "grade": rng.integers(1, 6, ROWS),
        }
    )
    entities = {
        "user": pa.table(
            {
                "id": [f"u{u:03}" for u in range(USERS)],
                "town": rng.choice([f"town {t}" for t in range(8)], USERS),
                "age": rng.integers(18, 80, USERS),
            }
        ),
        "item": pa.table(
            {
                "id": [f"i{i:03}" for i in range(ITEMS)],
                "title": [f"thing number {i}" for i in range(ITEMS)],
                "brand": rng.choice([f"brand {b}" for b in range(10)], ITEMS),
                "tags": [[f"t{t}" for t in rng.choice(12, 3, replace=False)] for _ in range(ITEMS)],
                "weight": rng.normal(10, 2, ITEMS).round(3),
            }
        ),
    }
    return Dataset(interactions, entities, SCHEMA)


def _with(data, place, values, declared=None):
    """The data with another column: a list, or a function of the one that is there; `declared` if it is new."""
    table, name = place.split(".")
    old = data.interactions if table == INTERACTIONS else data.entities[table]
    new = values(old[name].to_pylist() if name in old.column_names else old) if callable(values) else values
    changed = old.drop_columns([name]) if name in old.column_names else old
    changed = changed.append_column(name, [pa.array(new)])
    schema = data.schema
    if declared is not None and table == INTERACTIONS:
        schema = schema.model_copy(update={"interactions": {**schema.interactions, name: declared}})
    if table == INTERACTIONS:
        return replace(data, interactions=changed, schema=schema)
    return replace(data, entities={**data.entities, table: changed}, schema=schema)


READS = (
    "user.id", "item.id", "user.town", "user.age", "item.brand", "item.weight", "context.channel", "context.region",
    "context.price", "context.quantity",
)  # fmt: skip


@pytest.fixture(scope="session")
def clean():
    """A log without faults."""
    return _clean()


@pytest.fixture(scope="session")
def with_column():
    """`with_column(data, "table.column", values)` has another column."""
    return _with


@pytest.fixture(scope="session")
def recipe_of():
    """`recipe_of(data, reads=..., **sections)` makes a recipe that predicts `click`."""

    def make(data, reads=READS, **sections):
        return compose(
            data=Given(data=data),
            split=TimeShares(),
            rows={"lines": Interactions(batch_size=8)},
            encoder={"all": Features(reads=reads, dim=4)},
            task={"task": UserPreference(rows="lines", inputs=["all"], label="click")},
            **sections,
        )

    return make


@pytest.fixture(scope="session")
def found(recipe_of):
    """`found(code, data)`: what a check finds, with a recipe."""

    def find(code, data, recipe=None):
        view = survey._view(data, recipe or recipe_of(data))
        return list(look(view, code))

    return find
