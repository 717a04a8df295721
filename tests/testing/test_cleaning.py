"""The kit has to be able to fail: each test gives it a cleaner with one defect."""

import itertools

import pyarrow as pa
import pytest

from mtkit.schema import Column
from mtkit.spec import Cleaner, with_columns
from mtkit.standard.row_cleaners import Duplicates, Keep
from mtkit.testing import check_cleaner

COUNTER = itertools.count()


class Sound(Cleaner):
    """Adds the length of titles."""

    def declares(self, schema):
        return with_columns(schema, "item", {"length": Column(kind="numeric")})

    def clean(self, tables, schema):
        items = tables["item"]
        lengths = pa.array([len(title) for title in items["title"].to_pylist()], pa.int64())
        return {"item": items.append_column("length", lengths)}, f"{len(items)} items have a length"


class Silent(Sound):
    """Does not say how much it did."""

    def clean(self, tables, schema):
        return super().clean(tables, schema)[0], "lengths"


class Restless(Sound):
    """Does something else each time."""

    def clean(self, tables, schema):
        items = tables["item"]
        numbers = pa.array([next(COUNTER)] * len(items), pa.int64())
        return {"item": items.append_column("length", numbers)}, f"{len(items)} items"


class Promising(Sound):
    """Does not make what it declares."""

    def clean(self, tables, schema):
        return {}, "0 items"


class Wrong(Sound):
    """Makes texts where it declares numbers."""

    def clean(self, tables, schema):
        items = tables["item"]
        return {"item": items.append_column("length", items["title"].cast(pa.string()))}, f"{len(items)} items"


class Straying(Sound):
    """Returns a table that nobody knows."""

    def clean(self, tables, schema):
        changed, note = super().clean(tables, schema)
        return {**changed, "shop": tables["item"]}, note


class Fickle(Sound):
    """Declares something else each time."""

    def declares(self, schema):
        return with_columns(schema, "item", {f"length{next(COUNTER)}": Column(kind="numeric")})


class Eager(Sound):
    """Cannot do without rows."""

    def clean(self, tables, schema):
        tables["item"]["title"][0]
        return super().clean(tables, schema)


def test_sound_cleaners():
    check_cleaner(Sound())
    check_cleaner(Duplicates(by=("user", "item")))


@pytest.mark.parametrize(
    ("cleaner", "message"),
    [
        (Silent(), "the note has no counts: 'lengths'"),
        (Restless(), "item differs when it is cleaned again"),
        (Promising(), "item lacks columns that are declared: length"),
        (Wrong(), "the tables do not fit what it declares: item.length: expected numbers"),
        (Straying(), "it returns a table 'shop' that the schema does not have"),
        (Fickle(), r"declares\(\) does not say the same twice"),
        (Keep.model_validate({"where": {"chanel": "web"}}), "it does not fit the data: .*did you mean 'channel'"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_cleaner_with_a_defect(cleaner, message):
    with pytest.raises(AssertionError, match=message):
        check_cleaner(cleaner)


def test_tables_without_rows():
    with pytest.raises(IndexError):
        check_cleaner(Eager())
