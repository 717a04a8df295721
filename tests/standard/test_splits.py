from datetime import date

import numpy as np
import pytest
from pydantic import ValidationError

from mtkit.errors import DataError
from mtkit.spec import Cut, Log
from mtkit.standard.splits import Time


def at(times):
    return Log(None, np.arange(len(times)), times)


def seconds(*texts):
    return np.array(texts, dtype="datetime64[s]").astype(np.int64)


TIMES = seconds("2017-10-31T23:59:59", "2017-11-01T00:00:00", "2017-12-05T10:00:00")
VALID, TEST, END = seconds("2017-11-01", "2017-12-01", "2017-12-31").tolist()


def test_cuts_at_midnight_utc_and_ends_after_the_last():
    split = Time.model_validate_json('{"valid": "2017-11-01", "test": "2017-12-01"}', strict=True)
    assert split.cuts(at(TIMES)) == (
        Cut("valid", VALID, TEST, about="2017-11-01 to 2017-12-01"),
        Cut("test", TEST, TIMES[-1] + 1, about="2017-12-01 to 2017-12-05"),
    )


def test_an_end_may_be_given():
    split = Time(valid=date(2017, 11, 1), test=date(2017, 12, 1), end=date(2017, 12, 31))
    assert split.cuts(at(TIMES))[1] == Cut("test", TEST, END, about="2017-12-01 to 2017-12-31")


@pytest.mark.parametrize(
    ("part", "days"),
    [
        ("training", ("2017-10-01", "2017-11-15", None)),
        ("validation", ("2017-11-02", "2017-12-01", None)),
        ("test", ("2017-11-01", "2018-12-01", None)),
        ("test", ("2017-11-01", "2017-12-01", "2017-12-05")),
    ],
)
def test_names_the_part_that_is_empty(part, days):
    split = Time(**dict(zip(("valid", "test", "end"), days, strict=True)))
    with pytest.raises(
        DataError, match=f"the {part} part is empty: .* interactions are from 2017-10-31 23:59:59 to 2017"
    ):
        split.cuts(at(TIMES))


def test_no_interactions():
    with pytest.raises(DataError, match="there are no interactions"):
        Time(valid="2017-11-01", test="2017-12-01").cuts(at(TIMES[:0]))


@pytest.mark.parametrize("days", [("2017-12-01", "2017-11-01", None), ("2017-11-01", "2017-12-01", "2017-12-01")])
def test_days_must_be_in_order(days):
    with pytest.raises(ValidationError, match="expected valid < test < end, got"):
        Time(**dict(zip(("valid", "test", "end"), days, strict=True)))
