"""Cleaners that make labels of the log itself: what a user does within a time after an interaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from mtkit.conditions import Where
from mtkit.durations import Duration
from mtkit.recipe.condition_checks import unfit_columns
from mtkit.schema import INTERACTIONS, Column, ColumnKind, Schema
from mtkit.spec import Cleaner, Name, no_column, taken, with_columns

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

Tables = Mapping[str, "pa.Table"]
_NUMBERS: tuple[ColumnKind, ...] = ("numeric", "label")


class Ahead(Cleaner):
    """A label of interactions by what the same user does later: bought again, returned, watched another, spent how much.

    Interactions strictly after a row's time, up to `within` later, count, but for those of its own basket. The label is null
    where a column of `same` is. It looks `within` ahead: rows whose time ahead crosses the end of a part do not count in it, and
    no encoder of a past reads it, since it is not known when an interaction happens.
    """

    label: Name = Field(description="name of the new label")
    within: Duration = Field(description="how far ahead is looked, which is the label's horizon")
    what: Literal["any", "none", "count", "sum"] = Field(
        "any",
        description="1 if there is such an interaction, 1 if there is none (churn), how many there are, or the sum of `of`",
    )
    of: str | None = Field(None, description="column of numbers that is summed, missing ones as 0")
    same: tuple[str, ...] | None = Field(
        None,
        description="columns in which later interactions are like the row, beside the user; default: the item; `[]` = none",
    )
    where: Where | None = Field(None, description='which later interactions count (`{event = "return"}`); default: all')

    @model_validator(mode="after")
    def _sums_something(self) -> Self:
        if (self.of is not None) != (self.what == "sum"):
            raise ValueError('`of` and what = "sum" go together')
        return self

    def mistakes(self, schema: Schema) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """No users or times, and columns that are not there."""
        if not schema.roles or not schema.time:
            yield (), "interactions have no users and times, by which one could come after another"
            return
        if message := taken(schema, INTERACTIONS, self.label):
            yield ("label",), message
        for index, name in enumerate(self.same or ()):
            if message := no_column(schema, INTERACTIONS, name):
                yield ("same", index), message
        if self.of is not None and (message := no_column(schema, INTERACTIONS, self.of, _NUMBERS)):
            yield ("of",), message
        for message in unfit_columns(self.where, schema.interactions, "the interactions") if self.where else ():
            yield ("where",), message

    def declares(self, schema: Schema) -> Schema:
        """The label, with its horizon."""
        return with_columns(schema, INTERACTIONS, {self.label: Column(kind="label", horizon=self.within)})

    def clean(self, tables: Tables, schema: Schema) -> tuple[Tables, str]:
        """Adds the label."""
        import numpy as np
        import pyarrow as pa

        found = self._found(tables[INTERACTIONS], schema)
        known = np.isfinite(found)
        if self.what in ("any", "none"):
            found = np.where((found > 0) == (self.what == "any"), 1.0, 0.0)
        label = pa.array(found, mask=~known)
        mean = f"{found[known].mean():.3g}" if known.any() else "nothing"
        note = f"{self.label} is {mean} on average, of {int(known.sum()):,} interactions"
        return {INTERACTIONS: tables[INTERACTIONS].append_column(self.label, label)}, note

    def _found(self, table: pa.Table, schema: Schema) -> np.ndarray:
        from mtkit.data.conditions import holding
        from mtkit.data.labels_ahead import Ahead as Events

        user, *others = (schema.reference(role) for role in schema.roles)
        same = others[:1] if self.same is None else self.same
        meant = holding(self.where, table, schema.interactions) if self.where else None
        assert schema.time is not None, "labels ahead need times"
        events = Events.of(table, [user, *same], schema.group, schema.time, meant)
        values = None if self.of is None else table[self.of].cast("float64").to_numpy()
        return events.sums(int(self.within.total_seconds()), values)
