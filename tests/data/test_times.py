import datetime as dt
import decimal

import numpy as np
import pyarrow as pa
import pytest

from mtkit.data.column_values import UnfitError
from mtkit.data.times import Times, read_times

DAY = dt.datetime(2024, 1, 31, tzinfo=dt.UTC)
SECOND = int(DAY.timestamp())


def column(*values, kind=None):
    return pa.chunked_array([pa.array(values, kind)])


def read(*values, kind=None):
    """Seconds with their fraction, None where there is no time."""
    times = read_times(column(*values, kind=kind))
    shown = zip(times.seconds.tolist(), times.nanoseconds.tolist(), times.known.tolist(), strict=True)
    return [(second, nano) if known else None for second, nano, known in shown]


@pytest.mark.parametrize(
    ("values", "read_as"),
    [
        ((SECOND, None), "seconds since 1970"),
        ((SECOND * 10**3, None), "milliseconds since 1970"),
        ((SECOND * 10**6, None), "microseconds since 1970"),
        ((SECOND * 10**9, None), "nanoseconds since 1970"),
        ((float(SECOND), float("nan")), "seconds since 1970"),
        ((decimal.Decimal(SECOND), None), "seconds since 1970"),
        ((str(SECOND), " "), "seconds since 1970"),
        ((f"{SECOND}000", ""), "milliseconds since 1970"),
        ((20240131, None), "dates as in 20240131"),
        (("20240131", None), "dates as in 20240131"),
        ((20240131000000, None), "dates as in 20240131000000"),
        (("31/01/2024", ""), "%d/%m/%Y"),
        (("01/31/2024", ""), "%m/%d/%Y"),
        (("31.01.2024 00:00", ""), "%d.%m.%Y %H:%M"),
        (("1/31/2024 12:00 AM", None), "%m/%d/%Y %I:%M %p"),
        (("31 Jan 2024", None), "%d %b %Y"),
        (("Jan 31, 2024", None), "%b %d, %Y"),
        (("2024/01/31 00:00:00", None), "%Y/%m/%d %H:%M:%S"),
        (("Wed, 31 Jan 2024 01:00:00 +0100", None), "%a, %d %b %Y"),
        (("31/Jan/2024:00:00:00 +0000", None), "%d/%b/%Y"),
        (("2024-01-31", "0000-00-00 00:00:00"), ""),
        (("2024-01-31T00:00:00Z", " "), ""),
        (("2024-01-31 02:00:00+02:00", None), ""),
        (("2024-01-31T01:00+0100", None), ""),
        ((DAY, None), ""),
        ((DAY.date(), None), ""),
    ],
)
def test_forms(values, read_as):
    times = read_times(column(*values))
    assert read(*values) == [(SECOND, 0), None]
    assert read_as in times.read_as
    assert bool(times.read_as) == bool(read_as)


def test_units_of_timestamps():
    for unit in ("s", "ms", "us", "ns"):
        assert read(DAY, None, kind=pa.timestamp(unit, "UTC")) == [(SECOND, 0), None]
        assert read(DAY.replace(tzinfo=None), kind=pa.timestamp(unit)) == [(SECOND, 0)]


def test_encodings_of_text():
    for kind in (pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())):
        assert read("2024-01-31", None, kind=kind) == [(SECOND, 0), None]


def test_zones_may_differ():
    assert read("2024-01-31", "2024-01-31T00:00:00Z", "2024-01-30T22:00:00-02:00") == [(SECOND, 0)] * 3


def test_fractions_are_kept():
    nano = SECOND * 10**9 + 123_456_789
    assert read(nano) == [(SECOND, 123_456_789)]
    assert read(SECOND + 0.5) == [(SECOND, 500_000_000)]
    assert read("2024-01-31T00:00:00.25", "2024-01-31") == [(SECOND, 250_000_000), (SECOND, 0)]
    assert read(-1_500, SECOND * 1000, SECOND * 1000)[0] == (-2, 500_000_000)


def test_nothing_but_nulls():
    assert read(None, kind=pa.null()) == read("", kind=pa.string()) == [None]


@pytest.mark.parametrize(
    ("values", "message", "row"),
    [
        (("2024-01-31", "2024-13-01"), "'2024-13-01' is no date", 1),
        (("2024-01-31", "soon"), "'soon' is no time", 1),
        (("10:30",), "'10:30' is no time", 0),
        (("31/01/2024", "2024-01-31"), "is no time in a form that all have", None),
        (("01/02/2024", "03/04/2024"), "'01/02/2024' could be %d/%m/%Y or %m/%d/%Y", None),
        (("01/05/2024", "02/06/2024"), r"%d is the day, %m the month\), and no value tells which", 0),
        (("2024-01-31 23:59:59 CEST",), r"no date; .* with their zone as 2024-01-31 23:59:59\+02:00", 0),
        (("1704067200", "soon"), "'1704067200' is no time", None),
        (
            (45413.5, 45414.25),
            "such as 45413.5 could be days of a spreadsheet .* or seconds since 1970; write dates",
            None,
        ),
        (("45413", ""), "such as 45413 could be days of a spreadsheet", None),
        ((19844, 19845), "days since 1970", None),
        ((2023, 2024), "years", None),
        ((202312, 202401), "months as in 202401", None),
        ((dt.timedelta(1),), r"values of type duration.*; write such values, or do not declare the column", None),
        ((True,), "values of type bool", None),
        ((["x"],), "values of type list", None),
    ],
)
def test_refused(values, message, row):
    with pytest.raises(UnfitError, match=message) as caught:
        read_times(column(*values))
    if row is not None:
        assert caught.value.row == row


@pytest.mark.parametrize("none", ["NULL", "\\N", "nan", "NaT", "None", "<NA>", " n/a "])
def test_words_for_no_time(none):
    assert read("2024-01-31", none) == [(SECOND, 0), None]
    assert read(str(SECOND), none) == [(SECOND, 0), None]


@pytest.mark.parametrize("zone", ["UTC", " UTC", " GMT", "Z", " +0000 UTC", "+00", " +00:00"])
def test_times_of_databases(zone):
    assert read(f" 2024-01-31 00:00:00{zone} ") == [(SECOND, 0)]
    assert read(f"2024-01-31 00:00:00.123{zone}") == [(SECOND, 123_000_000)]


def test_small_numbers_are_noted():
    assert "which all lie before 1980; if they count something else" in read_times(column(1, 2, 3)).read_as
    assert "1980" not in read_times(column(SECOND, 1)).read_as


def test_integers_beyond_int64_are_no_times():
    assert read(2**63 + 5, SECOND * 10**9, SECOND * 10**9, kind=pa.uint64())[1:] == [(SECOND, 0)] * 2


def times(*seconds, nano=0):
    seconds = np.array(seconds, np.int64)
    return Times(seconds, np.full(len(seconds), nano, np.int32), seconds != 0)


def test_times_that_cannot_be():
    year = 365 * 86400
    now = 54 * year
    usual = [now + day * 86400 for day in range(5)]
    assert times(*usual).impossible().tolist() == [False] * 5
    assert times(1, *usual, 8000 * year).impossible().tolist() == [True, *[False] * 5, True]
    assert times(0, *usual).impossible().tolist() == [False] * 6, "0 stands for no time here"
    sparse = [now - 9 * year * step for step in range(5)]
    assert not times(*sparse).impossible().any(), "a step of nine years is none"
    assert times().impossible().tolist() == []


def test_order_within_a_second():
    assert times(3, 1).order() is None
    moments = Times(np.array([5, 5, 4]), np.array([20, 10, 0], np.int32), np.ones(3, bool))
    assert moments.order().tolist() == [2, 1, 0]


def test_times_apart_from_the_others():
    year = 365 * 86400
    now = 54 * year
    usual = [now + day * 86400 for day in range(5)]
    assert times(1, *usual, now + 3 * year).apart().tolist() == [False] * 6 + [True], (
        "what cannot be is not counted twice"
    )
    assert not times(*usual, now + year // 2).apart().any()
