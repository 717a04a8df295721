"""Splits: where the data are cut into training, validation and test."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from itertools import pairwise
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from mtkit.errors import DataError
from mtkit.spec import Cut, Split

if TYPE_CHECKING:
    import numpy as np


class Time(Split):
    """Cuts at midnight UTC: validates on `[valid, test)`, tests on `[test, end)`."""

    valid: date = Field(description="first day of validation")
    test: date = Field(description="first day of test")
    end: date | None = Field(None, description="day after the last one of test; default: after the last interaction")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        days = [self.valid, self.test, *([self.end] if self.end else [])]
        if any(first >= second for first, second in pairwise(days)):
            raise ValueError(f"expected valid < test < end, got {', '.join(map(str, days))}")
        return self

    def cuts(self, time: np.ndarray) -> tuple[Cut, Cut]:
        """The cuts for validation and test."""
        valid, test = _midnight(self.valid), _midnight(self.test)
        end = _midnight(self.end) if self.end else max(int(time.max(initial=test)), test) + 1
        parts = {"training": (None, valid), "validation": (valid, test), "test": (test, end)}
        for part, (begin, stop) in parts.items():
            if not ((time < stop) if begin is None else (time >= begin) & (time < stop)).any():
                raise DataError(f"the {part} part is empty: {_bounds(begin, stop)}, but {_range(time)}")
        return Cut("valid", valid, test), Cut("test", test, end)


def _midnight(day: date) -> int:
    return int(datetime.combine(day, time.min, tzinfo=UTC).timestamp())


def _text(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, tz=UTC):%Y-%m-%d %H:%M:%S}"


def _bounds(begin: int | None, stop: int) -> str:
    return f"it ends before {_text(stop)}" if begin is None else f"it is from {_text(begin)} to before {_text(stop)}"


def _range(times: np.ndarray) -> str:
    if not len(times):
        return "there are no interactions"
    return f"interactions are from {_text(int(times.min()))} to {_text(int(times.max()))}"
