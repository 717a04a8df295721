import math
import re
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mtkit.errors import DataError
from mtkit.schema import Column, Schema
from mtkit.standard.derived_columns import Derive
from mtkit.testing import check_cleaner, check_spec
from mtkit.types import DAY, Dataset

SCHEMA = Schema(
    interactions={
        "user": Column(kind="id", entity="user"),
        "item": Column(kind="id", entity="item"),
        "time": Column(kind="time"),
        "url": Column(kind="text"),
        "city": Column(kind="categorical"),
        "price": Column(kind="numeric"),
        "paid": Column(kind="numeric"),
        "liked": Column(kind="label"),
        "cheap": Column(kind="label", sources=("price",)),
        "stars": Column(kind="label", classes=True),
    },
    entities={
        "user": {"signup": Column(kind="time"), "city": Column(kind="categorical"), "churned": Column(kind="label")},
        "item": {},
    },
)


def dataset(count=1, users=None, **columns):
    count = len(next(iter(columns.values()))) if columns else count
    rows = {
        "user": pa.array([1] * count, pa.int64()),
        "item": pa.array(["a"] * count),
        "time": pa.array([DAY] * count, pa.int64()),
        **{name: pa.array([None] * count, pa.string()) for name in ("url", "city", "stars")},
        **{name: pa.array([1.0] * count) for name in ("price", "paid", "liked", "cheap")},
        **columns,
    }
    users = users or {"signup": pa.array([0], pa.int64()), "city": ["x"], "churned": [0], "id": [1]}
    return Dataset(pa.table(rows), {"user": pa.table(users), "item": pa.table({"id": ["a"]})}, SCHEMA)


def derive(data, table="interactions", **column):
    """The values of one derived column."""
    cleaner = Derive.model_validate({"table": table, "columns": {"new": column}})
    assert not list(cleaner.mistakes(SCHEMA))
    tables, note = cleaner.clean({"interactions": data.interactions, **data.entities}, SCHEMA)
    values = tables[table]["new"].to_pylist()
    assert note == f"added new ({values.count(None)} missing) to {table}"
    return values


@settings(max_examples=20)
@given(
    st.lists(st.one_of(st.none(), st.integers(-(10**9), 2 * 10**9)), min_size=1, max_size=10),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]),
)
def test_parts_of_dates_are_those_of_plain_python(seconds, zone):
    data = dataset(time=pa.array(seconds, pa.int64()))
    parts = {
        "year": lambda at: at.year, "month": lambda at: at.month, "day": lambda at: at.day,
        "weekday": lambda at: at.weekday(), "hour": lambda at: at.hour,
    }  # fmt: skip
    moments = [None if s is None else datetime.fromtimestamp(s, UTC).astimezone(ZoneInfo(zone)) for s in seconds]
    for function, of in parts.items():
        expected = [None if at is None else of(at) for at in moments]
        assert derive(data, function=function, of="time", zone=zone) == expected
    day = [None if at is None else (at.hour * 3600 + at.minute * 60 + at.second) / DAY for at in moments]
    places = {
        "day": day,
        "week": [None if at is None else (at.weekday() + d) / 7 for at, d in zip(moments, day, strict=True)],
        "year": [
            None if at is None else (at.timetuple().tm_yday - 1 + d) / 365.25
            for at, d in zip(moments, day, strict=True)
        ],
    }
    for period, place in places.items():
        for function in ("sin", "cos"):
            expected = [
                None if p is None else pytest.approx(getattr(math, function)(2 * math.pi * p), abs=1e-9) for p in place
            ]
            assert derive(data, function=function, of="time", zone=zone, period=period) == expected


NUMBERS = st.one_of(st.none(), st.floats(-10, 10), st.just(0.0), st.just(1e38))


@settings(max_examples=30)
@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=10))
def test_numbers_are_those_of_plain_python(pairs):
    first, second = ([*values] for values in zip(*pairs, strict=True))
    data = dataset(price=pa.array(first, pa.float64()), paid=pa.array(second, pa.float64()))

    def expected(of, there):
        values = [of(a, b) if None not in (a, b) and there(a, b) else None for a, b in pairs]
        return [value if value is None or abs(value) <= 3.4028234e38 else None for value in values]

    assert derive(data, function="ratio", of=["price", "paid"]) == expected(lambda a, b: a / b, lambda _, b: b != 0)
    assert derive(data, function="difference", of=["price", "paid"]) == expected(lambda a, b: a - b, lambda *_: True)
    logs = [None if a is None or a <= -1 else pytest.approx(math.log1p(a)) for a in first]
    assert derive(data, function="log1p", of="price") == logs


def test_days_since_a_time_of_an_entity_up_to_the_own_time():
    users = {"signup": pa.array([0, None], pa.int64()), "city": ["x", "y"], "churned": [0, 1], "id": [1, 2]}
    data = dataset(users=users, user=pa.array([1, 2, 3]), time=pa.array([DAY, DAY, DAY]))
    assert derive(data, function="days_since", of="user.signup") == [1.0, None, None]
    assert derive(data, function="days_since", of=["time", "user.signup"]) == [-1.0, None, None]
    assert derive(data, "user", function="days_since", of=["signup", "signup"]) == [0.0, None]


def test_texts():
    data = dataset(url=pa.array(["shop/Käse?x=1", "other", "", None]), city=pa.array(["x", "y", None, "x"]))
    assert derive(data, function="text_length", of="url") == [13, 5, 0, None]
    assert derive(data, function="extract", of="url", pattern=r"^(?P<first>\w+)/") == ["shop", None, None, None]
    assert derive(data, function="extract", of="url", pattern=r"x=(?P<x>\d*)") == ["1", None, None, None]
    assert derive(data, function="equal", of=["city", "user.city"]) == [True, False, None, True]
    assert derive(dataset(user=pa.array([1, 2])), function="equal", of=["user", "price"]) == [True, False]


def test_columns_may_follow_from_those_before():
    columns = {"share": {"function": "ratio", "of": ["paid", "price"]}, "log": {"function": "log1p", "of": "share"}}
    cleaner = Derive.model_validate({"columns": columns})
    data = dataset(price=pa.array([2.0]), paid=pa.array([1.0]))
    tables, _ = cleaner.clean({"interactions": data.interactions, **data.entities}, SCHEMA)
    assert tables["interactions"]["log"].to_pylist() == [pytest.approx(math.log1p(0.5))]
    reverse = Derive.model_validate({"columns": dict(reversed(columns.items()))})
    assert [path for path, _ in reverse.mistakes(SCHEMA)] == [("columns", "log", "of")]


def test_what_follows_from_a_label_or_its_sources_is_no_feature():
    columns = {
        "log_price": {"function": "log1p", "of": "price"},
        "more": {"function": "log1p", "of": "log_price"},
        "log_liked": {"function": "log1p", "of": "liked"},
        "log_paid": {"function": "log1p", "of": "paid"},
    }
    schema = Derive.model_validate({"columns": columns}).declares(SCHEMA)
    assert schema.interactions["cheap"].sources == ("price", "log_price", "more")
    assert schema.interactions["liked"].sources == ("log_liked",)
    features = {address for address in schema.features() if address.scope == "context"}
    assert features == {"context.city", "context.log_paid", "context.paid"}


def test_an_entity_with_repeated_ids_is_not_looked_up():
    data = dataset(users={"signup": [0, 1], "city": ["x"] * 2, "churned": [0] * 2, "id": [1, 1]})
    with pytest.raises(DataError, match="1 row repeat ids of others"):
        derive(data, function="days_since", of="user.signup")


@pytest.mark.parametrize(
    ("column", "key", "message"),
    [
        ({"function": "hour", "of": "tme"}, "of", "'tme' is no column of interactions; did you mean 'time'"),
        ({"function": "hour", "of": "price"}, "of", "'price' is declared as numeric; expected time"),
        ({"function": "log1p", "of": "stars"}, "of", "'stars' is a label of classes, which are no numbers"),
        (
            {"function": "equal", "of": ["city", "user.churned"]},
            "of",
            "'churned' is a label of user, and cannot be a feature",
        ),
        ({"function": "equal", "of": ["city", "user.cty"]}, "of", "'cty' is no column of user; did you mean 'city'"),
        ({"function": "equal", "of": ["city", "usr.city"]}, "of", "'usr.city' is no column of interactions"),
        ({"function": "extract", "of": "url", "pattern": r"(\w+)"}, "pattern", "has groups without a name; write"),
        ({"function": "extract", "of": "url", "pattern": "(?P<a>"}, "pattern", "is no regular expression of RE2"),
        ({"function": "extract", "of": "url", "pattern": "a"}, "pattern", "expected one group"),
    ],
)
def test_what_does_not_fit_is_said(column, key, message):
    (found,) = Derive.model_validate({"columns": {"new": column}}).mistakes(SCHEMA)
    assert found[0] == ("columns", "new", key)
    assert re.search(message, found[1])


def test_names_that_are_taken_and_times_that_are_not_there():
    taken = Derive.model_validate({"columns": {"price": {"function": "hour", "of": "time"}}})
    assert [message for _, message in taken.mistakes(SCHEMA)] == [
        "interactions has a column 'price' already; give the new one another name"
    ]
    alone = Derive.model_validate({"table": "user", "columns": {"age": {"function": "days_since", "of": "signup"}}})
    assert [path for path, _ in alone.mistakes(SCHEMA)] == [("columns", "age", "of")]
    nowhere = Derive.model_validate({"table": "usr", "columns": {"age": {"function": "hour", "of": "signup"}}})
    assert [path for path, _ in nowhere.mistakes(SCHEMA)] == [("table",)]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"function": "ratio", "of": "a"}, r"ratio is of 2 columns, got 1: of = \['a'\]"),
        ({"function": "days_since", "of": []}, "days_since is of 1 or 2 columns, got 0"),
        ({"function": "hour", "of": "a", "pattern": "x"}, "pattern is no option of hour"),
        ({"function": "log1p", "of": "a", "zone": "Europe/Berlin"}, "zone is no option of log1p"),
        ({"function": "hour", "of": "a", "zone": "Berlin"}, "'Berlin' is no time zone; expected a name such as"),
        ({"function": "extract", "of": "a"}, "extract needs a `pattern`"),
    ],
)
def test_options_that_do_not_fit_their_function(column, message):
    with pytest.raises(ValidationError, match=message):
        Derive.model_validate({"columns": {"new": column}})


def test_conformance():
    columns = {
        "weekday": {"function": "weekday", "of": "time", "zone": "Europe/Berlin"},
        "late": {"function": "cos", "of": "time"},
        "heavy": {"function": "ratio", "of": ["hour", "item.weight"]},
        "kind": {"function": "extract", "of": "item.category", "pattern": r"c(?P<number>\d)"},
        "letters": {"function": "text_length", "of": "item.title"},
        "same": {"function": "equal", "of": ["channel", "user.town"]},
    }
    cleaner = Derive.model_validate({"columns": columns})
    check_spec(cleaner)
    check_cleaner(cleaner, as_of=date(1970, 3, 1))
