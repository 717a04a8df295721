"""Kinds of row tables: what the rows are on which tasks train and are evaluated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from mtkit.conditions import Where
from mtkit.durations import in_words
from mtkit.errors import DataError, nearest
from mtkit.schema import CONTEXT, HISTORY, Column
from mtkit.spec import Duration, Holds, Name, PositiveInt, Rows
from mtkit.types import DAY

if TYPE_CHECKING:
    import numpy as np

    from mtkit.schema import Schema
    from mtkit.types import Fold, Part, RowTable

_WITH_A_PAST = "users with a past who act {}"

Seed = Annotated[int, Field(ge=0)]


class _OfEvents(Rows):
    """Options of tables that are made of interactions."""

    where: Where | None = Field(
        None,
        description="which interactions its rows, or targets, are: a condition, or the name of `[events.NAME]`; default: all",
    )
    past: Where | None = Field(
        None,
        description="which interactions count as the rows' own past: as items had before, in activity and popularity, and as "
        "what makes a user one with a past; default: all. What encoders of a past read, they say themselves",
    )
    eval_length: Duration | None = Field(
        None,
        description="evaluate on so long a time from the cut on, so that labels of other tables may look further ahead; default: "
        "until the end of the part",
    )

    @property
    def counted(self) -> Where | None:
        """`past`."""
        return self.past

    @property
    def targets(self) -> Where | None:
        """`where`."""
        return self.where

    def _end(self, fold: Fold) -> int:
        """Where evaluation ends, seconds.

        Raises:
            DataError: the part is shorter.
        """
        return fold.end if self.eval_length is None else end_after(fold, self.eval_length, "eval_length")


class _OfTargets(_OfEvents):
    """Options of tables whose rows have lists of targets; evaluation has a row for each user who acts from the cut on."""

    eval_sample: PositiveInt | None = Field(None, description="evaluate on at most this many users, drawn uniformly")
    seed: Seed = Field(0, description="of what is drawn")

    def of_share(self, share: float) -> Rows:
        """The same, with a share of `eval_sample`."""
        return self.model_copy(update={"eval_sample": _part(self.eval_sample, share)})

    def holds(self, schema: Schema) -> Holds:
        """Who acts, with a past, and targets."""
        return Holds(scopes=(*[*schema.roles][:1], HISTORY), targets=True)

    @property
    def _of(self) -> str:
        """Which interactions count, in words."""
        acts = f" ({self.where.in_words()})" if self.where else ""
        return acts + (f"; the past: {self.past.in_words()}" if self.past else "")

    def _evaluated(self, fold: Fold, *, everyone: bool = False) -> RowTable:
        """The window from the cut on, of users with a past, or of everyone."""
        import numpy as np

        from mtkit.data.row_builders import sample, window_table

        end = self._end(fold)
        days = (end - fold.cut) / DAY
        when = f"in the {days:g} days from the cut" if days >= 1 else "from the cut on"
        who = f"users who act {when}, with a past or without" if everyone else _WITH_A_PAST.format(when)
        note = f"{who}{self._of}; targets: their distinct items"
        table = window_table(fold, [(fold.cut, end)], note, self.where, self.past, without_past=everyone)
        if self.eval_sample is None:
            return table
        drawn = table.take(sample(np.arange(len(table)), self.eval_sample, self.seed))
        note = f"{table.note}; at most {self.eval_sample:,} of {len(table):,}, drawn uniformly (seed {self.seed})"
        return replace(drawn, note=note)


class Windows(_OfTargets):
    """(user, window) with the distinct items of the window as targets.

    Training has windows that end at the cut and at `stride` before each other; evaluation has one, from the cut on.
    A user has a row if he or she acts in the window, and has a past before it, unless `without_past` says otherwise.
    Features are as of the window's start; of a user without a past, the past is empty. Users that never train are in
    the catalog, with their own attributes, where that has all rows of their table (`min_count = 0`).
    """

    length: Duration = Field(timedelta(days=30), description="how long a training window is")
    count: PositiveInt = Field(13, description="number of training windows")
    stride: Duration | None = Field(None, description="from one training window's start to the next; default: `length`")
    without_past: Literal["leave_out", "evaluate", "train"] = Field(
        "leave_out",
        description="users without a past before the window: they have no rows (and are counted), rows to be evaluated on, "
        "or rows to train on, too",
    )

    def make(self, fold: Fold, part: Part) -> RowTable:
        """Windows with targets, histories and own past items."""
        from mtkit.data.row_builders import window_table

        if part == "eval":
            return self._evaluated(fold, everyone=self.without_past != "leave_out")
        length, stride = whole_seconds(self.length), whole_seconds(self.stride or self.length)
        starts = [fold.fit - length - k * stride for k in range(self.count)]
        windows = "the window" if self.count == 1 else f"{self.count} windows"
        everyone = self.without_past == "train"
        who = (
            "users who act in the window, with a past or without" if everyone else _WITH_A_PAST.format("in the window")
        )
        note = f"{windows} of {in_words(self.length)} before the cut; {who}{self._of}"
        spans = [(start, start + length) for start in starts]
        return window_table(fold, spans, note, self.where, self.past, without_past=everyone)


class Profiles(_OfTargets):
    """(user) with the distinct items of the past as targets: what encoders read is also what is to be predicted.

    For models that reconstruct a profile from a part of it, which they do not see all of: encoders of the past drop items in
    training (`history`, `dropout`). Training has a row for each user, whose past ends where training does, so that rows know
    nothing that training does not. Evaluation is that of `windows`: from the cut on, with the past before it.
    """

    def make(self, fold: Fold, part: Part) -> RowTable:
        """Users with their past, of which the targets are."""
        from mtkit.data.row_builders import profile_table

        if part == "eval":
            return self._evaluated(fold)
        note = f"users who act before the cut{self._of}; targets: the distinct items of their past"
        return profile_table(fold, note, self.where, self.past)


class _EventRows(_OfEvents):
    """Options of tables whose rows are events."""

    since: Duration | None = Field(None, description="train only on events within this duration before the cut")
    sample: PositiveInt | None = Field(None, description="train on at most this many events, drawn uniformly")
    eval_sample: PositiveInt | None = Field(None, description="evaluate on at most this many events, drawn uniformly")
    seed: Seed = Field(0, description="of what is drawn")

    def of_share(self, share: float) -> Rows:
        """The same, with a share of what is drawn."""
        drawn = {name: _part(getattr(self, name), share) for name in ("sample", "eval_sample")}
        return self.model_copy(update=drawn)

    def holds(self, schema: Schema) -> Holds:
        """All that interactions have, with the labels of `_labels`."""
        return Holds(self._labels(schema), (CONTEXT, *schema.roles, *([HISTORY] if schema.roles else [])))

    def _labels(self, schema: Schema) -> Mapping[str, Column]:
        return {}

    def _positions(self, fold: Fold, part: Part) -> np.ndarray:
        from mtkit.data.row_builders import event_positions

        length = self._end(fold) - fold.cut if part == "eval" else None
        return event_positions(fold, part, whole_seconds(self.since) if self.since else None, self.where, length)

    def _sampled(self, positions: np.ndarray, part: Part) -> np.ndarray:
        from mtkit.data.row_builders import sample

        return sample(positions, self.sample if part == "train" else self.eval_sample, self.seed)


class Interactions(_EventRows):
    """Events as they are, with their labels: lines of purchase, clicks, ratings."""

    labels: tuple[Name, ...] = Field((), description="labels of the interactions; empty = all")
    chosen: Where | None = Field(
        None,
        description="makes a label `chosen`: 1 where the condition holds, and 0 for the other rows, which were shown and not "
        "chosen (explicit negatives)",
    )
    negatives_of: Name | None = Field(
        None, description="a label of 0 and 1 with far more 0 than 1, of which training keeps `keep_negatives`"
    )
    keep_negatives: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0,
        description="share of the rows with 0 in `negatives_of` that training keeps, drawn by `seed`; all are evaluated. "
        "Probabilities of the label are those of all rows, and for tasks of other labels a row that is kept counts for 1 / share",
    )

    positives_of: Name | None = Field(
        None, description="a label of 0 and 1 with few 1, whose rows training sees `repeat_positives` times"
    )
    repeat_positives: PositiveInt = Field(
        1,
        description="how often training has each row with 1 in `positives_of`. Probabilities of the label are those of all rows, "
        "and for tasks of other labels a row counts 1 in all",
    )

    @model_validator(mode="after")
    def _positives_of_a_label(self) -> Self:
        if (self.positives_of is None) != (self.repeat_positives == 1):
            raise ValueError("positives_of says of which label, and repeat_positives how often (5); give both, or none")
        if (name := self.positives_of) and self.labels and name not in self._names:
            raise ValueError(f"positives_of is {name!r}, which is no label of these rows; {nearest(name, self._names)}")
        return self

    def _labels(self, schema: Schema) -> Mapping[str, Column]:
        return _named(self.labels, schema) | ({"chosen": Column(kind="label")} if self.chosen else {})

    def mistakes(self, schema: Schema) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Labels that there are not."""
        yield from _no_labels(self.labels, schema)

    @property
    def _names(self) -> tuple[str, ...]:
        return (*self.labels, *(("chosen",) if self.chosen else ()))

    @model_validator(mode="after")
    def _negatives_of_a_label(self) -> Self:
        if (self.negatives_of is None) != (self.keep_negatives == 1):
            raise ValueError(
                "negatives_of says of which label, and keep_negatives which share (0.1); give both, or none"
            )
        if (name := self.negatives_of) and self.labels and name not in self._names:
            raise ValueError(f"negatives_of is {name!r}, which is no label of these rows; {nearest(name, self._names)}")
        return self

    def make(self, fold: Fold, part: Part) -> RowTable:
        """Events with ids, context, labels, and the history before their group."""
        from mtkit.data.labels import event_labels
        from mtkit.data.negatives import more_positives, some_negatives
        from mtkit.data.row_builders import event_table

        positions = self._sampled(self._positions(fold, part), part)
        labels = event_labels(fold, positions, self.labels or fold.schema.of_kind("label"), part)
        if self.chosen:
            labels.add_condition("chosen", self.chosen, fold, positions)
        table = event_table(fold, positions, labels, f"interactions that took place{_scope(self, part)}")
        if part == "train" and self.negatives_of:
            table = some_negatives(table, self.negatives_of, self.keep_negatives, self.seed)
        if part == "train" and self.positives_of:
            table = more_positives(table, self.positives_of, self.repeat_positives)
        return table


class Sequences(_EventRows):
    """Events as `interactions` has them, of which those of a user are drawn together: next items, at all places of a sequence.

    A row asks for an event and reads those before it. Encoders of a past (`sequence`) read the events of a sequence once for all
    of its rows, so a step costs about as much as one that asks for the last event of each user. A sequence has `length` past
    events at most: the last one of a user has the latest, the one before those before it. Events without a past are no rows.
    `batch_size` is a number of sequences. What is evaluated are single events; next items are ranked on `windows`.
    """

    length: PositiveInt = Field(
        50, description="how many past events a sequence has at most; encoders read as many at least"
    )
    labels: tuple[Name, ...] = Field((), description="labels of the interactions; empty = all")

    @property
    def sequence_length(self) -> int:
        """`length`."""
        return self.length

    def _labels(self, schema: Schema) -> Mapping[str, Column]:
        return _named(self.labels, schema)

    def mistakes(self, schema: Schema) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Labels that there are not."""
        yield from _no_labels(self.labels, schema)

    def make(self, fold: Fold, part: Part) -> RowTable:
        """Events with ids, context, labels, and the history before their group; those that train, in sequences."""
        from mtkit.data.labels import event_labels
        from mtkit.data.row_builders import event_table, in_sequences

        positions = self._sampled(self._positions(fold, part), part)
        labels = event_labels(fold, positions, self.labels or fold.schema.of_kind("label"), part)
        table = event_table(fold, positions, labels, f"interactions that took place{_scope(self, part)}")
        if part == "eval":
            return table
        table = in_sequences(table, self.length)
        note = f"{table.note}; those with a past, in {table.units:,} sequences of {self.length} past events at most"
        return replace(table, note=note)


class SampledNegatives(_EventRows):
    """Events with label `preferred` 1, and random items that the user never had, with label 0.

    An item counts once per group (basket). A negative differs from its positive in nothing but the item. Items of the
    user's events before the cut are never negatives; in evaluation, nor are those before the end.
    """

    drawn: ClassVar[bool] = True

    negatives: PositiveInt = Field(4, description="negatives per positive, drawn uniformly from the catalog")

    def _labels(self, schema: Schema) -> Mapping[str, Column]:
        return {"preferred": Column(kind="label")}

    def make(self, fold: Fold, part: Part) -> RowTable:
        """Positives, then their negatives."""
        from mtkit.data.labels import Labels
        from mtkit.data.negatives import with_negatives
        from mtkit.data.row_builders import event_table, first_in_group

        positions = first_in_group(fold.events, self._positions(fold, part))
        positions = self._sampled(positions[list(fold.events.ids.values())[1][positions] > 0], part)
        until = "cut" if part == "train" else "end of evaluation"
        note = (
            f"items acted on, once per group{_scope(self, part)}, each with {self.negatives} items drawn uniformly "
            f"from those that the user has never had until the {until} (seed {self.seed})"
        )
        positives = event_table(fold, positions, Labels(), note)
        known_before = fold.fit if part == "train" else fold.end
        return with_negatives(fold, positives, "preferred", self.negatives, known_before, self.seed)


class EntityRows(Rows):
    """One row per entity, with its labels; evaluation is on groups that training never sees.

    Groups fall to a part by a hash of their value, so that a group is where it is whatever the catalog. Training for
    validation goes without the groups of test, too.
    """

    entity: Name = Field("item", description="the entity whose rows these are")
    holdout_by: Name = Field(description="column of the entity; rows with the same value stay together")
    holdout: Annotated[float, Field(gt=0, lt=0.5)] = Field(
        0.2, description="share of the groups held out for validation, and again for test"
    )
    seed: Seed = Field(0, description="of what is held out")

    def holds(self, schema: Schema) -> Holds | None:
        """The entity, with its labels."""
        if self.entity not in schema.entities:
            return None
        columns = schema.entities[self.entity]
        labels = {f"{self.entity}.{name}": columns[name] for name in schema.of_kind("label", self.entity)}
        return Holds(labels, (self.entity,))

    def mistakes(self, schema: Schema) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """An entity, or a column of it, that there is not."""
        if self.entity not in schema.entities:
            yield ("entity",), f"the data have no such entity; {nearest(self.entity, schema.entities)}"
        elif self.holdout_by not in (known := schema.entities[self.entity]):
            yield (
                ("holdout_by",),
                f"{self.entity}.{self.holdout_by} is no declared column; {nearest(self.holdout_by, known)}",
            )

    def of_share(self, share: float) -> None:
        """Its rows are those of the catalog."""

    def make(self, fold: Fold, part: Part) -> RowTable:
        """The catalog's rows in or out of the held-out groups, with weight 1."""
        from mtkit.data.row_builders import entity_table

        rows = 1 + self._held_out(fold, part).nonzero()[0]
        where = "in held-out" if part == "eval" else "in the other"
        note = f"each {self.entity} of the catalog once, {where} groups by {self.holdout_by} (seed {self.seed})"
        return entity_table(fold, self.entity, rows, note)

    def _held_out(self, fold: Fold, part: Part) -> np.ndarray:
        """Whether each row of the catalog (without the unknown) belongs to the part."""
        from mtkit.data.columns import layer_input, raw
        from mtkit.data.row_builders import held_out

        declared = fold.schema.entities.get(self.entity, {})
        if self.holdout_by not in declared:
            hint = nearest(self.holdout_by, declared)
            raise DataError(f"holdout_by: {self.entity}.{self.holdout_by} is no declared column; {hint}")
        column = fold.entities[self.entity].columns[self.holdout_by]
        groups = layer_input(raw(column, declared[self.holdout_by]))[1 : fold.entities[self.entity].known]
        for_test = held_out(groups, 0.0, self.holdout, self.seed)
        for_valid = held_out(groups, self.holdout, 2 * self.holdout, self.seed)
        if part == "eval":
            return for_test if fold.name == "test" else for_valid
        return ~for_test if fold.name == "test" and fold.fit == fold.cut else ~(for_test | for_valid)


def _named(labels: Sequence[str], schema: Schema) -> dict[str, Column]:
    """The labels of the interactions, or those that are named."""
    known = schema.of_kind("label")
    return {name: schema.interactions[name] for name in labels or known if name in known}


def _no_labels(labels: Sequence[str], schema: Schema) -> Iterator[tuple[tuple[str | int, ...], str]]:
    known = schema.of_kind("label")
    for index, name in enumerate(labels):
        if name not in known:
            yield ("labels", index), f"{name!r} is no label of the interactions; {nearest(name, known)}"


def end_after(fold: Fold, length: timedelta, key: str) -> int:
    """Where what is evaluated ends, seconds; data end with their last interaction, so a day that has begun is a whole one.

    Args:
        fold: whose cut it begins at.
        length: how long it is.
        key: of the row table that says so.

    Raises:
        DataError: the part is shorter.
    """
    if (end := fold.cut + whole_seconds(length)) >= fold.end + DAY:
        raise DataError(
            f"{key} of a row table is {in_words(length)}, but {fold.name} ends {(fold.end - fold.cut) / DAY:.3g} days after its "
            "cut; set a shorter one, or move the dates of data.split"
        )
    return min(end, fold.end)


def whole_seconds(duration: timedelta) -> int:
    """A duration in seconds."""
    return int(duration.total_seconds())


def _part(size: int | None, share: float) -> int | None:
    """So much of a size, at least 1."""
    return None if size is None else max(1, round(size * share))


def _scope(rows: _EventRows, part: Part) -> str:
    """What a note says about the part."""
    drawn = rows.sample if part == "train" else rows.eval_sample
    some = f", at most {drawn:,} of them" if drawn else ""
    some += f"; {rows.where.in_words()}" if rows.where else ""
    if part == "eval":
        within = f" in the {in_words(rows.eval_length)}" if rows.eval_length else ""
        return f"{within} from the cut on{some}"
    since = f" in the {in_words(rows.since)}" if rows.since else ""
    return f"{since} before the cut{some}"
