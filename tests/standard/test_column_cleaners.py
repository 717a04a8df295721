import re
import unicodedata
from datetime import timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtkit.data.cleaners import unreadable
from mtkit.data.cleaning import cleaned
from mtkit.data.columns import load
from mtkit.errors import DataError, DeclarationError
from mtkit.schema import Column, Schema
from mtkit.spec import Cleaned
from mtkit.standard.column_cleaners import CanonicalIds, Clip, Join, JoinEntity, Sessions, ToNull
from mtkit.standard.sources import Files
from mtkit.testing import check_cleaner, check_spec, sample_data
from mtkit.types import Dataset

START = 1_704_067_200
SCHEMA = Schema(
    interactions={
        "user": Column(kind="id", entity="user"),
        "item": Column(kind="id", entity="item"),
        "time": Column(kind="time"),
        "place": Column(kind="categorical"),
        "price": Column(kind="numeric"),
        "liked": Column(kind="label"),
        "cheap": Column(kind="label", sources=("price",)),
    },
    entities={"user": {}, "item": {"color": Column(kind="categorical"), "good": Column(kind="label", classes=True)}},
)


def dataset(**columns):
    count = len(next(iter(columns.values())))
    rows = {
        "user": pa.array([1] * count, pa.int64()),
        "item": pa.array(["a"] * count, pa.string()),
        "time": pa.array(range(START, START + count), pa.int64()),
        "place": pa.array([None] * count, pa.string()),
        "price": pa.array([1.0] * count, pa.float64()),
        "liked": pa.array([1] * count, pa.int64()),
        "cheap": pa.array([0] * count, pa.int64()),
        **columns,
    }
    item = pa.table({"color": ["red", None], "good": ["x", "y"], "id": ["a", "b"]})
    return Dataset(pa.table(rows), {"user": pa.table({"id": [1]}), "item": item}, SCHEMA)


def done(cleaner, data):
    assert not list(cleaner.mistakes(data.schema))
    return cleaner.clean({"interactions": data.interactions, **data.entities}, data.schema)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 100)), min_size=1, max_size=40), st.integers(1, 30))
def test_sessions_are_those_of_plain_python(events, gap):
    users, moments = (list(values) for values in zip(*events, strict=True))
    data = dataset(user=pa.array(users, pa.int64()), time=pa.array([START + moment for moment in moments], pa.int64()))
    tables, note = done(Sessions(gap=timedelta(seconds=gap)), data)
    expected, last, number, begun = {}, {}, {}, 0
    for row in sorted(range(len(events)), key=lambda row: moments[row]):
        user, moment = events[row]
        if user not in last or moment - last[user] > gap:
            number[user], begun = begun, begun + 1
        last[user], expected[row] = moment, number[user]
    assert tables["interactions"]["session"].to_pylist() == [expected[row] for row in range(len(events))]
    assert f"in {begun} session" in note


IDS = st.text(st.sampled_from(" aAbßﬁé\u0301\u00a0"), max_size=4)


@settings(max_examples=30)
@given(st.lists(IDS, min_size=1, max_size=20))
def test_canonical_ids_are_those_of_plain_python(ids):
    data = dataset(item=pa.array(ids, pa.string()))
    tables, note = done(CanonicalIds(entities=("item",)), data)
    expected = [unicodedata.normalize("NFKC", text.strip()).casefold() or None for text in ids]
    assert tables["interactions"]["item"].to_pylist() == expected
    assert tables["item"]["id"].to_pylist() == ["a", "b"]
    assert f"{len({*ids, 'a', 'b'})} ids of item are {len({*expected, 'a', 'b'} - {None})}," in note


def test_ids_meet_in_one_form_in_all_tables_and_integers_stay(tmp_path):
    (tmp_path / "rows.csv").write_text("user,item\n1,A1 \n2,a1\n3,b\n4, \n")
    (tmp_path / "items.csv").write_text("id,color\nA1,red\nB,blue\n")
    source = Files(
        interactions=tmp_path / "rows.csv",
        entities={"item": tmp_path / "items.csv"},
        columns={"user": Column(kind="id", entity="user"), "item": Column(kind="id", entity="item")},
        entity_columns={"item": {"color": Column(kind="categorical")}},
    )
    data = load(Cleaned(source=source, by={"ids": CanonicalIds()}))
    assert data.interactions["item"].to_pylist() == ["a1", "a1", "b"]
    assert data.entities["item"].to_pydict() == {"color": ["red", "blue"], "id": ["a1", "b"]}
    assert data.entities["user"].to_pydict() == {"id": ["1", "2", "3"]}, "the row without an item is left out"
    assert data.left_out == {"without a value in 'item'": 1}
    integers = pa.array([3, 4], pa.int64())
    assert done(CanonicalIds(), dataset(user=integers))[0]["interactions"]["user"].to_pylist() == [3, 4]


NUMBERS = st.lists(st.one_of(st.none(), st.integers(-5, 5), st.floats(-5, 5)), min_size=1, max_size=20)


@settings(max_examples=30)
@given(NUMBERS, st.sampled_from([(None, 2.5), (-1, None), (-1.5, 1)]), st.booleans())
def test_bounds_are_those_of_plain_python(values, bounds, null):
    low, high = bounds
    cleaner = Clip(columns=("price",), at_least=low, at_most=high, outside="null" if null else "clip")
    tables, note = done(cleaner, dataset(price=pa.array(values, pa.float64())))

    def within(value):
        bound = low if low is not None and value < low else high if high is not None and value > high else value
        return None if null and bound != value else bound

    expected = [None if value is None else within(value) for value in values]
    assert tables["interactions"]["price"].to_pylist() == expected
    changed = sum(value is not None and value != new for value, new in zip(values, expected, strict=True))
    assert f": {changed} value" in note


def test_integers_stay_integers_where_bounds_are():
    prices = pa.array([-3, 2, None], pa.int64())
    tables, _ = done(Clip(columns=("price",), at_least=0), dataset(price=prices))
    assert tables["interactions"]["price"].to_pylist() == [0, 2, None]
    assert pa.types.is_integer(tables["interactions"]["price"].type)
    tables, _ = done(Clip(columns=("price",), at_most=1.5), dataset(price=prices))
    assert tables["interactions"]["price"].to_pylist() == [-3, 1.5, None]


def test_values_that_stand_for_none_are_missing():
    data = dataset(price=pa.array([-1.0, 2, None], pa.float64()), place=pa.array(["-", "-1", "x"]))
    tables, note = done(ToNull(columns=("price", "place"), values=(-1, "-")), data)
    assert tables["interactions"]["price"].to_pylist() == [None, 2, None]
    assert tables["interactions"]["place"].to_pylist() == [None, None, "x"]
    assert note == "-1 or '-', and missing now: 1 value of price, 2 values of place"


def test_texts_in_columns_of_numbers_and_times_are_missing_as_they_are_read(tmp_path):
    (tmp_path / "rows.csv").write_text(
        "user,item,time,price\n1,a,2024-01-01,?\n2,b,never,3\n1,b,2024-01-03,-9\n-,b,2024-01-04,1\n"
    )
    source = Files(
        interactions=tmp_path / "rows.csv",
        columns={name: SCHEMA.interactions[name] for name in ("user", "item", "time", "price")},
    )
    with pytest.raises(DataError, match="is declared numeric"):
        load(source)
    by = {
        "prices": ToNull(columns=("price",), values=("?", -9)),
        "times": ToNull(columns=("time",), values=("never",)),
        "users": ToNull(columns=("user",), values=("-",)),
    }
    data = load(Cleaned(source=source, by=by))
    assert data.interactions["price"].to_pylist() == [None, None]
    assert data.interactions["user"].to_pylist() == ["1", "1"]
    assert data.entities["user"].to_pydict() == {"id": ["1"]}
    assert data.left_out == {"without a time in 'time'": 1, "without a value in 'user'": 1}
    assert "rows.csv, column 'price': 1 value is read as missing, '?'" in data.notes
    assert "clean.prices: '?' or -9, and missing now: 1 value of price" in data.notes
    assert "clean.times: 'never', and missing now: 0 values, as all were missing when they were read" in data.notes


def test_what_numbers_cannot_be_is_read_as_missing_and_nothing_else():
    cleaner = ToNull(columns=("price", "place", "time"), values=("-", "-1", -1))
    found = unreadable(SCHEMA, {"a": cleaner, "b": cleaner})
    assert found == {("interactions", "price"): ("-", "-"), ("interactions", "time"): ("-", "-1", "-1") * 2}


@pytest.fixture
def side(tmp_path):
    path = tmp_path / "side.csv"
    path.write_text("sku;brand;size\na;X;1.5\nc;Y;\n")
    return path


def test_columns_of_a_file(side):
    cleaner = Join(
        file=side, key="sku", on="item", columns={"brand": Column(kind="categorical"), "size": Column(kind="numeric")}
    )
    tables, note = done(cleaner, dataset(item=pa.array(["a", "b", "c", "a"])))
    assert tables["interactions"]["brand"].to_pylist() == ["X", None, "Y", "X"]
    assert tables["interactions"]["size"].to_pylist() == [1.5, None, None, 1.5]
    assert note == "joined brand, size to interactions; 1 of 4 rows have no match"
    to_items = Join(file=side, key="sku", table="item", columns={"brand": Column(kind="categorical")})
    assert done(to_items, dataset(item=pa.array(["a"])))[0]["item"]["brand"].to_pylist() == ["X", None]
    assert to_items.declares(SCHEMA).entities["item"]["brand"].kind == "categorical"


def test_a_file_whose_keys_are_numbers_and_notes_of_how_it_is_read(tmp_path):
    path = tmp_path / "users.csv"
    path.write_text("id,born\n1,1704067200\n2,1704067200\n")
    cleaner = Join(file=path, table="user", columns={"born": Column(kind="time")})
    tables, note = done(cleaner, dataset(user=pa.array([1], pa.int64())))
    assert tables["user"]["born"].to_pylist() == [START]
    assert note.endswith("users.csv, column 'born': read as seconds since 1970-01-01 UTC")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sku;brand\na;X\na;Y\n", "side.csv, column 'sku', row 2: 'a' is in row 1 already"),
        ("sku;brnd\na;X\n", "brand"),
    ],
)
def test_files_that_cannot_be_joined(side, text, message):
    side.write_text(text)
    cleaner = Join(file=side, key="sku", on="item", columns={"brand": Column(kind="categorical")})
    with pytest.raises(DataError, match=message):
        done(cleaner, dataset(item=pa.array(["a"])))


def test_what_is_joined_by_what_a_label_follows_from_cannot_be_a_feature(side):
    columns = {
        **SCHEMA.interactions,
        "place": Column(kind="categorical"),
        "far": Column(kind="label", sources=("place",)),
    }
    schema = Schema(interactions=columns, entities=SCHEMA.entities)
    cleaner = Join(file=side, key="sku", on="place", columns={"brand": Column(kind="categorical")})
    assert "context.brand" not in cleaner.declares(schema).features()
    assert cleaner.declares(schema).interactions["far"].sources == ("place", "brand")


def test_columns_of_an_entity():
    tables, note = done(
        JoinEntity(role="item", columns={"item_color": "color"}), dataset(item=pa.array(["a", "b", "z"]))
    )
    assert tables["interactions"]["item_color"].to_pylist() == ["red", None, None]
    assert note == "joined item_color of item; 1 of 3 interactions have no match"
    repeated = dataset(item=pa.array(["a"]))
    repeated = Dataset(
        repeated.interactions,
        {**repeated.entities, "item": pa.table({"color": ["r", "g"], "good": ["x"] * 2, "id": ["a"] * 2})},
        SCHEMA,
    )
    with pytest.raises(DataError, match="1 row repeat ids of others, so which is meant is not clear"):
        done(JoinEntity(role="item", columns={"item_color": "color"}), repeated)


@pytest.mark.parametrize(
    ("cleaner", "path", "message"),
    [
        (Sessions(gap=timedelta(minutes=5), name="price"), ("name",), "interactions has a column 'price' already"),
        (CanonicalIds(entities=("itm",)), ("entities", 0), "there is no entity 'itm'; did you mean 'item'"),
        (
            Clip(columns=("prce",), at_least=0),
            ("columns", 0),
            "'prce' is no column of interactions; did you mean 'price'",
        ),
        (
            Clip(columns=("place",), at_least=0),
            ("columns", 0),
            "'place' is declared as categorical; expected numeric or label",
        ),
        (Clip(table="item", columns=("good",), at_least=0), ("columns", 0), "'good' is a label of classes"),
        (ToNull(table="itm", columns=("a",), values=(1,)), ("table",), "there is no table 'itm'"),
        (JoinEntity(role="itm", columns={"a": "b"}), ("role",), "interactions have no role 'itm'; did you mean 'item'"),
        (
            JoinEntity(role="item", columns={"a": "colour"}),
            ("columns", "a"),
            "'colour' is no column of item; did you mean 'color'",
        ),
        (JoinEntity(role="item", columns={"a": "good"}), ("columns", "a"), "'good' is declared as label; expected"),
        (
            JoinEntity(role="item", columns={"price": "color"}),
            ("columns", "price"),
            "interactions has a column 'price' already",
        ),
        (Join(file="x.csv", columns={"a": Column(kind="numeric")}), ("on",), "'' is no column of interactions"),
        (
            Join(file="x.csv", on="price", columns={"a": Column(kind="numeric")}),
            ("on",),
            "'price' is declared as numeric; expected id or",
        ),
        (
            Join(file="x.csv", on="item", columns={"a": Column(kind="id")}),
            ("columns", "a"),
            "'a' is declared as id; expected",
        ),
        (
            Join(file="x.csv", on="item", columns={"a": Column(kind="time")}),
            ("columns", "a"),
            "interactions have one time, their own",
        ),
        (
            Join(file="x.csv", on="item", columns={"a-b": Column(kind="text")}),
            ("columns", "a-b"),
            "letters, digits and underscores",
        ),
    ],
    ids=lambda value: "" if isinstance(value, tuple) else None,
)
def test_what_does_not_fit_is_said(cleaner, path, message):
    (found,) = cleaner.mistakes(SCHEMA)
    assert found[0] == path
    assert re.search(message, found[1])


def test_sessions_need_times_and_no_groups():
    schema = sample_data().schema
    assert [message for _, message in Sessions(gap=timedelta(hours=1)).mistakes(schema)] == [
        "interactions are in groups already, by 'basket'; declare that column categorical, or leave it out"
    ]
    untimed = Schema(interactions={"user": Column(kind="id", entity="user")}, entities={"user": {}})
    ((_, message),) = Sessions(gap=timedelta(hours=1)).mistakes(untimed)
    assert message.startswith("sessions are of who acts, by time")


def test_bounds_that_are_none():
    with pytest.raises(DeclarationError, match="there is no bound"):
        Clip(columns=("price",))
    with pytest.raises(DeclarationError, match="at_least = 3 is above at_most = 1"):
        Clip(columns=("price",), at_least=3, at_most=1)


def ungrouped():
    data = sample_data()
    columns = {name: column for name, column in data.schema.interactions.items() if name != "basket"}
    return Dataset(data.interactions, data.entities, Schema(interactions=columns, entities=data.schema.entities))


@pytest.mark.parametrize(
    ("cleaner", "data"),
    [
        (Sessions(gap=timedelta(days=1)), ungrouped()),
        (CanonicalIds(), None),
        (Clip(columns=("hour",), at_most=12, outside="null"), None),
        (ToNull(table="item", columns=("category", "weight"), values=("c1", 0)), None),
        (JoinEntity(role="item", columns={"item_category": "category", "item_title": "title"}), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_conformance(cleaner, data):
    from datetime import date

    check_spec(cleaner)
    check_cleaner(cleaner, data, date(1970, 3, 1))


def test_a_joined_file_conforms(side):
    side.write_text("sku;brand\n1;X\n3;Y\n")
    check_cleaner(Join(file=side, key="sku", on="item", columns={"brand": Column(kind="categorical")}))


def test_reading_twice_changes_nothing():
    data = cleaned(dataset(price=pa.array([1.0, None])))
    assert cleaned(data).interactions.equals(data.interactions)
