from dataclasses import replace
from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from mtkit.data.cleaners import applied, late
from mtkit.data.cleaning import cleaned
from mtkit.errors import DataError
from mtkit.schema import Column, Schema
from mtkit.spec import Cleaner, Cut
from mtkit.standard.row_cleaners import Drop, Duplicates, KCore, Keep
from mtkit.types import Dataset

SCHEMA = Schema(
    interactions={
        "user": Column(kind="id", entity="user"),
        "item": Column(kind="id", entity="item"),
        "event": Column(kind="categorical"),
        "count": Column(kind="weight"),
    },
    entities={"user": {}, "item": {"color": Column(kind="categorical")}},
)
BUYS, ONCE = Keep.model_validate({"where": {"event": "buy"}}), Duplicates(by=("user", "item"))


def dataset():
    rows = pa.table(
        {
            "user": pa.array([1, 1, 2, 3], pa.int64()),
            "item": ["a", "a", "b", "b"],
            "event": ["view", "buy", "buy", "view"],
            "count": [1.0, 1.0, 2.0, 1.0],
        }
    )
    items = pa.table({"color": ["red", "blue"], "id": ["a", "b"]})
    return cleaned(Dataset(rows, {"item": items}, SCHEMA), repeated=True)


class Broken(Cleaner):
    """Sets columns of a table to null."""

    table: str
    column: str

    def clean(self, tables, schema):
        values = pa.nulls(len(tables[self.table]), tables[self.table][self.column].type)
        at = tables[self.table].column_names.index(self.column)
        return {self.table: tables[self.table].set_column(at, self.column, values)}, "set all to null"


class Brighter(Cleaner):
    """Gives users a color, and interactions a column that it does not declare."""

    def declares(self, schema):
        return schema.model_copy(
            update={"entities": {**schema.entities, "user": {"color": Column(kind="categorical")}}}
        )

    def clean(self, tables, schema):
        users, rows = tables["user"], tables["interactions"]
        colors = pa.array(["red"] * len(users))
        return {
            "user": users.append_column("color", colors),
            "interactions": rows.append_column("extra", rows["event"]),
        }, f"{len(users)} users are red"


def test_each_sees_what_those_before_left():
    one = applied(dataset(), {"buys": BUYS, "once": ONCE})
    assert one.interactions["user"].to_pylist() == [1, 2]
    other = applied(dataset(), {"once": ONCE, "buys": BUYS})
    assert other.interactions["user"].to_pylist() == [2], "the first of user 1 and item a is a view"


def test_what_is_changed_is_noted_and_counted():
    data = replace(dataset(), notes=("before",), left_out={"without a time": 3})
    found = applied(data, {"buys": BUYS, "once": ONCE})
    assert found.notes == (
        "before",
        "clean.buys: left out 2 of 4 rows of interactions",
        "clean.once: 0 of 2 rows repeat others by user, item; the first is kept",
    )
    assert found.left_out == {"without a time": 3, "by clean.buys": 2}


def test_entities_without_a_table_follow_the_interactions():
    data = dataset()
    found = applied(data, {"buys": BUYS}, made=["user"])
    assert found.entities["user"].to_pydict() == {"id": [1, 2]}
    assert found.entities["item"].equals(data.entities["item"])
    assert applied(data, {"buys": BUYS}).entities["user"].to_pydict() == {"id": [1, 2, 3]}, "that of a file stays"


def test_a_table_that_gets_columns_is_one_from_then_on():
    found = applied(dataset(), {"bright": Brighter(), "buys": BUYS}, made=["user"])
    assert found.entities["user"].to_pydict() == {"color": ["red"] * 3, "id": [1, 2, 3]}
    assert found.schema.entities["user"] == {"color": Column(kind="categorical")}
    assert found.interactions.column_names == [*SCHEMA.interactions], "what is not declared is not there"


def test_interactions_without_an_id_are_left_out():
    none = {"broken": Broken(table="interactions", column="item")}
    with pytest.raises(DataError, match=r"clean\.broken: none of 4 interactions are left; set all to null"):
        applied(dataset(), none)


def test_rows_of_entities_without_an_id_are_left_out():
    found = applied(dataset(), {"broken": Broken(table="item", column="id")})
    assert found.notes[-1] == "clean.broken: set all to null; 2 rows without an id are left out"
    assert not len(found.entities["item"])


def test_weights_cannot_be_missing():
    with pytest.raises(
        DataError, match=r"clean\.broken: interactions.count is declared as weight, and 4 rows would be without"
    ):
        applied(dataset(), {"broken": Broken(table="interactions", column="count")})


def test_nothing_is_left():
    with pytest.raises(
        DataError, match=r"clean\.all: none of 4 interactions are left; left out 4 of 4 rows of interactions"
    ):
        applied(dataset(), {"all": Drop.model_validate({"where": {"event": {"null": False}}})})


def test_mistakes_in_the_data_name_the_cleaner():
    class Refusing(Cleaner):
        """Refuses."""

        def clean(self, tables, schema):
            raise DataError("values are odd")

    with pytest.raises(DataError, match=r"clean\.odd: values are odd"):
        applied(dataset(), {"odd": Refusing()})


def test_days_that_come_after_validation_begins_are_noted():
    cleaners = {"buys": BUYS, "core": KCore(before=date(1970, 1, 3)), "early": KCore(before=date(1970, 1, 2))}
    (note,) = late(cleaners, Cut("valid", 86_400, 2 * 86_400))
    assert note.startswith("clean.core: looks at rows before 1970-01-03, and validation begins on 1970-01-02")
    assert not late(cleaners, Cut("valid", 0, 9, clock=np.zeros(3))), "on a clock of users' own days say nothing"
