"""What the layers of the house hand to one another: plain containers of NumPy arrays and Arrow tables.

Ids are dense integers: id i of an entity is row i of its table, and row 0 is the unknown. Times are int64 seconds since
1970-01-01 UTC. Nothing here imports NumPy, Arrow or TensorFlow at run time.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pyarrow as pa

    from mtkit.schema import ColumnKind, Schema

Part = Literal["train", "eval"]

DAY = 86_400
"""Seconds per day."""

ROW_WEIGHT = "row_weight"
"""The dense column of a row table that says what its rows count, whatever the task; without it, they count 1."""


Watch = Callable[[str, int], contextlib.AbstractContextManager[Callable[[int], None]]]
"""Shows what is at work as long as it is, from what it is and how many parts it has (0 = not known); it gives a function that is
told how many parts more are done."""


@contextlib.contextmanager
def unwatched(what: str, parts: int) -> Iterator[Callable[[int], None]]:  # noqa: ARG001 - a `Watch`
    """Nobody is shown what is at work."""
    yield lambda count: None  # noqa: ARG005


class MetricKey(NamedTuple):
    """The name of a figure, `task/[slice/]metric[@k]`.

    Attributes:
        task: the task.
        slice: the slice; empty for the whole.
        metric: name of the metric.
        k: cutoff; None where the metric has none.
    """

    task: str
    slice: str
    metric: str
    k: int | None = None

    @classmethod
    def parse(cls, text: str) -> MetricKey:
        """The key that `str()` gives back."""
        task, _, rest = text.partition("/")
        slice_, _, label = rest.rpartition("/")
        metric, _, k = label.rpartition("@")
        return cls(task, slice_, metric, int(k)) if metric and k.isdecimal() else cls(task, slice_, label, None)

    @property
    def label(self) -> str:
        """`metric[@k]`."""
        return self.metric if self.k is None else f"{self.metric}@{self.k}"

    @property
    def group(self) -> str:
        """`task[/slice]`, under which there are figures of the same rows."""
        return f"{self.task}/{self.slice}" if self.slice else self.task

    def __str__(self) -> str:
        return f"{self.group}/{self.label}"


class Origin(NamedTuple):
    """Where a table comes from, for messages.

    Attributes:
        name: the file, or what else it is.
        key: the column that is called `id` in the tables of entities.
    """

    name: str
    key: str = "id"


@dataclass(frozen=True)
class Dataset:
    """What a data source yields: raw tables under a declared schema.

    Attributes:
        interactions: one row per interaction.
        entities: entity name -> table with one row per entity and a unique column `id`.
        schema: the declared columns of both.
        origins: table (`interactions`, or an entity) -> where it comes from, if that is known.
        notes: what readers of the results should know of the data, a sentence each.
        left_out: why interactions are not among these (`without a time in 'when'`) -> how many.
        prepared: the directory of prepared data whose tables these are; None = nothing was prepared of them.
    """

    interactions: pa.Table
    entities: Mapping[str, pa.Table]
    schema: Schema
    origins: Mapping[str, Origin] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    prepared: Path | None = None

    def place(self, table: str, column: str) -> str:
        """Where a column is, in words: in its file, or `table.column`."""
        origin = self.origins.get(table)
        if origin is None:
            return f"{table}.{column}"
        key = column == "id" and table in self.entities
        return f"{origin.name}, column {origin.key if key else column!r}"


@dataclass(frozen=True)
class Entity:
    """The catalog of one entity as of a cut.

    Attributes:
        name: the entity's name.
        ids: `[rows]` objects or integers: the number of an id is its row here, which a run keeps; `ids[0]` is the unknown's
            placeholder (an empty string or -1).
        columns: table aligned with `ids`; row 0 is all null.
        guests: how many of the last rows are of ids that the model does not know: to it, their id is the unknown's. They
            keep users apart that are not in the catalog, with their histories and attributes.
    """

    name: str
    ids: np.ndarray
    columns: pa.Table
    guests: int = 0

    @property
    def known(self) -> int:
        """Number of rows, the unknown included, that the model knows: all but the guests."""
        return len(self.ids) - self.guests

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Events:
    """Interactions by dense ids, sorted by user, then time; the columns of the interaction table lie beside them.

    Attributes:
        ids: role -> int32 `[events]`; the first is who acts (the user), the second what is acted on (the item). Empty for
            data whose rows stand for themselves.
        time: int64 `[events]`, seconds on the fold's clock.
        group: int64 `[events]`, number of the basket or session; each event is its own group where data have none.
        columns: the other declared columns (context, labels), aligned.
        offsets: int64 `[users + 1]`; user u's events are `offsets[u]:offsets[u + 1]`.
        weight: float32 `[events]`, what each counts by the columns of kind `weight` for all tasks; None = 1.
    """

    ids: Mapping[str, np.ndarray]
    time: np.ndarray
    group: np.ndarray
    columns: pa.Table
    offsets: np.ndarray
    weight: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.time)

    @property
    def item(self) -> str | None:
        """The role of what is acted on, if there is one."""
        return next(iter([*self.ids][1:]), None)


@dataclass(frozen=True)
class Sizes:
    """How large data are: `users` who act, `items` that are acted on, and `events`, the interactions."""

    users: int
    items: int
    events: int


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
        dropped: why interactions are not among the events -> how many; where that depends on the catalogs, by part
            (`eval: item not in the catalog`): `train` before `fit`, `eval` from the cut on, `past` between.
        schema: the declared columns.
        earlier: entity -> how many ids of its catalog, the first ones, are those of the run that this one goes on with; empty
            where it goes on with none.
        classes: label -> its classes, where the events are some of those that tell them; else these tell.
    """

    name: str
    fit: int
    cut: int
    end: int
    entities: Mapping[str, Entity]
    events: Events
    schema: Schema
    dropped: Mapping[str, int] = field(default_factory=dict)
    earlier: Mapping[str, int] = field(default_factory=dict)
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def catalog(self, scope: str) -> Entity:
        """The catalog of an entity, by its own name or that of a role."""
        return self.entities[self.schema.scopes[scope]]

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

    def take(self, rows: np.ndarray) -> Ragged:
        """Some of the rows, in the order of their numbers `rows`, int `[n]`."""
        import numpy as np

        begin, size = self.offsets[rows], self.offsets[rows + 1] - self.offsets[rows]
        offsets = np.append(0, np.cumsum(size))
        flat = np.repeat(begin - offsets[:-1], size) + np.arange(offsets[-1])
        return Ragged(offsets, {name: values[flat] for name, values in self.values.items()})


@dataclass(frozen=True)
class Shared:
    """What several rows have in common. Row r has `values[index[r]]`.

    Attributes:
        index: int32 `[rows]`.
        values: `[distinct, ...]`.
    """

    index: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class RowTable:
    """Rows on which tasks train or are evaluated: ids, time, context, labels, weights, and named columns of any kind.

    Each kind of column has names of its own: a context column, a label and a list may be called alike.

    Attributes:
        name: the recipe's name of the table.
        ids: role -> int32 `[rows]`; roles that a row does not have are absent. The first is who acts.
        time: int64 `[rows]`, when the row took place; empty for tables without time (items).
        history: int64 `[rows, 2]`, begin and end of the row's own past in the fold's events (strictly before the row's
            basket or moment); empty `[0, 2]` for tables without history.
        known: int64 `[rows]`, what happened strictly before it is known of the row: `time`, or when the row's basket began;
            empty as `time` is.
        context: column -> `[rows]`.
        statistics: name -> float32 `[rows, n]`, what a preprocessor makes of what was known before each row.
        labels: label -> `[rows]`, float32 for binary and numeric labels, int32 for classes; float32 0 and 1 `[rows, classes]`
            where any number of classes applies. Placeholders are finite.
        weights: label -> float32 `[rows]`; 0 = the row does not exist for the tasks of this label.
        dense: name -> `[rows, ...]`.
        lists: name -> lists of unequal length; `target` holds the rows' positives (values `item`) for tables that have them.
        shared: name -> what several rows have in common.
        classes: label -> names of its classes, for labels with several.
        left_out: why rows are not among these (`user without a past`) -> how many.
        unseen: label -> int32 `[rows]`, for labels of any number of classes: how many of a row's training lacks.
        note: one line that states the population ("lines of purchase", "30-day windows of households with a past").
        event: int64 `[rows]`, the rows' places among the fold's events; None where they are none.
        sequence: int32 `[rows]`, ascending: rows of one number are places in one sequence of events of a user, oldest first, and
            are drawn together; each has a past, of which that of the last is the longest. None = rows are drawn alone.
        kept: label of 0 and 1 -> how many negatives there are among the rows for each positive, as a share of what it would be.
            A row counts for as many as it stands for, but for tasks of the label, for which it counts 1: it is their heads that
            correct what they predict.
        copies: label of 0 and 1 -> how often each of its positives is among the rows, where that is more than once.
        ends: int64 `[rows]`, what a row teaches happened strictly before it, of rows that are of a span; None = at `time`.
    """

    name: str
    ids: Mapping[str, np.ndarray]
    time: np.ndarray
    history: np.ndarray
    known: np.ndarray
    context: Mapping[str, np.ndarray] = field(default_factory=dict)
    statistics: Mapping[str, np.ndarray] = field(default_factory=dict)
    labels: Mapping[str, np.ndarray] = field(default_factory=dict)
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)
    dense: Mapping[str, np.ndarray] = field(default_factory=dict)
    lists: Mapping[str, Ragged] = field(default_factory=dict)
    shared: Mapping[str, Shared] = field(default_factory=dict)
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    unseen: Mapping[str, np.ndarray] = field(default_factory=dict)
    note: str = ""
    event: np.ndarray | None = None
    sequence: np.ndarray | None = None
    kept: Mapping[str, float] = field(default_factory=dict)
    copies: Mapping[str, int] = field(default_factory=dict)
    ends: np.ndarray | None = None

    def __len__(self) -> int:
        return len(next(iter(self.ids.values()), self.time))

    @property
    def units(self) -> int:
        """How many there are of what steps draw: rows, or sequences of them."""
        return len(self) if self.sequence is None else int(self.sequence[-1]) + 1

    def columns(self) -> frozenset[str]:
        """Names of the columns of any kind: dense ones, lists, and shared ones."""
        return frozenset((*self.dense, *self.lists, *self.shared))

    def take(self, rows: np.ndarray) -> RowTable:
        """Some of the rows, in the order of their numbers `rows`, int `[n]`, which may repeat; they are drawn alone then."""

        def taken(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {name: values[rows] for name, values in columns.items()}

        def timed(values: np.ndarray) -> np.ndarray:
            return values[rows] if len(values) else values

        return replace(
            self,
            ids=taken(self.ids),
            time=timed(self.time),
            history=timed(self.history),
            known=timed(self.known),
            context=taken(self.context),
            statistics=taken(self.statistics),
            labels=taken(self.labels),
            weights=taken(self.weights),
            unseen=taken(self.unseen),
            dense=taken(self.dense),
            lists={name: values.take(rows) for name, values in self.lists.items()},
            shared={name: Shared(values.index[rows], values.values) for name, values in self.shared.items()},
            event=None if self.event is None else self.event[rows],
            ends=None if self.ends is None else self.ends[rows],
            sequence=None,
        )

    def weighed(self, names: Sequence[str]) -> RowTable:
        """The table as a task sees it that weighs rows by the product of some dense columns, those of them that there are.

        The product multiplies the weights of labels, and is itself what rows count (`ROW_WEIGHT`).
        """
        found = [self.dense[name] for name in names if name in self.dense]
        if not found:
            return self
        scale = math.prod(found[1:], start=found[0])
        weights = {label: values * scale for label, values in self.weights.items()}
        return replace(self, weights=weights, dense={**self.dense, ROW_WEIGHT: scale})

    def of_population(self, label: str) -> RowTable:
        """The table with weights by which rows count what they stand for, for who learns from the label's weights alone."""
        import numpy as np

        if label not in self.kept:
            return self
        copies = np.float32(self.copies.get(label, 1))
        weights = self.weights[label] / copies
        weights = np.where(self.labels[label] > 0, weights, weights / np.float32(self.kept[label]))
        return replace(self, weights={**self.weights, label: weights}, kept={}, copies={})


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
        weights: float32 `[rows]`, above 0: what each row counts; None = 1.
    """

    items: np.ndarray
    hits: np.ndarray
    relevant: np.ndarray
    catalog: int
    shares: np.ndarray | None = None
    targets: Ragged | None = None
    vectors: Mapping[str, Any] = field(default_factory=dict)
    weights: np.ndarray | None = None


@dataclass(frozen=True)
class LabeledRows:
    """Rows of a prediction task as its metrics and baselines see them.

    Attributes:
        columns: address (`item.text`, `user.age`) -> raw values `[rows]`, strings or numbers, nulls as None or nan; ids
            (`item.id`) are rows of the entity's table; lists are `[rows, n]`, as of `mtkit.data.list_values.padded`.
        labels: `[rows]`, 0/1, class numbers, or numbers; `[rows, classes]`, 0/1, where any number of classes applies.
        weights: float32 `[rows]`.
        classes: number of classes; 2 for a binary label, 0 for a numeric one.
        kinds: address -> how its column is declared.
        groups: int32 `[rows]`, the user of each row, or what else acts; rows of an entity are their own. None: rows that
            stand for themselves.
        acting: the entity whose rows the groups are.
        unseen: int32 `[rows]`, how many classes of a row training lacks, where any number of them applies.
        form: what the label is to its task, `mtkit.spec.TaskHead.form`.
        queries: int32 `[rows]`, the query of each row, within which metrics of groups look; None: its group.
    """

    columns: Mapping[str, np.ndarray]
    labels: np.ndarray
    weights: np.ndarray
    classes: int
    kinds: Mapping[str, ColumnKind] = field(default_factory=dict)
    groups: np.ndarray | None = None
    acting: str = ""
    unseen: np.ndarray | None = None
    form: str = ""
    queries: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> LabeledRows:
        """Some of the rows, by their numbers int `[n]`."""

        def taken(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else values[rows]

        return replace(
            self,
            columns={address: values[rows] for address, values in self.columns.items()},
            labels=self.labels[rows],
            weights=self.weights[rows],
            groups=taken(self.groups),
            queries=taken(self.queries),
            unseen=taken(self.unseen),
        )
