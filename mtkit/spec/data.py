"""Kinds that make batches of data: sources, splits, row tables and preprocessors."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, model_validator

from mtkit.conditions import Where
from mtkit.schema import HISTORY, KNOWN, Address, ColumnKind
from mtkit.spec.base import FeatureInfo, PositiveFloat, PositiveInt, Spec
from mtkit.spec.cleaning import Cleaner
from mtkit.spec.published import PublishedData

if TYPE_CHECKING:
    import numpy as np

    from mtkit.schema import Column, Schema
    from mtkit.types import Dataset, Fold, Part, RowTable


class DataSource(Spec):
    """Yields raw tables under a declared schema."""

    kind: ClassVar[str] = "data_source"
    #: Where the files are that it reads, if they are published: what `mtkit data get` fetches.
    published: ClassVar[PublishedData | None] = None

    def schema(self) -> Schema:  # type: ignore[override]  # pydantic's own `schema` is deprecated and of no use here
        """The declared columns, without reading the data."""
        raise NotImplementedError

    def load(self) -> Dataset:
        """The raw tables.

        Raises:
            DataError: files are missing or do not have the declared columns.
        """
        raise NotImplementedError

    def parts(self, rows: int) -> Iterator[Dataset] | None:
        """The raw tables again and again, each time with the next interactions, `rows` or so; None = they come as a whole."""
        return None

    @property
    def cleaners(self) -> Mapping[str, Cleaner]:
        """What is done to its tables once they are read, by name, in this order."""
        return {}


class Cleaned(DataSource):
    """A source with what a recipe does to its tables: to all that asks it, the source of the cleaned ones.

    `load` gives the raw tables of the source within, like that of any source: they are read and cleaned together.
    """

    source: DataSource
    by: Mapping[str, Cleaner]
    #: Where the tables lie as they were prepared, which are read in the place of the source; None = nothing was prepared.
    prepared: Path | None = None

    def schema(self) -> Schema:  # type: ignore[override]  # as in DataSource
        """The columns that the last cleaner declares."""
        return functools.reduce(
            lambda schema, cleaner: cleaner.declares(schema), self.by.values(), self.source.schema()
        )

    def load(self) -> Dataset:
        """The raw tables of the source."""
        return self.source.load()

    def parts(self, rows: int) -> Iterator[Dataset] | None:
        """Those of the source."""
        return self.source.parts(rows)

    @property
    def cleaners(self) -> Mapping[str, Cleaner]:
        """Those that the recipe names."""
        return self.by


@dataclass(frozen=True)
class Log:
    """Interactions as a split sees them: who acted, in which group, and when.

    Attributes:
        user: int64 `[interactions]`, number of the user, 0 where the id is null; None where data have no users.
        group: int64 `[interactions]`, number of the basket or session, from 0 on, each of one user; every interaction
            is its own group where data have none. Numbers of a user follow the order of the data.
        time: int64 `[interactions]`, seconds; None where data have none.
        columns: the columns in `Split.reads`: name -> raw values `[interactions]`, strings or numbers, nulls as None or nan.
    """

    user: np.ndarray | None
    group: np.ndarray
    time: np.ndarray | None
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Cut:
    """What is known, and what is to be predicted: moments in seconds on a clock on which every interaction has its own.

    Attributes:
        name: `valid` or `test`.
        cut: what lies strictly before it is known: the past of what is evaluated.
        end: what lies in `[cut, end)` is evaluated; what lies after is not there.
        fit: the model is trained on what lies strictly before it; None = `cut`.
        clock: int64 `[interactions]`, the moment of each interaction; None = its time.
        about: what is evaluated, in words.
    """

    name: str
    cut: int
    end: int
    fit: int | None = None
    clock: np.ndarray | None = field(default=None, compare=False)
    about: str = ""

    @property
    def trained(self) -> str:
        """Name of the cut on which the model is trained that is evaluated on this one."""
        return self.name if self.fit in (None, self.cut) else "valid"


class Split(Spec):
    """Says which interactions train, which validate and which test: lays them on a clock, and cuts it.

    All else follows from the clock: histories, statistics and baselines know what lies strictly before their moment.
    A split by time takes the times as they are. Another one sets the clock so that, for every user, what is known lies
    before the cut and what is evaluated after it.
    """

    kind: ClassVar[str] = "split"

    refit: bool = Field(
        True,
        description="whether the model is trained anew on training and validation before the test; if not, the one "
        "that was trained for validation is tested",
    )

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the columns of the interactions that it needs in `Log.columns`; no encoder may read them."""
        return ()

    def cuts(self, log: Log) -> tuple[Cut, Cut]:
        """The cuts for validation and test.

        Raises:
            DataError: a part would be empty, or the data lack what the split needs.
        """
        raise NotImplementedError

    def moved(self, valid: int, test: int) -> str:
        """What to set so that validation and test begin at these moments, seconds; empty where it has no such settings."""
        return ""

    def each(self) -> tuple[Split, ...]:
        """The splits of one run, one after another; more than one where results are means over folds."""
        return (self,)


@dataclass(frozen=True)
class Holds:
    """What the rows of a table have, as far as declarations tell.

    Attributes:
        labels: name of each label -> how it is declared.
        scopes: of the features that rows have: entities and roles, `context`, `history`.
        targets: whether rows to be evaluated on have lists of what follows, by which rankings are judged.
    """

    labels: Mapping[str, Column] = field(default_factory=dict)
    scopes: tuple[str, ...] = ()
    targets: bool = False


class Rows(Spec):
    """Makes a row table of a fold, one part at a time."""

    kind: ClassVar[str] = "rows"
    #: Whether rows are drawn at random; such rows are kept in the run directory.
    drawn: ClassVar[bool] = False

    batch_size: PositiveInt | None = Field(
        None, description="global rows per training step; default: enough for an epoch to make `passes` over the table"
    )
    passes: PositiveFloat = Field(1.0, description="passes over the table in an epoch, where `batch_size` is left out")

    @model_validator(mode="after")
    def _one_rate(self) -> Self:
        if self.batch_size is not None and self.passes != 1:
            raise ValueError("batch_size and passes both say how fast rows are consumed; leave one of them out")
        return self

    @property
    def counted(self) -> Where | None:
        """Which interactions the own past of its rows consists of, as `own`, activity and popularity count it; None = all."""
        return None

    @property
    def targets(self) -> Where | None:
        """Which interactions its rows, or their targets, are; None = all."""
        return None

    @property
    def sequence_length(self) -> int:
        """How many past events a sequence of rows that are drawn together has at most; 0 = rows are drawn alone."""
        return 0

    def holds(self, schema: Schema) -> Holds | None:
        """What its rows have, by which recipes are checked without data; None = that is known once they are made."""
        return None

    def mistakes(self, schema: Schema) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """What does not fit the declared columns, beside conditions: keys and indices, and what is wrong there."""
        yield from ()

    def of_share(self, share: float) -> Rows | None:
        """What makes rows of a share of the users alike, by which memory is estimated; None = not by users, and few."""
        return self

    def make(self, fold: Fold, part: Part) -> RowTable:
        """The rows to train on, or to be evaluated on, with features as of each row.

        Raises:
            DataError: the part would be empty.
        """
        raise NotImplementedError


class Preprocessor(Spec):
    """Learns on training rows, and applies as TensorFlow ops in training and in the servable alike."""

    kind: ClassVar[str] = "preprocessor"
    #: Kinds of columns that `columns` may name; empty = any.
    column_kinds: ClassVar[tuple[ColumnKind, ...]] = ()

    columns: tuple[Address, ...] = Field(description="addresses it applies to, each for itself")

    def fit(self, values: np.ndarray) -> Mapping[str, Any]:
        """What is learned from raw training values of one column: JSON-able state."""
        raise NotImplementedError

    def extended(self, state: Mapping[str, Any], values: np.ndarray) -> Mapping[str, Any]:
        """What a run goes on with that goes on with another one, so that weights keep their meaning: what that had learned.

        Args:
            state: of the earlier run.
            values: as of `fit`; what is new among them may get numbers behind those that are there.
        """
        return state

    def info(self, state: Mapping[str, Any]) -> FeatureInfo:
        """How the column arrives at encoders once preprocessed."""
        raise NotImplementedError

    def values(self, state: Mapping[str, Any]) -> Sequence[str] | None:
        """What the integers from 1 on stand for, by which another run finds their weights; None = they are ranks."""
        return None

    def build(self, state: Mapping[str, Any]) -> Any:
        """A tf_keras layer from raw `[rows]` (string, or float32 with nan) to int32 `[rows]` or float32 `[rows, width]`.

        Of texts it makes strings `[rows]` of strings, and all encoders read these in their place.
        Of lists it is called with strings `[rows, n]`, filled up with empty ones, and returns int32 `[rows, n]`; of weighted ones
        with these and float32 `[rows, n]`, and returns int32 and float32.
        """
        raise NotImplementedError


class GroupPreprocessor(Preprocessor):
    """Makes one feature of several columns of an entity, or of the row; encoders read `SCOPE.NAME` (`item.looks`).

    What it is named by is its name in the recipe. Where encoders read the columns themselves, these keep the preprocessing that
    they have. `fit` gets a structured array `[rows]`, whose fields are the columns by their addresses, as raw values; the
    layer of `build` is called with a tuple of the columns, in the order of `columns`, and makes one feature, as `info` says.
    """

    columns: tuple[Address, ...] = Field(
        min_length=1, description="addresses that it reads together: of one entity, or of the row (`context`)"
    )

    @model_validator(mode="after")
    def _of_one_scope(self) -> Self:
        scopes = list(dict.fromkeys(address.scope for address in self.columns))
        if len(scopes) > 1:
            raise ValueError(f"columns are of {' and '.join(scopes)}; expected those of one entity, or of the row")
        if scopes[0] in (HISTORY, KNOWN):
            raise ValueError(f"columns are of {scopes[0]!r}; expected those of an entity, or of the row")
        if len(set(self.columns)) < len(self.columns):
            raise ValueError(f"columns are {', '.join(self.columns)}; expected each once")
        return self

    def made(self, name: str) -> Address:
        """The address of the feature."""
        return Address.of(self.columns[0].scope, name)
