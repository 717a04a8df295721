"""Tables as checks look at them: each column prepared once, whoever asks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtkit.data.catalogs import moments
from mtkit.data.column_values import UnfitError, decoded, floats
from mtkit.data.columns import codes
from mtkit.data.encoded import Encoded
from mtkit.data.times import Times, read_times
from mtkit.recipe.loader import Recipe
from mtkit.schema import CONTEXT, INTERACTIONS, Address, Column, ColumnKind
from mtkit.spec import Cut
from mtkit.types import Dataset

#: Examples of a finding.
MOST_EXAMPLES = 3

Made = TypeVar("Made")


class Place(NamedTuple):
    """A declared column of a table.

    Attributes:
        table: `interactions`, or an entity.
        name: of the column.
        declared: what it is declared to be.
    """

    table: str
    name: str
    declared: Column

    def __str__(self) -> str:
        return f"{self.table}.{self.name}"


class Feature(NamedTuple):
    """What encoders read of interactions: its address, where it is, and the role whose row has it (None = the interaction)."""

    address: Address
    place: Place
    role: str | None


@dataclass(frozen=True)
class Values:
    """The distinct values of a column, without nulls.

    Attributes:
        values: strings or integers.
        counts: int64, in how many rows each is.
        nulls: how many rows have none.
    """

    values: pa.Array
    counts: np.ndarray
    nulls: int

    @property
    def rows(self) -> int:
        """Rows that have a value."""
        return int(self.counts.sum())

    def strings(self) -> bool:
        """Whether they are text."""
        return bool(pa.types.is_string(self.values.type))

    def where(self, selected: np.ndarray) -> Values:
        """Some of the values, by a mask or by numbers; the most frequent first."""
        chosen = np.flatnonzero(selected) if selected.dtype == bool else selected
        chosen = chosen[np.argsort(-self.counts[chosen], kind="stable")]
        return Values(self.values.take(pa.array(chosen, pa.int64())), self.counts[chosen], 0)

    def examples(self, most: int = MOST_EXAMPLES) -> tuple[str, ...]:
        """The first values, each with its rows."""
        pairs = zip(self.values[:most].to_pylist(), self.counts[:most].tolist(), strict=True)
        return tuple(f"{value!r} ({count:,})" for value, count in pairs)


def moment(second: int) -> str:
    """A time as people read it."""
    try:
        return datetime.fromtimestamp(int(second), UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return f"{int(second)} s"


class View:
    """A data set as checks look at it.

    Args:
        raw: tables as they came, or the cleaned ones where those are not there any more.
        dataset: the cleaned tables; None where they were refused.
        recipe: what reads them; None where there is none.
        cuts: where they are cut, for validation and for test; None where they are not.
        now: seconds since 1970, after which times lie in the future.

    Attributes:
        refused: why there are no cleaned tables, a mistake in a line.
        uncut: why there are no cuts, or no catalogs.
        dropped: each cut, with why interactions are not among its events -> how many, as `Fold.dropped` has it; where asked for.
    """

    def __init__(
        self,
        raw: Dataset,
        dataset: Dataset | None,
        recipe: Recipe | None = None,
        cuts: tuple[Cut, Cut] | None = None,
        now: float = math.inf,
    ) -> None:
        self.raw, self.cleaned, self.recipe, self.cuts, self.now = raw, dataset, recipe, cuts, now
        self.schema = raw.schema
        self.refused, self.uncut = "", ""
        self.dropped: list[tuple[Cut, Mapping[str, int]]] = []
        self._prepared: dict[tuple[str, str, str], object] = {}

    @property
    def dataset(self) -> Dataset:
        """The cleaned tables, for checks that need them."""
        assert self.cleaned is not None
        return self.cleaned

    @cached_property
    def encoded(self) -> Encoded:
        """Columns of the cleaned interactions as numbers."""
        return Encoded(self.dataset)

    def columns(self, *kinds: ColumnKind) -> Iterator[Place]:
        """The declared columns of some kinds (none given = all) in tables that have them, keys of entities included."""
        tables = {INTERACTIONS: self.schema.interactions}
        for entity, columns in self.schema.entities.items():
            if entity in self.raw.entities:
                tables[entity] = {"id": Column(kind="id", entity=entity), **columns}
        for table, declared in tables.items():
            there = self._raw_table(table).column_names
            for name, column in declared.items():
                if name in there and (not kinds or column.kind in kinds):
                    yield Place(table, name, column)

    def features(self) -> Iterator[Feature]:
        """Categories and numbers that encoders read, or may read without a recipe, of each interaction."""
        read = self.recipe.plan.addresses() if self.recipe else self.schema.features()
        for address in dict.fromkeys(map(Address, read)):
            declared = self.schema.columns(address.scope).get(address.column)
            if declared is None or declared.kind not in ("categorical", "numeric"):
                continue
            if address.scope == CONTEXT:
                yield Feature(address, Place(INTERACTIONS, address.column, declared), None)
            elif address.scope in self.schema.roles:
                yield Feature(address, Place(self.schema.roles[address.scope], address.column, declared), address.scope)

    def of_feature(self, feature: Feature, rows: np.ndarray | None = None) -> np.ndarray:
        """The values of a feature: float64 with nan for numbers, otherwise int64 codes with -1.

        Args:
            feature: the feature.
            rows: numbers of interactions; None = all.
        """
        place, numeric = feature.place, feature.place.declared.kind == "numeric"
        if feature.role is not None:
            values = self.numbers(place) if numeric else codes(self._table(place.table)[place.name])
            of_role = self.encoded.rows(feature.role)
            known: np.ndarray = np.append(values, np.nan if numeric else -1)  # the last is that of ids without a row
            return known.take(of_role if rows is None else of_role[rows])
        if numeric:
            return self.numbers(place) if rows is None else self.numbers(place)[rows]
        if rows is None:
            return self.encoded.codes(place.name).astype(np.int64)
        return codes(self._table(place.table)[place.name].take(pa.array(rows)))

    def raw_column(self, place: Place) -> pa.ChunkedArray:
        """The values as they came, without dictionary encoding; nulls where they are no plain values."""

        def make() -> pa.ChunkedArray:
            column = self._raw_table(place.table)[place.name]
            try:
                return decoded(column)
            except UnfitError:
                return pa.chunked_array([pa.nulls(len(column), pa.string())])

        return self._once("raw", place, make)

    def values(self, place: Place) -> Values:
        """The distinct values as they came: strings, or integers; none for columns of other types."""

        def make() -> Values:
            column = self.raw_column(place)
            if not (pa.types.is_string(column.type) or pa.types.is_integer(column.type)):
                column = pa.chunked_array([pa.nulls(len(column), pa.string())])
            values, counts = pc.value_counts(column.drop_null()).flatten()
            return Values(values, np.asarray(counts.to_numpy(), np.int64), column.null_count)

        return self._once("values", place, make)

    def numbers(self, place: Place) -> np.ndarray:
        """The cleaned values of a numeric column or a label as float64 `[rows]`; nan where null."""
        return self._once("numbers", place, lambda: floats(self._table(place.table)[place.name]))

    def sorted(self, place: Place) -> np.ndarray:
        """The numbers that are there, float64, ascending."""

        def make() -> np.ndarray:
            numbers = self.numbers(place)
            return np.sort(numbers[~np.isnan(numbers)])

        return self._once("sorted", place, make)

    def rows(self, table: str) -> int:
        """How many rows a table has, as it came."""
        return len(self._raw_table(table))

    def examples(self, rows: np.ndarray, *columns: str) -> tuple[str, ...]:
        """Some of the cleaned interactions: the values of these columns, and of those that say which rows they are."""
        time, rows = self.schema.time, rows[:MOST_EXAMPLES]
        telling = [*map(self.schema.reference, [*self.schema.roles][:2]), *([time] if time else [])]
        names = dict.fromkeys((*columns, *(telling or [*self.schema.interactions][:3])))
        shown = {
            name: self.dataset.interactions[name].take(pa.array(rows, pa.int64())).to_pylist()
            for name in names
            if name != time
        }
        if time in names:
            shown[time] = [moment(second) for second in self.encoded.time[rows]]
        return tuple(" ".join(f"{name}={shown[name][row]}" for name in names) for row in range(len(rows)))

    @cached_property
    def times(self) -> Times | None:
        """The times of the interactions as they came; None where there are none, or where they cannot be read."""
        name = self.schema.time
        if name is None or name not in self.raw.interactions.column_names:
            return None
        if self.raw is self.cleaned:
            time = self.encoded.time
            return Times(time, np.zeros(len(time), np.int32), np.ones(len(time), bool))
        try:
            return read_times(self.raw.interactions[name])
        except UnfitError:
            return None

    @cached_property
    def ordered_times(self) -> np.ndarray:
        """The times of the interactions, int64 `[interactions]` seconds, ascending; empty where there are none."""
        if self.schema.time is None or self.cleaned is None:
            return np.zeros(0, np.int64)
        return np.sort(self.encoded.time)

    @property
    def labels(self) -> tuple[Place, ...]:
        """The labels that tasks of the recipe predict, or all without a recipe; of the interactions, one value a row."""
        predicted = self.recipe and {label for spec in self.recipe.plan.predictions().values() for label in spec.labels}
        return tuple(
            place
            for place in self.columns("label")
            if place.table == INTERACTIONS
            and not place.declared.multi_label
            and (predicted is None or place.name in predicted)
        )

    @cached_property
    def tested(self) -> np.ndarray:
        """Whether interactions are tested, bool `[interactions]`."""
        assert self.cuts is not None
        test = self.cuts[1]
        time = moments(self.dataset, test)
        tested: np.ndarray = (time >= test.cut) & (time < test.end)
        return tested

    @cached_property
    def trains(self) -> np.ndarray:
        """Whether the model that is tested is trained on interactions, bool `[interactions]`."""
        assert self.cuts is not None
        test = self.cuts[1]
        trains: np.ndarray = moments(self.dataset, test) < (test.cut if test.fit is None else test.fit)
        return trains

    def _once(self, what: str, place: Place, make: Callable[[], Made]) -> Made:
        key = (what, place.table, place.name)
        if key not in self._prepared:
            self._prepared[key] = make()
        return self._prepared[key]  # type: ignore[return-value]  # of this key

    def _raw_table(self, table: str) -> pa.Table:
        return self.raw.interactions if table == INTERACTIONS else self.raw.entities[table]

    def _table(self, table: str) -> pa.Table:
        return self.dataset.interactions if table == INTERACTIONS else self.dataset.entities[table]
