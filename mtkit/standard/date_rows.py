"""Rows of users at points in time: who leaves, how often they come, what they will spend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from mtkit.conditions import Where
from mtkit.durations import in_words
from mtkit.errors import nearest
from mtkit.schema import HISTORY, Column
from mtkit.spec import Duration, Holds, Name, PositiveInt, Rows
from mtkit.standard.rows import end_after, whole_seconds

if TYPE_CHECKING:
    from mtkit.schema import Schema
    from mtkit.types import Fold, Part, RowTable

_OWN = ("gone", "acts")


class Dates(Rows):
    """(user, date) with labels of the time that follows: `gone`, `acts` (how often the user acts), and sums of columns.

    Training has dates that lie `length` before the cut, and `stride` before each other, so that what labels see has happened
    when training ends; evaluation has the cut itself, for the same `length`. A user has a row at a date if he or she acts before
    it, within `active`. What encoders read of the past is as of the date.
    """

    length: Duration = Field(timedelta(days=30), description="how far labels look ahead")
    count: PositiveInt = Field(6, description="number of dates that train")
    stride: Duration | None = Field(None, description="from one date that trains to the next; default: `length`")
    active: Duration | None = Field(
        None, description="only users who act within so long before the date; default: at any time before"
    )
    where: Where | None = Field(
        None,
        description="which interactions count, before a date and after it: a condition, or the name of `[events.NAME]`; default: "
        "all",
    )
    sums: Mapping[Name, Name] = Field(
        {}, description='labels that are sums of a numeric column over the time ahead, as in `{spent = "price"}`'
    )

    @model_validator(mode="after")
    def _own_names(self) -> Self:
        if taken := [name for name in self.sums if name in _OWN]:
            raise ValueError(f"sums: {taken[0]!r} is a label of these rows already; call the sum otherwise")
        return self

    @property
    def counted(self) -> Where | None:
        """`where`."""
        return self.where

    def holds(self, schema: Schema) -> Holds:
        """Who acts, with a past, and labels of what follows."""
        labels = {name: Column(kind="label") for name in (*_OWN, *self.sums)}
        return Holds(labels, (*[*schema.roles][:1], HISTORY))

    def mistakes(self, schema: Schema) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Columns that cannot be summed up."""
        numeric = {name for name, column in schema.interactions.items() if column.kind == "numeric"}
        for name, column in self.sums.items():
            if column not in numeric:
                yield ("sums", name), f"{column!r} is no numeric column of the interactions; {nearest(column, numeric)}"

    def make(self, fold: Fold, part: Part) -> RowTable:
        """Users at dates, with a past, and what follows."""
        from mtkit.data.date_rows import date_table

        ahead, stride = whole_seconds(self.length), whole_seconds(self.stride or self.length)
        if part == "eval":
            end_after(fold, self.length, "length")
        dates = [fold.cut] if part == "eval" else [fold.fit - ahead - k * stride for k in range(self.count)]
        within = f" in the {in_words(self.active)} before" if self.active else " before"
        when = (
            "at the cut"
            if part == "eval"
            else f"at {self.count} dates, {in_words(self.length)} before the cut and earlier"
        )
        acts = f" ({self.where.in_words()})" if self.where else ""
        note = f"users who act{within}{acts}, {when}; labels see {in_words(self.length)} ahead"
        active = whole_seconds(self.active) if self.active else None
        return date_table(fold, dates, ahead, note, active=active, where=self.where, sums=self.sums)
