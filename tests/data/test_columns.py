import numpy as np
import pyarrow as pa
import pytest

from mtkit.data.columns import check, layer_input, raw, seconds
from mtkit.errors import DataError
from mtkit.schema import Column
from mtkit.types import Dataset


def replaced(shop, table, column, values):
    tables = {"interactions": shop.interactions, **shop.entities}
    position = tables[table].column_names.index(column)
    tables[table] = tables[table].set_column(position, column, pa.chunked_array([pa.array(values)]))
    return Dataset(tables.pop("interactions"), tables, shop.schema)


def test_accepts_what_fits(shop):
    check(shop)


@pytest.mark.parametrize(
    ("table", "column", "value", "message"),
    [
        ("interactions", "when", None, r"interactions\.when: 1 nulls"),
        ("interactions", "basket", None, r"interactions\.basket: 1 nulls"),
        ("interactions", "price", "x", r"interactions\.price: expected numbers \(numeric\), got values of type string"),
        ("interactions", "cheap", "x", r"interactions\.cheap: expected numbers or booleans"),
        ("item", "id", None, r"item\.id: 1 null;"),
        ("item", "id", "", r"item\.id: '' stands for the unknown"),
        ("user", "id", -1, r"user\.id: -1 stands for the unknown"),
        ("user", "id", 101, r"user\.id: 1 id occurs more than once, for example 101"),
    ],
)
def test_names_table_column_and_value(shop, table, column, value, message):
    tables = {"interactions": shop.interactions, **shop.entities}
    values = tables[table][column].to_pylist()
    values = [value] * len(values) if value == "x" else [*values[:-1], value]
    if value == 101:
        values[0] = 101
    with pytest.raises(DataError, match=message):
        check(replaced(shop, table, column, values))


def test_missing_column_and_missing_table(shop):
    with pytest.raises(DataError, match=r"interactions\.price: declared, but the table has only customer, product"):
        check(Dataset(shop.interactions.drop_columns(["price"]), shop.entities, shop.schema))
    with pytest.raises(DataError, match="declares the entity 'item'"):
        check(Dataset(shop.interactions, {"user": shop.entities["user"]}, shop.schema))


def test_seconds_of_every_kind_of_time():
    moments = np.array(["2017-11-01T00:00:01", "1969-12-31T23:59:59"], dtype="datetime64[s]")
    expected = [1509494401, -1]
    for unit in ("s", "ms", "us", "ns"):
        column = pa.chunked_array([pa.array(moments.astype(f"datetime64[{unit}]"))])
        np.testing.assert_array_equal(seconds(column), expected)
        np.testing.assert_array_equal(seconds(column.cast(pa.timestamp(unit, tz="UTC"))), expected)
    np.testing.assert_array_equal(seconds(pa.chunked_array([pa.array(expected)])), expected)
    np.testing.assert_array_equal(seconds(pa.chunked_array([pa.array([1], pa.date32())])), [86400])


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (["b", None, "a"], "categorical", ["b", None, "a"]),
        ([3, None, 1], "categorical", ["3", None, "1"]),
        ([True, None], "categorical", ["true", None]),
        (pa.array(["b", None]).dictionary_encode(), "categorical", ["b", None]),
        (pa.nulls(2), "text", [None, None]),
    ],
)
def test_raw_strings(values, kind, expected):
    values = raw(pa.chunked_array([pa.array(values)]), Column(kind=kind))
    assert values.dtype == object
    assert values.tolist() == expected
    assert layer_input(values).tolist() == [value or "" for value in expected]


def test_raw_numbers_have_nan_where_null():
    for numbers in ([1, None, 3], [1.0, None, 3.0]):
        values = raw(pa.chunked_array([pa.array(numbers)]), Column(kind="numeric"))
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, [1, np.nan, 3])
        assert layer_input(values) is values
