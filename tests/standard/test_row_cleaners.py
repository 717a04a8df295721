import re
from collections import Counter
from datetime import UTC, date, datetime

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtkit.data import row_cleaning
from mtkit.data.cleaners import applied
from mtkit.data.cleaning import cleaned
from mtkit.data.columns import load
from mtkit.errors import DataError
from mtkit.schema import Column, Schema
from mtkit.spec import Cleaned
from mtkit.standard.row_cleaners import Drop, Duplicates, KCore, Keep, OnePerEntity
from mtkit.standard.sources import Frames
from mtkit.testing import check_cleaner, check_spec
from mtkit.types import DAY, Dataset

START = 1_704_067_200  # 2024-01-01
CUT = date(2024, 1, 4)
SCHEMA = Schema(
    interactions={
        "user": Column(kind="id", entity="user"),
        "item": Column(kind="id", entity="item"),
        "time": Column(kind="time"),
        "event": Column(kind="categorical"),
        "price": Column(kind="numeric"),
    },
    entities={
        "user": {},
        "item": {"color": Column(kind="categorical"), "size": Column(kind="numeric"), "seen": Column(kind="time")},
    },
)
ROWS = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.integers(1, 4),
        st.integers(0, 6),
        st.sampled_from(["buy", "view", None]),
        st.sampled_from([1, 2, 3, None]),
    ),
    min_size=1,
    max_size=30,
)
ITEMS = st.lists(
    st.tuples(
        st.integers(1, 3), st.sampled_from(["a", "b", None]), st.sampled_from([1.0, 2.0, None]), st.integers(0, 6)
    ),
    min_size=1,
    max_size=20,
)


def dataset(rows, items=((1, None, None, 0),)):
    """Rows of (user, item, day, event, price), and of (item, color, size, day)."""
    user, item, day, event, price = zip(*rows, strict=True)
    ids, color, size, seen = zip(*items, strict=True)
    interactions = {
        "user": pa.array(user, pa.int64()),
        "item": pa.array(item, pa.int64()),
        "time": pa.array([START + d * DAY for d in day], pa.int64()),
        "event": pa.array(event, pa.string()),
        "price": pa.array(price, pa.int64()),
    }
    described = {
        "color": pa.array(color, pa.string()),
        "size": pa.array(size, pa.float64()),
        "seen": pa.array([START + d * DAY for d in seen], pa.int64()),
        "id": pa.array(ids, pa.int64()),
    }
    users = pa.table({"id": pa.array(sorted(set(user)), pa.int64())})
    return Dataset(pa.table(interactions), {"user": users, "item": pa.table(described)}, SCHEMA)


def done(cleaner, data):
    """The tables afterwards, as lists of rows, and the note."""
    assert not list(cleaner.mistakes(data.schema))
    changed, note = cleaner.clean({"interactions": data.interactions, **data.entities}, data.schema)
    return {name: table.to_pylist() for name, table in changed.items()}, note


def as_rows(table):
    return [(row["user"], row["item"], (row["time"] - START) // DAY, row["event"], row["price"]) for row in table]


@settings(max_examples=30)
@given(ROWS)
def test_keep_and_drop_divide_the_rows(rows):
    where = {"event": "buy", "price": {"at_least": 2}}
    kept, note = done(Keep.model_validate({"where": where}), dataset(rows))
    expected = [row for row in rows if row[3] == "buy" and row[4] is not None and row[4] >= 2]
    assert as_rows(kept["interactions"]) == expected
    assert note.startswith(f"left out {len(rows) - len(expected)} of {len(rows)} row")
    dropped, _ = done(Drop.model_validate({"where": where}), dataset(rows))
    assert as_rows(dropped["interactions"]) == [row for row in rows if row not in expected]


def test_rows_by_their_days():
    rows = [(1, 1, day, None, None) for day in range(5)]
    kept, _ = done(Keep(since=date(2024, 1, 2), until=CUT), dataset(rows))
    assert [row[2] for row in as_rows(kept["interactions"])] == [1, 2]


def test_with_an_item_go_its_interactions():
    data = dataset(
        [(1, 1, 0, None, None), (1, 2, 0, None, None), (1, 3, 0, None, None)], [(1, "a", 1, 0), (2, "b", 1, 0)]
    )
    tables, note = done(Drop.model_validate({"table": "item", "where": {"color": "a"}}), data)
    assert [row["id"] for row in tables["item"]] == [2]
    assert [row["item"] for row in tables["interactions"]] == [2, 3], (
        "an id that no row describes is not the cleaner's matter"
    )
    assert note == "left out 1 of 2 rows of item, and 1 interaction with what they are about"


@settings(max_examples=30)
@given(
    ROWS,
    st.sampled_from([("user", "item"), ("item",), ("user", "event"), ("item", "time")]),
    st.booleans(),
    st.booleans(),
)
def test_duplicates_are_those_of_plain_python(rows, by, last, divided):
    keep = "last" if last else "first"
    cleaner = Duplicates(by=by, keep=keep, sum=("price",), before=CUT if divided else None)
    found, _ = done(cleaner, dataset(rows))
    position = {"user": 0, "item": 1, "time": 2, "event": 3}
    groups = {}
    for number in sorted(range(len(rows)), key=lambda n: rows[n][2]):
        key = tuple(rows[number][position[name]] for name in by)
        groups.setdefault((key, divided and rows[number][2] < 3), []).append(number)
    expected = {}
    for group in groups.values():
        prices = [rows[n][4] for n in group if rows[n][4] is not None]
        expected[group[-1 if last else 0]] = sum(prices) if prices else None
    assert as_rows(found["interactions"]) == [(*rows[n][:4], expected[n]) for n in sorted(expected)]


def test_rows_that_are_the_same_in_all_are_duplicates():
    found, note = done(Duplicates(), dataset([(1, 1, 0, None, 1), (1, 1, 0, None, 1), (1, 1, 0, None, 2)]))
    assert len(found["interactions"]) == 2
    assert note == "1 of 3 rows repeat others by user, item, time, event, price; the first is kept"


def test_keys_of_many_columns_stay_within_int64(monkeypatch):
    rows = [(user, item, 0, None, None) for user in (1, 2, 3) for item in (1, 2, 3)] * 2
    monkeypatch.setattr(row_cleaning, "_MOST_KEYS", 4)
    found, _ = done(Duplicates(by=("item", "user", "event")), dataset(rows))
    assert as_rows(found["interactions"]) == rows[:9]


def slow_core(rows, least_user, least_item, counts):
    while True:
        users = Counter(row[0] for row in rows if counts(row))
        items = Counter(row[1] for row in rows if counts(row))
        left = [row for row in rows if users[row[0]] >= least_user and items[row[1]] >= least_item]
        if left == rows:
            return left
        rows = left


@settings(max_examples=30)
@given(ROWS, st.integers(1, 4), st.integers(1, 4), st.booleans())
def test_the_core_is_that_of_plain_python(rows, users, items, as_of):
    cleaner = KCore(k={"user": users, "item": items}, before=CUT if as_of else None)
    found, note = done(cleaner, dataset(rows))
    expected = slow_core(rows, users, items, lambda row: not as_of or row[2] < 3)
    assert as_rows(found["interactions"]) == expected
    assert f"left out {len(rows) - len(expected)} of {len(rows)}" in note


def test_one_number_is_for_all_roles():
    rows = [(1, 1, 0, None, None), (1, 1, 0, None, None), (2, 1, 0, None, None)]
    found, note = done(KCore(k=2), dataset(rows))
    assert len(found["interactions"]) == 2
    assert "at least 2 of each user and 2 of each item are left, counted over all, those to be evaluated too" in note


def slow_description(items, how, as_of):
    """Item -> (color, size): the way of one_per_entity with `mean` for sizes where `how` is that."""
    found = {}
    for item in dict.fromkeys(row[0] for row in items):
        own = [row for row in items if row[0] == item and (not as_of or row[3] < 3)]
        in_time = sorted(own, key=lambda row: row[3])
        described = []
        for column in (1, 2):
            values = [row[column] for row in (in_time if how == "latest" else own) if row[column] is not None]
            if not values:
                described.append(None)
            elif how == "latest":
                described.append(values[-1])
            elif how == "first":
                described.append(values[0])
            elif how == "mean" and column == 2:
                described.append(sum(values) / len(values))
            else:
                described.append(max(values, key=lambda value: (values.count(value), -values.index(value))))
        found[item] = tuple(described)
    return found


@settings(max_examples=30)
@given(ITEMS, st.sampled_from(["first", "latest", "most_frequent", "mean"]), st.booleans())
def test_descriptions_are_those_of_plain_python(items, how, as_of):
    data = dataset([(1, 1, 0, None, None)], items)
    found, note = done(OnePerEntity(entity="item", take=how, before=CUT if as_of else None), data)
    got = {row["id"]: (row["color"], row["size"]) for row in found["item"]}
    expected = slow_description(items, how, as_of)
    assert list(got) == list(expected)
    for item, (color, size) in expected.items():
        assert got[item][0] == color
        assert got[item][1] == (size if size is None else pytest.approx(size))
    assert note.startswith(f"item: {len(items)} row")


def test_columns_may_each_have_their_way():
    items = [(1, "a", 1.0, 5), (1, "b", 3.0, 0), (1, "b", None, 1)]
    cleaner = OnePerEntity(entity="item", columns={"color": "latest", "size": "mean"})
    found, _ = done(cleaner, dataset([(1, 1, 0, None, None)], items))
    assert [(row["color"], row["size"]) for row in found["item"]] == [("a", 2.0)]


@pytest.mark.parametrize(
    "cleaner",
    [KCore(k=2, before=CUT), Duplicates(by=("user", "item")), Duplicates(by=("user",), sum=("price",), before=CUT)],
    ids=repr,
)
@settings(max_examples=30)
@given(ROWS, st.randoms())
def test_a_shuffled_future_leaves_what_comes_before_as_it_is(cleaner, rows, random):
    late = [row for row in rows if row[2] >= 3]
    items = [row[1] for row in late]
    random.shuffle(items)
    other = [row for row in rows if row[2] < 3] + [
        (row[0], item, *row[2:]) for row, item in zip(late, items, strict=True)
    ]
    early = [
        [row for row in as_rows(done(cleaner, dataset(each))[0]["interactions"]) if row[2] < 3]
        for each in (sorted(rows, key=lambda row: row[2] >= 3), other)
    ]
    assert early[0] == early[1]


def test_the_last_duplicate_says_that_it_looks_ahead():
    _, note = done(Duplicates(by=("user",), keep="last"), dataset([(1, 1, 0, None, None)]))
    assert note.endswith("rows to be evaluated are compared with those that train")
    _, note = done(Duplicates(by=("user",), keep="last", before=CUT), dataset([(1, 1, 0, None, None)]))
    assert "evaluated" not in note


REPEATED = dataset(
    [(1, 1, 0, "buy", 1), (2, 2, 5, None, 2), (1, 2, 1, "buy", 1)] * 3, [(1, "a", 1.0, 0), (2, "b", None, 1)] * 2
)


@pytest.mark.parametrize(
    ("cleaner", "data"),
    [
        (Keep.model_validate({"where": {"channel": "web"}}), None),
        (Drop(until=date(1970, 1, 20)), None),
        (Duplicates(by=("user", "item")), None),
        (Duplicates(by=("user", "item"), keep="last", sum=("hour",), before=date(1970, 3, 1)), None),
        (KCore(k=3, before=date(1970, 3, 1)), None),
        (OnePerEntity(entity="item", take="mean", before=CUT), REPEATED),
    ],
    ids=lambda value: type(value).__name__,
)
def test_conformance(cleaner, data):
    check_spec(cleaner)
    check_cleaner(cleaner, data, date(1970, 3, 1) if data is None else CUT)


@pytest.mark.parametrize("cleaner", [KCore(k={"user": 30}), Duplicates(by=("user", "item"), keep="last")], ids=repr)
def test_what_looks_ahead_is_found(cleaner):
    with pytest.raises(
        AssertionError, match="interactions before 1970-03-01 are others when later ones are taken away"
    ):
        check_cleaner(cleaner, as_of=date(1970, 3, 1))


@pytest.mark.parametrize(
    ("cleaner", "path", "message"),
    [
        (
            Keep.model_validate({"where": {"evnt": "buy"}}),
            ("where",),
            "'evnt' is no column of the table interactions; .* did you mean 'event'",
        ),
        (
            Keep.model_validate({"where": {"price": "high"}}),
            ("where",),
            "'price' holds numbers, and is compared with 'high'",
        ),
        (
            Keep.model_validate({"table": "itm", "where": {"a": 1}}),
            ("table",),
            "there is no table 'itm'; did you mean 'item'",
        ),
        (Keep(), (), "which rows are meant is not said; give `where`, `since` or `until`"),
        (Drop(table="user", since=CUT), ("since",), "the table user has not one column of kind time"),
        (Duplicates(by=("usr",)), ("by", 0), "'usr' is no column of interactions; did you mean 'user'"),
        (Duplicates(by=("price",), sum=("price",)), ("sum", 0), "'price' is compared"),
        (
            Duplicates(sum=("event",)),
            ("sum", 0),
            "'event' is declared as categorical; expected numeric or label or weight",
        ),
        (KCore(k={"usr": 3}), ("k", "usr"), "interactions have no role 'usr'; did you mean 'user'"),
        (OnePerEntity(entity="itm"), ("entity",), "there is no entity 'itm'; did you mean 'item'"),
        (
            OnePerEntity(entity="item", columns={"colr": "first"}),
            ("columns", "colr"),
            "item has no column 'colr'; did you mean 'color'",
        ),
        (
            OnePerEntity(entity="item", columns={"color": "mean"}),
            ("columns", "color"),
            "'color' is declared as categorical; expected",
        ),
        (OnePerEntity(entity="user", take="latest"), ("take",), "the table user has not one column of kind time"),
        (OnePerEntity(entity="user", before=CUT), ("before",), "the table user has not one column of kind time"),
        (
            OnePerEntity(entity="item", time="color"),
            ("time",),
            "'color' is declared as categorical; expected time: did you mean|known: seen",
        ),
    ],
    ids=lambda value: "" if isinstance(value, tuple) else None,
)
def test_what_does_not_fit_is_said(cleaner, path, message):
    (found,) = cleaner.mistakes(SCHEMA)
    assert found[0] == path
    assert re.search(message, found[1])


def test_repeated_ids_name_what_makes_them_one():
    frames = {
        "interactions": pd.DataFrame({"user": [1, 2], "item": ["a", "b"]}),
        "entities": {"item": pd.DataFrame({"id": ["a", "a", "b"], "size": [1.0, 3.0, 5.0]})},
    }
    columns = {"user": Column(kind="id", entity="user"), "item": Column(kind="id", entity="item")}
    source = Frames(**frames, columns=columns, entity_columns={"item": {"size": Column(kind="numeric")}})
    advice = r'\[clean.NAME\] use = "one_per_entity", entity = "item"'
    with pytest.raises(DataError, match=advice):
        load(source)
    with pytest.raises(DataError, match=rf"item.id: 1 id occurs more than once, for example 'a'; .*{advice}"):
        load(Cleaned(source=source, by={"others": Duplicates()}))
    data = load(Cleaned(source=source, by={"one": OnePerEntity(entity="item", take="mean")}))
    assert data.entities["item"].to_pydict() == {"size": [2.0, 5.0], "id": ["a", "b"]}


def test_days_begin_at_midnight_of_utc():
    seconds = int(datetime(2024, 1, 4, tzinfo=UTC).timestamp())
    data = dataset([(1, 1, 0, None, None)])
    rows = data.interactions.set_column(2, "time", pa.array([seconds - 1]))
    assert applied(Dataset(rows, data.entities, SCHEMA), {"early": Keep(until=CUT)}).interactions.num_rows == 1


@pytest.mark.parametrize("weighted", [False, True])
def test_lists_are_values_like_others(weighted):
    schema = Schema(
        interactions={name: Column(kind="id", entity=name) for name in ("user", "item")},
        entities={"user": {}, "item": {"tags": Column(kind="list", separator="|", weighted=weighted)}},
    )
    items = pa.table({"tags": ["b|a", "a", "a|b", ""], "id": ["x", "x", "x", "y"]})
    rows = pa.table({"user": [1, 1], "item": ["x", "x"]})
    data = cleaned(Dataset(rows, {"item": items}, schema), repeated=True)
    found = applied(data, {"one": OnePerEntity(entity="item"), "once": Duplicates()})
    tags = found.entities["item"]["tags"].to_pylist()
    assert tags == [[{"value": "a", "weight": 1}, {"value": "b", "weight": 1}] if weighted else ["a", "b"], None]
    assert len(found.interactions) == 1
