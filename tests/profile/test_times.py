"""Faults of times, planted into a clean log."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from mtkit.profile.findings import look
from mtkit.profile.view import View

DAY, ROWS, START, DAYS = 86400, 6000, 1_700_000_000, 200


@pytest.fixture
def at(clean, with_column):
    """`at(function)`: the log at other times, of a function of those that it has."""

    def change(function):
        return with_column(clean, "interactions.time", function(clean.interactions["time"].to_numpy()))

    return change


def put(values, rows, times):
    values = values.copy()
    values[rows] = times
    return values


def test_clean_times(clean, found):
    assert [str(one) for code in range(33, 40) for one in found(f"P{code:03}", clean)] == []


def test_late_rows(at, found):
    (late,) = found("P033", at(lambda t: put(t, [100, 5000], [t[50], t[4000]])))
    assert (late.where, late.count, late.of) == ("interactions.time", 2, ROWS)
    assert [example.split("(")[1] for example in late.examples] == ["row 101)", "row 5,001)"]
    shuffled = np.random.default_rng(0).permutation(ROWS)
    assert found("P033", at(lambda t: t[shuffled])) == []


@pytest.mark.parametrize("form", [int, float, str])
def test_several_units(at, found, form):
    data = at(lambda t: [form(int(second) * (1000 if row % 10 else 1)) for row, second in enumerate(t)])
    (units,) = found("P034", data)
    assert (units.where, units.count, units.of) == ("interactions.time", 600, ROWS)
    assert all(example.isdigit() and len(example) == 10 for example in units.examples)
    assert found("P034", at(lambda t: [form(int(second) * 1000) for second in t])) == []


@pytest.mark.parametrize("second", [0, 3600, -2_208_988_800, 253_402_300_799])
def test_times_for_no_time(at, found, second):
    (no,) = found("P035", at(lambda t: put(t, [3, 4], second)))
    assert (no.where, no.count) == ("interactions.time", 2)
    assert no.examples[0] == datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M:%S (row 4)")


def test_a_log_of_1970_is_no_placeholder(at, found):
    assert found("P035", at(lambda t: t - START)) == []


def test_future_times(at):
    data = at(lambda t: put(t, [-1], START + 300 * DAY))
    view = View(data, data, now=START + DAYS * DAY)
    (later,) = look(view, "P036")
    assert (later.where, later.count) == ("interactions.time", 1)
    assert later.examples[0].startswith("time=2024-09-09 22:13:20 user=u")
    assert list(look(View(data, data, now=START + 300 * DAY), "P036")) == []


def test_gaps(at, found):
    (gap,) = found("P037", at(lambda t: np.where(t > START + 100 * DAY, t + 30 * DAY, t)))
    assert (gap.count, gap.unit, gap.severity) == (30, "days", "warning")
    assert gap.examples == ("2024-02-22 to 2024-03-23",)
    assert [one.severity for one in found("P037", at(lambda t: np.where(t > START + 100 * DAY, t + 5 * DAY, t)))] == [
        "note"
    ]


def test_few_rows_have_gaps_by_chance(clean, found):
    few = np.arange(0, ROWS, 100)
    assert found("P037", replace(clean, interactions=clean.interactions.take(few))) == []


def test_bursts(at, found):
    second, _ = found("P038", at(lambda t: put(t, np.arange(2000, 2400), t[2000])))
    assert (second.count, second.detail, second.severity) == (400, "in one second", "warning")
    day = START // DAY * DAY + 50 * DAY
    rush = at(lambda t: np.sort(put(t, np.arange(2000, 2600), day + np.arange(600))))
    assert [(one.detail, one.severity, one.examples[0][:10]) for one in found("P038", rush)] == [
        ("on single days", "note", "2024-01-03")
    ]


def test_dates_among_times(at, found):
    data = at(lambda t: np.where(np.arange(ROWS) % 20, t, t // DAY * DAY))
    (dates,) = found("P039", data)
    assert (dates.where, dates.count) == ("interactions.time", 300)
    assert found("P039", at(lambda t: t // DAY * DAY)) == []
    assert found("P039", at(lambda t: t // 3600 * 3600)) == []


def test_interactions_without_times(clean, found):
    interactions = {name: column for name, column in clean.schema.interactions.items() if name != "time"}
    schema = clean.schema.model_copy(update={"interactions": interactions})
    data = replace(clean, interactions=clean.interactions.drop_columns(["time"]), schema=schema)
    view = View(data, data, now=0)
    assert [one for code in range(33, 40) for one in look(view, f"P{code:03}")] == []


def test_times_that_all_lie_before_1980(at, found):
    (early,) = found("P034", at(lambda t: (t - START) // DAY * 1000 + 1))
    assert (early.count, early.detail) == (ROWS, "all lie before 1980")
