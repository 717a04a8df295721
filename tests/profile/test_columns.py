"""Faults of columns, planted into a clean log."""

import numpy as np
import pytest

from mtkit.schema import Column

ROWS = 6000
NUMERIC, CATEGORICAL = Column(kind="numeric"), Column(kind="categorical")


def test_clean_columns(clean, found):
    assert [str(one) for code in range(16, 27) for one in found(f"P{code:03}", clean)] == []


@pytest.mark.parametrize(("place", "value"), [("interactions.channel", "web"), ("item.weight", 2.5)])
def test_one_value(clean, with_column, found, place, value):
    data = with_column(clean, place, lambda values: [value] * len(values))
    assert [(one.where, one.examples) for one in found("P016", data)] == [(place, (repr(value),))]


def test_nearly_empty(clean, with_column, found):
    data = with_column(clean, "interactions.region", lambda regions: [" "] * 5000 + [None] * 900 + regions[5900:])
    assert [(one.where, one.count, one.severity) for one in found("P017", data)] == [
        ("interactions.region", 5900, "note")
    ]
    data = with_column(clean, "item.tags", [[]] * 199 + [["t1"]])
    assert found("P017", data) == []  # lists may be empty
    data = with_column(clean, "interactions.price", lambda prices: [None] * len(prices))
    assert [(one.where, one.severity) for one in found("P017", data)] == [("interactions.price", "warning")]


def test_nearly_unique(clean, with_column, found):
    data = with_column(clean, "interactions.region", [f"r{row}" for row in range(ROWS)])
    assert [(one.where, one.count, one.severity) for one in found("P018", data)] == [
        ("interactions.region", ROWS, "warning")
    ]
    data = with_column(clean, "interactions.region", [f"r{row % 4000}" for row in range(ROWS)])
    assert [one.severity for one in found("P018", data)] == ["note"]


def test_far_numbers(clean, with_column, found):
    data = with_column(clean, "interactions.price", lambda prices: [9e6, -9e6, *prices[2:]])
    (far,) = found("P019", data)
    assert (far.where, far.count, far.examples) == ("interactions.price", 2, ("-9e+06", "9e+06"))
    assert far.detail.startswith("quartiles 1")


@pytest.mark.parametrize(("value", "count"), [(-1, 50), (999, 5), (99999, 2)])
def test_numbers_for_no_number(clean, with_column, found, value, count):
    data = with_column(clean, "user.age", lambda ages: [value] * count + ages[count:])
    (no,) = found("P020", data)
    assert (no.where, no.count, no.examples) == ("user.age", count, (str(value),))


def test_large_numbers_are_no_placeholders(clean, with_column, found):
    for value in (99, 1000):
        data = with_column(clean, "user.age", lambda ages, value=value: [value] * 5 + ages[5:])
        assert found("P020", data) == [], value


def test_categories_of_one_row(clean, with_column, found):
    data = with_column(clean, "interactions.region", lambda regions: ["once", "too", *regions[2:]])
    (single,) = found("P021", data)
    assert (single.where, single.count, single.of) == ("interactions.region", 2, 32)


def test_words_among_numbers(clean, with_column, found):
    numbers = [str(row % 50) for row in range(ROWS)]
    assert found("P022", with_column(clean, "interactions.region", numbers)) == []
    numbers[:40] = ["many"] * 40
    (words,) = found("P022", with_column(clean, "interactions.region", numbers))
    assert (words.where, words.count, words.examples) == ("interactions.region", 40, ("'many' (40)",))
    codes = ["4B2" if row < 40 else f"{row % 900 + 100}" for row in range(ROWS)]
    assert found("P022", with_column(clean, "interactions.region", codes)) == []


@pytest.mark.parametrize(
    ("word", "severity"), [("NULL", "warning"), ("?", "warning"), ("n/a", "warning"), ("Unknown", "note")]
)
def test_values_for_no_value(clean, with_column, found, word, severity):
    data = with_column(clean, "interactions.channel", lambda channels: [word] * 30 + channels[30:])
    (placeholder,) = found("P023", data)
    assert (placeholder.where, placeholder.count, placeholder.severity) == ("interactions.channel", 30, severity)


def test_categories_alike(clean, with_column, found):
    data = with_column(clean, "interactions.channel", lambda values: ["Web ", *values[1:]])
    (alike,) = found("P024", data)
    assert (alike.where, alike.count, alike.of) == ("interactions.channel", 2, 5)


def test_same_columns(clean, with_column, found):
    prices, regions = (clean.interactions[name].to_pylist() for name in ("price", "region"))
    data = with_column(clean, "interactions.copy", prices, NUMERIC)
    assert [(one.where, one.detail, one.severity) for one in found("P025", data)] == [
        ("interactions.price", "as interactions.copy", "warning")
    ]
    data = with_column(clean, "interactions.area", [f"area {region}" for region in regions], CATEGORICAL)
    assert [(one.where, one.detail, one.severity) for one in found("P025", data)] == [
        ("interactions.region", "one by one as interactions.area", "note")
    ]
    data = with_column(
        clean, "interactions.area", [f"area {region}" for region in regions[:-1]] + ["area r99"], CATEGORICAL
    )
    assert found("P025", data) == []


@pytest.mark.parametrize("form", [int, str])
def test_row_numbers(clean, with_column, found, form):
    data = with_column(clean, "interactions.number", [form(row) for row in range(ROWS)], NUMERIC)
    assert [one.where for one in found("P026", data)] == ["interactions.number"]
    data = with_column(clean, "interactions.number", [form(row) for row in np.arange(ROWS) // 2], NUMERIC)
    assert found("P026", data) == []
