"""Faults of rows, planted into a clean log."""

from dataclasses import replace

import numpy as np
import pyarrow as pa

from mtkit.schema import Column, Schema
from mtkit.types import Dataset

ROWS = 6000


def test_clean_rows(clean, found):
    assert [str(one) for code in range(12, 16) for one in found(f"P{code:03}", clean)] == []


def test_repeated_rows(clean, found):
    data = replace(clean, interactions=pa.concat_tables([clean.interactions, clean.interactions.slice(0, 9)]))
    (twice,) = found("P012", data)
    assert (twice.where, twice.count, twice.of, twice.severity) == ("interactions", 9, ROWS + 9, "warning")
    first = clean.interactions.slice(0, 1).to_pylist()[0]
    assert twice.examples[0] == f"user={first['user']} item={first['item']} time=2023-11-14 23:52:19"
    few = replace(clean, interactions=pa.concat_tables([clean.interactions, clean.interactions.slice(0, 2)]))
    assert [one.severity for one in found("P012", few)] == ["note"]


def test_lines_of_a_basket_may_be_the_same(clean, with_column, found):
    data = with_column(clean, "interactions.basket", np.arange(ROWS) // 2, Column(kind="id"))
    data = replace(data, interactions=pa.concat_tables([data.interactions, data.interactions.slice(0, 90)]))
    assert [one.severity for one in found("P012", data)] == ["note"]


def test_rows_without_ids_may_be_the_same(recipe_of):
    schema = Schema(interactions={"a": Column(kind="numeric"), "click": Column(kind="label")}, entities={})
    data = Dataset(pa.table({"a": [1.0, 1.0, 2.0] * 50, "click": [0, 0, 1] * 50}), {}, schema)
    from mtkit.profile.survey import survey

    (twice,) = [one for one in survey(data, None).findings if one.code == "P012"]
    assert (twice.count, twice.severity, twice.examples[0]) == (148, "note", "a=1.0 click=0")


def test_repeated_keys(clean, with_column, found):
    again = clean.interactions.slice(0, 70)
    again = again.set_column(again.column_names.index("price"), "price", pa.array(np.full(70, 3.33)))
    data = replace(clean, interactions=pa.concat_tables([clean.interactions, again]))
    (versions,) = found("P013", data)
    assert (versions.count, versions.severity) == (70, "warning")
    assert found("P012", data) == []
    data = replace(clean, interactions=pa.concat_tables([clean.interactions, again.slice(0, 5)]))
    assert [one.severity for one in found("P013", data)] == ["note"]


def test_negative_values(clean, with_column, found):
    data = with_column(clean, "interactions.quantity", lambda values: [-1, -2, *values[2:]])
    (negative,) = found("P014", data)
    assert (negative.where, negative.count, negative.severity) == ("interactions.quantity", 2, "warning")
    assert negative.examples[0].startswith("quantity=-1 user=u")
    for name in ("UnitPrice", "total_paid"):
        some = with_column(
            clean, f"interactions.{name}", np.append(np.full(1500, -1.0), np.ones(4500)), Column(kind="numeric")
        )
        assert [(one.where, one.severity) for one in found("P014", some)] == [(f"interactions.{name}", "warning")]
    # Of a column of another name, a few are odd, and many are not.
    score = np.random.default_rng(1).gamma(2, 2, ROWS)
    odd, signed = score.copy(), score.copy()
    odd[:3], signed[: ROWS // 5] = (-1.5, -2.5, -3.5), -signed[: ROWS // 5]
    numeric = Column(kind="numeric")
    assert [one.severity for one in found("P014", with_column(clean, "interactions.score", odd, numeric))] == ["note"]
    assert found("P014", with_column(clean, "interactions.score", signed, numeric)) == []


def test_mirrored_rows(clean, with_column, found):
    back = clean.interactions.slice(100, 8)
    place = back.column_names.index("price")
    back = back.set_column(place, "price", pa.array(-back["price"].to_numpy()))
    data = replace(clean, interactions=pa.concat_tables([clean.interactions, back]))
    (mirrored,) = found("P015", data)
    assert (mirrored.where, mirrored.count) == ("interactions.price", 8)
    others = back.set_column(place, "price", pa.array(-np.arange(1000.0, 1008.0)))
    assert found("P015", replace(clean, interactions=pa.concat_tables([clean.interactions, others]))) == []
