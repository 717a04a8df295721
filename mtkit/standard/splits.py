"""Splits: which interactions train, which validate and which test."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal, Self, TypeVar

from pydantic import Field, model_validator

from mtkit.errors import DataError
from mtkit.shown import counted
from mtkit.spec import Cut, Duration, Log, Name, PositiveInt, Split
from mtkit.types import DAY

if TYPE_CHECKING:
    import numpy as np

Share = Annotated[float, Field(gt=0, lt=1)]
SplitType = TypeVar("SplitType", bound=Split)


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

    def cuts(self, log: Log) -> tuple[Cut, Cut]:
        """The cuts for validation and test."""
        times = _times(log)
        valid, test = _midnight(self.valid), _midnight(self.test)
        end = _midnight(self.end) if self.end else max(int(times.max(initial=test)), test) + 1
        return _by_time(times, (valid, test), (test, end), self.refit)

    def moved(self, valid: int, test: int) -> str:
        """The days."""
        days = (datetime.fromtimestamp(moment, UTC).date() for moment in (valid, test))
        return " and ".join(f"data.split.{name} = {day}" for name, day in zip(("valid", "test"), days, strict=True))


class TimeShares(Split):
    """Cuts where shares of the interactions lie before, in the order of time; what is of the second of a cut lies after it."""

    valid: Share = Field(0.1, description="share of the interactions that validates, before the test")
    test: Share = Field(0.1, description="share of the interactions that tests, the last ones")

    @model_validator(mode="after")
    def _leaves_something(self) -> Self:
        return _leaving(self, self.valid, self.test)

    def cuts(self, log: Log) -> tuple[Cut, Cut]:
        """The cuts for validation and test."""
        import numpy as np

        times = np.sort(_times(log))
        if not len(times):
            raise DataError(f"the training part is empty: {_range(times)}")
        shares = 1 - self.valid - self.test, 1 - self.test
        # Shares such as 0.1 are no binary fractions, and a row less than what they mean would be one too few.
        valid, test = (int(times[int(share * len(times) + 1e-6)]) for share in shares)
        return _by_time(times, (valid, test), (test, int(times[-1]) + 1), self.refit)


class Rolling(Split):
    """Several splits by time: the test of each fold is a period that ends a stride before that of the next.

    A period as long comes before each test, for validation. A run goes through all folds, each in a directory of its
    own, `fold-N`, and gives the mean and the standard deviation over them; folds share training data, so the deviation
    is no standard error. Elsewhere, and with `fold`, one fold is taken.
    """

    length: Duration = Field(timedelta(days=30), description="how long validation and test are, each")
    folds: Annotated[int, Field(ge=2)] = Field(3, description="number of folds")
    stride: Duration | None = Field(None, description="from one fold's test to the next; default: `length`")
    end: date | None = Field(None, description="day after the last fold's test; default: after the last interaction")
    fold: PositiveInt | None = Field(
        None, description="the one fold to take, 1 = the earliest; default: all, or the last"
    )

    @model_validator(mode="after")
    def _is_there(self) -> Self:
        if self.fold and self.fold > self.folds:
            raise ValueError(f"expected a fold of 1 to {self.folds}, got {self.fold}")
        return self

    def cuts(self, log: Log) -> tuple[Cut, Cut]:
        """The cuts of the fold, or of the last one."""
        times = _times(log)
        last = _midnight(self.end) if self.end else int(times.max(initial=0)) + 1
        later = self.folds - (self.fold or self.folds)
        length, stride = (int(span.total_seconds()) for span in (self.length, self.stride or self.length))
        end = last - later * stride
        return _by_time(times, (end - 2 * length, end - length), (end - length, end), self.refit)

    def each(self) -> tuple[Split, ...]:
        """Every fold, or the one that was chosen."""
        numbers = (self.fold,) if self.fold else range(1, self.folds + 1)
        return tuple(self.model_copy(update={"fold": number}) for number in numbers)


class LeaveOneOut(Split):
    """Tests on the last interaction of each user, and validates on the one before.

    Every user has a clock of his or her own, which is set so that what is left out begins at the cut. So ages of the
    user's own past are true, but figures are no forecast: of others, interactions are known that happened later, and what
    was popular at a time means little. Interactions of one group (a basket) count as one, and ties are in the order of
    the data. Users of whom nothing would be left before are not tested, or not validated, on.
    """

    count: PositiveInt = Field(1, description="interactions (groups, where there are any) left out of each user")

    def cuts(self, log: Log) -> tuple[Cut, Cut]:
        """The cuts for validation and test."""
        from mtkit.data.split_clocks import TEST, VALID, last_parts, own_clock

        times, user = _times(log), _users(log)
        parts = last_parts(user, log.group, times, self.count)
        _check_parts(parts, "users have too few interactions")
        n = self.count
        clocks = own_clock(user, times, parts, VALID), own_clock(user, times, parts, TEST)
        return _cuts(clocks, f"the {n} before the last {n} of each user", f"the last {n} of each user", self.refit)


class _Drawn(Split):
    """A split that draws, and forgets times: what is known lies, shuffled, in the 100 days before the cut."""

    valid: Share = Field(0.1, description="share that validates")
    test: Share = Field(0.1, description="share that tests")
    seed: Annotated[int, Field(ge=0)] = Field(0, description="of what is drawn")

    @model_validator(mode="after")
    def _leaves_something(self) -> Self:
        return _leaving(self, self.valid, self.test)

    def cuts(self, log: Log) -> tuple[Cut, Cut]:
        """The cuts for validation and test."""
        from mtkit.data.split_clocks import drawn_parts

        unit, stratum, of = self._units(log)
        parts = drawn_parts(unit, stratum, self.valid, self.test, self.seed)
        _check_parts(parts, counted(len(parts), "interaction is too few", "interactions are too few"))
        valid, test = (f"{share:.0%} of {of}, drawn" for share in (self.valid, self.test))
        return _cuts(_shuffled(log.group, parts, self.seed), valid, test, self.refit)

    def _units(self, log: Log) -> tuple[np.ndarray, np.ndarray, str]:
        """What falls to a part as a whole, `[interactions]`; within what the shares hold, `[interactions]`; in words."""
        raise NotImplementedError


class Random(_Drawn):
    """Draws interactions, or whole users, for validation and test, whatever their times.

    Times are forgotten: the known interactions lie, shuffled, in the 100 days before the cut, so that a row sees a random
    part of its user's past, and `length = "10d"` or `since = "10d"` is a tenth of them. Ages and recency say nothing.
    Interactions of one group (a basket) stay together. Users who are drawn have no past; they are rows only with
    `min_count = 0` in `[data.catalog.user]`. It needs neither times nor users.
    """

    by: Literal["row", "user"] = Field("row", description="what is drawn: interactions, or users with all they did")

    def _units(self, log: Log) -> tuple[np.ndarray, np.ndarray, str]:
        import numpy as np

        one = np.zeros(len(log.group), np.int64)
        return (log.group, one, "interactions") if self.by == "row" else (_users(log), one, "users")


class UserStratified(_Drawn):
    """Draws interactions of each user for validation and test: by default RecBole's 80/10/10.

    Times are forgotten: the known interactions lie, shuffled, in the 100 days before the cut, so that a row sees a random
    part of its user's past, and `length = "10d"` or `since = "10d"` is a tenth of them. Ages and recency say nothing.
    Shares are rounded down, but test and then validation get one if two or more are left to train on. Interactions
    of one group (a basket) stay together.
    """

    def _units(self, log: Log) -> tuple[np.ndarray, np.ndarray, str]:
        return log.group, _users(log), "each user's interactions"


class ByColumn(Split):
    """Takes the parts from a column: a published test file, or an assignment that others have made.

    The column is categorical, every interaction has one of the values that are named here, and no encoder may read it.
    Where data have users and times, every user has a clock of his or her own, as in `leave_one_out`; what is known, but
    happened after the first evaluated interaction, counts as just before it. Else times are forgotten, as in `random`.
    Interactions of one group (a basket) are drawn together.
    """

    column: Name = Field(description="column of the interactions whose values name the parts (`part`)")
    train: str = Field("train", description="its value where an interaction trains")
    valid: Share | str = Field(0.1, description="its value of validation, or the share of training drawn for it")
    test: str = Field("test", description="its value of the test")
    seed: Annotated[int, Field(ge=0)] = Field(0, description="of what is drawn")

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        if len(set(self._values())) < len(self._values()):
            raise ValueError(f"expected a value for each part, got {', '.join(map(repr, self._values()))}")
        return self

    @property
    def reads(self) -> tuple[str, ...]:
        """The column."""
        return (self.column,)

    def cuts(self, log: Log) -> tuple[Cut, Cut]:
        """The cuts for validation and test."""
        from mtkit.data.split_clocks import TEST, VALID, own_clock

        parts = self._parts(log)
        if log.user is None or log.time is None:
            clocks = _shuffled(log.group, parts, self.seed)
        else:
            clocks = own_clock(log.user, log.time, parts, VALID), own_clock(log.user, log.time, parts, TEST)
        drawn = isinstance(self.valid, float)
        valid = f"{self.valid:.0%} of training, drawn" if drawn else f"{self.column} = {self.valid}"
        return _cuts(clocks, valid, f"{self.column} = {self.test}", self.refit)

    def _values(self) -> tuple[str, ...]:
        """The values of training, test, and validation if it has one."""
        return (self.train, self.test, *([self.valid] if isinstance(self.valid, str) else []))

    def _parts(self, log: Log) -> np.ndarray:
        import numpy as np

        from mtkit.data.split_clocks import TEST, TRAIN, VALID, drawn_parts

        values = log.columns[self.column]
        parts = np.full(len(values), -1)
        for part, value in zip((TRAIN, TEST, VALID), self._values(), strict=False):
            parts[values == value] = part
        if (parts < 0).any():
            raise DataError(self._stray(values[parts < 0].tolist()))
        if isinstance(self.valid, float):
            known = np.flatnonzero(parts == TRAIN)
            parts[known] = drawn_parts(log.group[known], np.zeros(len(known), np.int64), self.valid, 0.0, self.seed)
        _check_parts(parts, f"{self.column} has the values {', '.join(map(repr, np.unique(values).tolist()))}")
        return parts

    def _stray(self, values: list[str | None]) -> str:
        known = ", ".join(map(repr, self._values()))
        some = f"{values[0]!r}" if values[0] is not None else "null"
        have = counted(len(values), "value is none", "values are none")
        return f"{self.column}: {have} of {known}, such as {some}; name each part's"


def _leaving(split: SplitType, valid: float, test: float) -> SplitType:
    """The split, if its shares leave something to train on."""
    if valid + test >= 1:
        raise ValueError(f"expected valid + test < 1, got {valid:g} + {test:g}")
    return split


def _times(log: Log) -> np.ndarray:
    if log.time is None:
        raise DataError("this split needs times, and the interactions have no column of kind time; use random")
    return log.time


def _users(log: Log) -> np.ndarray:
    if log.user is None:
        raise DataError(
            'this split needs users, and the interactions have no column of ids; use random with by = "row"'
        )
    return log.user


def _by_time(times: np.ndarray, valid: tuple[int, int], test: tuple[int, int], refit: bool) -> tuple[Cut, Cut]:
    """Cuts of two periods, checked to have interactions in them and before."""
    parts = {"training": (None, valid[0]), "validation": valid, "test": test}
    for part, (begin, stop) in parts.items():
        if not ((times < stop) if begin is None else (times >= begin) & (times < stop)).any():
            raise DataError(f"the {part} part is empty: {_bounds(begin, stop)}, but {_range(times)}")
    fit = None if refit else valid[0]
    return Cut("valid", *valid, about=_period(*valid)), Cut("test", *test, fit=fit, about=_period(*test))


_Clock = tuple["np.ndarray", int, int]
"""Moments of the interactions, the cut, and the end."""


def _shuffled(group: np.ndarray, parts: np.ndarray, seed: int) -> tuple[_Clock, _Clock]:
    """Clocks of validation and test on which what is known lies, shuffled, before the cut."""
    import numpy as np

    from mtkit.data.split_clocks import SHUFFLED_DAYS, TEST, VALID, shuffled_moments

    moments, cut = shuffled_moments(group, seed), SHUFFLED_DAYS * DAY
    valid = np.select([parts == TEST, parts == VALID], [cut + 1, cut], moments)
    return (valid, cut, cut + 1), (np.where(parts == TEST, cut, moments), cut, cut + 1)


def _cuts(clocks: tuple[_Clock, _Clock], valid: str, test: str, refit: bool) -> tuple[Cut, Cut]:
    """Both cuts; the test without training anew is on validation's clock, on which what is tested lies at the end.

    Args:
        clocks: of validation and test.
        valid: what is validated on, in words.
        test: what is tested on, in words.
        refit: whether the model is trained anew for the test.
    """
    clock, cut, end = clocks[0]
    of_valid = Cut("valid", cut, end, clock=clock, about=valid)
    if not refit:
        return of_valid, Cut("test", end, end + 1, fit=cut, clock=clock, about=test)
    clock, cut, end = clocks[1]
    return of_valid, Cut("test", cut, end, clock=clock, about=test)


def _check_parts(parts: np.ndarray, reason: str) -> None:
    for number, part in enumerate(("training", "validation", "test")):
        if not (parts == number).any():
            raise DataError(f"the {part} part is empty: {reason}")


def _midnight(day: date) -> int:
    return int(datetime.combine(day, time.min, tzinfo=UTC).timestamp())


def _period(begin: int, stop: int) -> str:
    """From when to when: the days, or moments where the period is shorter than a day."""
    if stop - begin < DAY:
        return f"{_text(begin)} to {_text(stop)}"
    return " to ".join(f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}" for seconds in (begin, stop))


def _text(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, tz=UTC):%Y-%m-%d %H:%M:%S}"


def _bounds(begin: int | None, stop: int) -> str:
    return f"it ends before {_text(stop)}" if begin is None else f"it is from {_text(begin)} to before {_text(stop)}"


def _range(times: np.ndarray) -> str:
    if not len(times):
        return "there are no interactions"
    return f"interactions are from {_text(int(times.min()))} to {_text(int(times.max()))}"
