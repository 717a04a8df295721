"""What the layers of the house hand to one another: plain containers of NumPy arrays and Arrow tables.

Ids are dense integers: id i of an entity is row i of its table, and row 0 is the unknown. Times are int64 seconds since
1970-01-01 UTC. Nothing here imports NumPy, Arrow or TensorFlow at run time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from mtkit.schema import ColumnKind, Schema

Part = Literal["train", "eval"]


@dataclass(frozen=True)
class Dataset:
    """What a data source yields: raw tables under a declared schema.

    Attributes:
        interactions: one row per interaction.
        entities: entity name -> table with one row per entity and a unique column `id`.
        schema: the declared columns of both.
    """

    interactions: pa.Table
    entities: Mapping[str, pa.Table]
    schema: Schema


@dataclass(frozen=True)
class Entity:
    """The catalog of one entity as of a cut.

    Attributes:
        name: the entity's name.
        ids: `[rows]` objects or integers, sorted; `ids[0]` is the unknown's placeholder (an empty string or -1).
        columns: table aligned with `ids`; row 0 is all null.
    """

    name: str
    ids: np.ndarray
    columns: pa.Table

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Events:
    """Interactions by dense ids, sorted by user, then time; the columns of the interaction table lie beside them.

    Attributes:
        ids: entity -> int32 `[events]`; the first key is the entity that acts (the user), the second the item. Empty for
            data whose rows stand for themselves.
        time: int64 `[events]`, seconds on the fold's clock.
        group: int64 `[events]`, number of the basket or session; each event is its own group where data have none.
        columns: the other declared columns (context, labels), aligned.
        offsets: int64 `[users + 1]`; user u's events are `offsets[u]:offsets[u + 1]`.
    """

    ids: Mapping[str, np.ndarray]
    time: np.ndarray
    group: np.ndarray
    columns: pa.Table
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.time)

    @property
    def item(self) -> str | None:
        """The entity that is acted on, if there is one."""
        return next(iter([*self.ids][1:]), None)


@dataclass(frozen=True)
class Fold:
    """One cut of the data: what is known before it, and what is to be predicted until `end`.

    Moments are on the split's clock: the interactions' times where it splits by time, and else moments at which all that
    is known of a user lies before what is evaluated.

    Attributes:
        name: `valid` or `test`.
        fit: seconds; training uses events strictly before it, and catalogs are as of it. Earlier than `cut` where the
            model is not trained anew for the test.
        cut: seconds; events strictly before it are the past of what is evaluated.
        end: seconds; evaluation uses events in `[cut, end)`.
        entities: catalogs as of `fit`.
        events: all events before `end` whose entities are in the catalogs.
        dropped: how many events were left out and why (for the report).
        schema: the declared columns.
    """

    name: str
    fit: int
    cut: int
    end: int
    entities: Mapping[str, Entity]
    events: Events
    schema: Schema
    dropped: Mapping[str, int] = field(default_factory=dict)

    @property
    def trained(self) -> str:
        """Name of the fold whose trained model this one evaluates."""
        return self.name if self.fit == self.cut else "valid"


@dataclass(frozen=True)
class Ragged:
    """Rows of unequal length. Row r is `values[name][offsets[r]:offsets[r + 1]]` for each name.

    Attributes:
        offsets: int64 `[rows + 1]`.
        values: name -> array whose first axis is the flat one.
    """

    offsets: np.ndarray
    values: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class RowTable:
    """Rows on which tasks train or are evaluated: ids, time, context, labels and weights, nothing else.

    Attributes:
        name: the recipe's name of the table.
        ids: entity -> int32 `[rows]`; entities that a row does not have are absent.
        time: int64 `[rows]`, the moment as of which features are taken; empty for tables without time (items).
        history: int64 `[rows, 2]`, begin and end of the row's own past in the fold's events (strictly before the row's
            basket or moment); empty `[0, 2]` for tables without history.
        context: column -> `[rows]`.
        labels: label -> `[rows]`, float32 for binary and numeric labels, int32 for classes; placeholders are finite.
        weights: label -> float32 `[rows]`; 0 = the row does not exist for the tasks of this label.
        targets: rows' positives (values `item`), for tables with lists of targets.
        own: rows' own distinct past items (values `id` int32 `[n]`, `channels` float32 `[n, c]`), as of the row's time.
        activity: float32 `[rows, a]`, how active the rows' users were as of the row's time.
        moment: int32 `[rows]`, the row's index into `popularity`.
        popularity: float32 `[moments, items, p]`, how popular the items were as of the distinct times of the rows.
        classes: label -> names of its classes, for labels with several.
        note: one line that states the population ("lines of purchase", "30-day windows of households with a past").
    """

    name: str
    ids: Mapping[str, np.ndarray]
    time: np.ndarray
    history: np.ndarray
    context: Mapping[str, np.ndarray] = field(default_factory=dict)
    labels: Mapping[str, np.ndarray] = field(default_factory=dict)
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)
    targets: Ragged | None = None
    own: Ragged | None = None
    activity: np.ndarray | None = None
    moment: np.ndarray | None = None
    popularity: np.ndarray | None = None
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    note: str = ""

    def __len__(self) -> int:
        return len(next(iter(self.ids.values()), self.time))


@dataclass(frozen=True)
class Ranking:
    """The top of a ranked catalog for some rows, and which of it was relevant.

    Attributes:
        items: int32 `[rows, k]`, best first; 0 where there were fewer than k candidates.
        hits: bool `[rows, k]`.
        relevant: int64 `[rows]`, how many candidates are relevant (at least 1).
        catalog: number of items that could be recommended.
        shares: float64 `[catalog + 1]`, above 0: the share of users who had had the item; None = not known.
        targets: the rows' relevant candidates (values `item`). Where a metric is over the whole ranking, also `above`,
            float64: the share of candidates not relevant that score lower, equal scores counting one half.
        vectors: address -> SciPy sparse array, or encoder -> floats, `[catalog + 1, width]`; rows of length 1, or 0 where
            there is nothing.
    """

    items: np.ndarray
    hits: np.ndarray
    relevant: np.ndarray
    catalog: int
    shares: np.ndarray | None = None
    targets: Ragged | None = None
    vectors: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LabeledRows:
    """Rows of a prediction task as its metrics and baselines see them.

    Attributes:
        columns: address (`item.text`, `user.age`) -> raw values `[rows]`, strings or numbers, nulls as None or nan; ids
            (`item.id`) are rows of the entity's table.
        labels: `[rows]`, 0/1, class numbers, or numbers.
        weights: float32 `[rows]`.
        classes: number of classes; 2 for a binary label, 0 for a numeric one.
        kinds: address -> how its column is declared.
        groups: int32 `[rows]`, the user of each row, or what else acts; rows of an entity are their own. None: rows that
            stand for themselves.
        acting: the entity whose rows the groups are.
    """

    columns: Mapping[str, np.ndarray]
    labels: np.ndarray
    weights: np.ndarray
    classes: int
    kinds: Mapping[str, ColumnKind] = field(default_factory=dict)
    groups: np.ndarray | None = None
    acting: str = ""
