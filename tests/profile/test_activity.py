"""Robots and what is too popular, planted into a clean log."""

from dataclasses import replace

import numpy as np
import pyarrow as pa

START, DAY, ROWS = 1_700_000_000, 86400, 6000


def more(data, users, items, times):
    """The data with further rows."""
    rows = data.interactions.take(np.arange(len(users)) % ROWS)
    for name, values in (("user", users), ("item", items), ("time", times)):
        rows = rows.set_column(rows.column_names.index(name), name, pa.array(values))
    return replace(data, interactions=pa.concat_tables([data.interactions, rows]))


def test_clean_activity(clean, found):
    assert [str(one) for code in range(40, 43) for one in found(f"P{code:03}", clean)] == []


def test_extreme_counts(clean, found):
    robot = more(clean, ["u001"] * 900, [f"i{n % 200:03}" for n in range(900)], START + np.arange(900) * 7)
    (extreme,) = found("P040", robot)
    assert (extreme.where, extreme.count, extreme.severity) == ("user ids", 920, "warning")
    assert extreme.examples == ("'u001' (920)",)
    catch_all = more(clean, [f"u{n % 300:03}" for n in range(900)], ["i001"] * 900, START + np.arange(900) * 7)
    assert [(one.where, one.severity) for one in found("P040", catch_all)] == [("item ids", "note")]


def test_fixed_intervals(clean, found):
    users = clean.interactions["user"].to_pylist()
    others = replace(clean, interactions=clean.interactions.filter(np.array([user != "u001" for user in users])))
    robot = more(others, ["u001"] * 60, [f"i{n:03}" for n in range(60)], START + np.arange(60) * 3600)
    (fixed,) = found("P041", robot)
    assert (fixed.where, fixed.count, fixed.examples) == ("user ids", 1, ("'u001' (59 intervals)",))
    person = START + np.cumsum(np.random.default_rng(0).integers(60, 7200, 60))
    assert found("P041", more(others, ["u001"] * 60, [f"i{n:03}" for n in range(60)], person)) == []


def test_users_of_days_are_no_robots(clean, with_column, found):
    data = with_column(clean, "interactions.time", START // DAY * DAY + np.arange(ROWS) // 300 * DAY)
    assert found("P041", data) == []


def test_concentration(clean, with_column, found):
    items = [f"i{n % 10}" if n % 3 else f"i{n % 2000}" for n in range(ROWS)]
    data = replace(with_column(clean, "interactions.item", items), entities={"user": clean.entities["user"]})
    schema = data.schema.model_copy(update={"entities": {"user": data.schema.entities["user"], "item": {}}})
    from mtkit.profile.survey import survey

    (top,) = [one for one in survey(replace(data, schema=schema), None).findings if one.code == "P042"]
    assert (top.where, top.severity) == ("item ids", "note")
    assert top.count > ROWS / 2
