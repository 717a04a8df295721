"""What training could know of what is evaluated: a linter over the raw data, by declarations and parts; no TensorFlow."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from mtkit.data.columns import codes, raw
from mtkit.data.encoded import Encoded, Repeats, first_rows, present, value_of, which_in
from mtkit.data.list_values import told_by_one
from mtkit.errors import DataError
from mtkit.recipe.loader import Recipe
from mtkit.recipe.plan import Plan
from mtkit.schema import CONTEXT, HISTORY, Address, Column
from mtkit.shown import counted
from mtkit.spec import Cut
from mtkit.types import DAY, Dataset

#: Rows, or distinct values, from which on a coincidence can be ruled out.
ENOUGH = 30
#: Rows of an entity whose statistics rule most coincidences out.
SOME = 1000


@dataclass(frozen=True)
class Finding:
    """Something that training could know of what is evaluated.

    Attributes:
        level: `error` = certain; `warning` = look at it; `note` = a property of the protocol, counted.
        where: the column, or the part.
        what: what was found.
        count: how many rows or ids it concerns.
        advice: what to do.
    """

    level: Literal["error", "warning", "note"]
    where: str
    what: str
    count: int
    advice: str

    def __str__(self) -> str:
        return f"{self.level}: {self.where}: {self.what}; {self.advice}"


def find_leaks(recipe: Recipe, dataset: Dataset, valid: Cut, test: Cut) -> list[Finding]:
    """Everything that is found, the certain first.

    Columns are looked at that a task of the recipe predicts or an encoder reads.
    """
    plan, parts, data = recipe.plan, recipe.data.split.reads, Encoded(dataset)
    found = [*_recoded(plan, data), *_ahead(plan, data), *_statistics(recipe.columns_read, data, test)]
    found += [*_dividing(recipe, parts, dataset), *_divided(data, valid), *_divided(data, test)]
    found += _repeated(data, test, parts)
    found += [*_later(data, test), *_new(recipe, data, test)]
    return sorted(found, key=lambda finding: ("error", "warning", "note").index(finding.level))


def refuse(findings: list[Finding]) -> None:
    """Stops what would give figures that mean nothing.

    Raises:
        DataError: a finding is certain.
    """
    if certain := [f"\n  {finding}" for finding in findings if finding.level == "error"]:
        raise DataError(f"training would know what is to be predicted:{''.join(certain)}")


def _recoded(plan: Plan, data: Encoded) -> Iterator[Finding]:
    """Features that say the label of their own row."""
    for task, label_at in [
        (task, Address(label)) for task, spec in plan.predictions().items() for label in spec.labels
    ]:
        scope, name = label_at.scope or CONTEXT, label_at.column
        table = data.interactions if scope == CONTEXT else data.entities[scope]
        declared = data.schema.columns(scope)
        if name not in declared:
            continue  # made by the row table
        label = data.codes(name) if scope == CONTEXT else codes(table[name])
        for address in plan.features(task):
            column = address.column
            if address.scope == scope and column in declared:
                yield from _told(address, label_at, table[column], declared[column], label)


def _told(address: str, label: str, column: pa.ChunkedArray, declared: Column, labels: np.ndarray) -> Iterator[Finding]:
    rows, classes = int(np.count_nonzero(labels >= 0)), int(labels.max(initial=-1)) + 1
    if classes < 2 or rows < ENOUGH * classes:
        return
    advice = f"if {label!r} is computed from it, declare it among the label's `sources`, or do not read it"
    values = _telling_values(column, labels, rows // 10)
    if values == classes:
        yield Finding("error", address, f"has one value for each value of the label {label!r}", rows, advice)
    elif values:
        yield Finding("warning", address, f"every value of it goes with one of the label {label!r}", rows, advice)
    elif declared.kind == "numeric" and classes == 2 and _separates(column, declared, labels):
        yield Finding("warning", address, f"one threshold on it tells the label {label!r}", rows, advice)
    elif declared.listed and (value := told_by_one(raw(column, declared), labels)):
        yield Finding(
            "error", address, f"has {value!r} where the label {label!r} has one value, and nowhere else", rows, advice
        )


def _telling_values(column: pa.ChunkedArray, labels: np.ndarray, most: int) -> int:
    """How many values a column has, null being one, if each goes with one label; 0 if not, or if they are more than `most`."""
    values = 0
    for rows in first_rows(len(labels)):
        there = labels[:rows] >= 0
        code = codes(column.slice(0, rows))[there] + 1
        label = value_of(code, labels[:rows][there])
        values = 0 if label is None else int(np.count_nonzero(present(code)))
        if label is None or values > most:
            return 0
    return values


def _separates(column: pa.ChunkedArray, declared: Column, labels: np.ndarray) -> bool:
    """Whether all numbers of one label, 0 or 1, are below those of the other."""
    both = False
    for rows in first_rows(len(labels)):
        numbers, label = raw(column.slice(0, rows), declared), labels[:rows]
        one, other = (numbers[~np.isnan(numbers) & (label == which)] for which in (0, 1))
        both = bool(len(one) and len(other))
        if both and one.max() >= other.min() and other.max() >= one.min():
            return False
    return both


def _ahead(plan: Plan, data: Encoded) -> Iterator[Finding]:
    """Labels that what happens later decides, without a horizon that covers it."""
    schema = data.schema
    if schema.time is None:
        return
    repeats = _repeats(data)
    labels = dict.fromkeys(label for spec in plan.predictions().values() for label in spec.labels)
    names = [label for label in labels if label in schema.interactions]
    for name in names:
        declared = schema.interactions[name]
        if declared.classes or declared.listed:
            continue
        label = data.numbers(name)
        if not ((label == 0) | (label == 1) | np.isnan(label)).all():
            continue
        covered = declared.horizon.total_seconds() if declared.horizon else 0.0
        what, reach = _reach(repeats, label)
        if reach > covered:
            advice = f'declare `horizon = "{math.ceil(reach / DAY)}d"` for the label, so that it ends with its part'
            yield Finding("error", name, f"says whether {what} within {reach / DAY:.3g} days", len(label), advice)
        elif declared.horizon is None:
            yield from _fading(name, label, data.time)


def _repeats(data: Encoded) -> dict[str, Repeats]:
    """What may happen again -> when it does."""
    roles = list(data.schema.roles)[:2]
    if not roles:
        return {}
    user, item = (data.codes(data.schema.reference(role)) for role in roles)
    return {
        f"the {roles[0]} acts again": Repeats(data.time, user),
        f"the {roles[0]} has the same {roles[1]} again": Repeats(data.time, user, item),
        f"the {roles[1]} is acted on again": Repeats(data.time, item),
    }


def _reach(repeats: Mapping[str, Repeats], label: np.ndarray) -> tuple[str, float]:
    """What it is that the label, or its opposite, says to happen again, and within how many seconds; 0 = nothing."""
    yes, no = label == 1, label == 0
    if min(np.count_nonzero(yes), np.count_nonzero(no)) < ENOUGH:
        return "", 0.0
    for what, repeat in repeats.items():
        for positive, negative in ((yes, no), (no, yes)):
            if (positive & repeat.last).any():
                continue
            reach = float(repeat.gap[positive].max())
            if math.isfinite(reach) and (repeat.gap[negative] > reach).all():
                return what, reach
    return "", 0.0


def _fading(name: str, label: np.ndarray, time: np.ndarray) -> Iterator[Finding]:
    """A label whose positives end before the data do."""
    end, span = time.max(initial=0), np.ptp(time) if len(time) else 0
    late, before = time > end - 0.02 * span, (time <= end - 0.02 * span) & (time > end - 0.22 * span)
    there = ~np.isnan(label)
    last, usual = label[late & there], label[before & there]
    if len(last) < ENOUGH or len(usual) < ENOUGH:
        return
    expected = usual.mean()
    deviation = math.sqrt(max(expected * (1 - expected), 1e-12) / len(last))
    if last.mean() < expected / 2 and last.mean() < expected - 6 * deviation:
        what = f"is positive in {expected:.1%} of the rows, and in {last.mean():.1%} of those just before the end of the data"
        yield Finding("warning", name, what, len(last), "if it looks ahead, declare its `horizon`")


def _statistics(reads: Collection[str], data: Encoded, test: Cut) -> Iterator[Finding]:
    """Numeric features that are statistics of an entity over all interactions, those of the test included."""
    for role in data.schema.roles:
        features = dict(_numbers(data, role, reads))
        some = np.flatnonzero(data.rows(role) < SOME) if features else None
        for what, statistic in _of_entity(data, role) if features else ():
            few = statistic(some)
            candidates = {address: values for address, values in features.items() if _levels(values, few) >= 0}
            whole = statistic() if candidates else few
            for address, values in candidates.items():
                if _levels(values, whole) < ENOUGH:
                    continue
                past = statistic(data.moments(test) < test.cut)
                if _levels(values, past) < ENOUGH:
                    changed = int((np.nan_to_num(whole) != np.nan_to_num(past)).sum())
                    advice = "compute it from what lies before the test, or do not read it"
                    yield Finding("error", address, f"is {what}, the test's included", changed, advice)


def _numbers(data: Encoded, role: str, reads: Collection[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Numeric features of an entity, and those of the context that have one value for each row of it: address, values."""
    schema, entity = data.schema, data.schema.roles[role]
    scopes = [scope for scope, of in schema.scopes.items() if of == entity]
    for name in schema.of_kind("numeric", entity):
        if read := [address for scope in scopes if (address := Address.of(scope, name)) in reads]:
            yield read[0], raw(data.entities[entity][name], schema.entities[entity][name])
    for name in schema.of_kind("numeric"):
        address = Address.of(CONTEXT, name)
        if address in reads and (values := _of_rows(data, role, name)) is not None:
            yield address, values


def _of_rows(data: Encoded, role: str, name: str) -> np.ndarray | None:
    """The number that all interactions of each row of an entity have; nan = none, None = some have several."""
    numbers, values = data.numbers(name), None
    for rows in first_rows(len(numbers)):
        row = data.rows(role, rows)
        there = (row >= 0) & ~np.isnan(numbers[:rows])
        values = value_of(row[there], numbers[:rows][there], len(data.entities[data.schema.roles[role]]), np.nan)
        if values is None:
            return None
    return values


def _of_entity(data: Encoded, role: str) -> Iterator[tuple[str, _Statistic]]:
    """Statistics of each row of an entity over the interactions that are selected: (what, function of these)."""
    row, count = data.rows(role), len(data.entities[data.schema.roles[role]])
    yield f"the number of interactions of its {role}", _Statistic(row, count, None)
    for name, column in data.schema.interactions.items():
        if column.kind == "numeric" or (column.kind == "label" and not (column.classes or column.listed)):
            yield f"the mean of {name} of its {role}", _Statistic(row, count, data.numbers(name))


@dataclass(frozen=True)
class _Statistic:
    """The count of interactions by row of an entity, or the mean of some numbers of theirs; nan where there are none."""

    row: np.ndarray
    rows: int
    numbers: np.ndarray | None

    def __call__(self, selected: np.ndarray | None = None) -> np.ndarray:
        """The statistic `[rows]` over some interactions, by their numbers or a mask; None = all."""
        row = (self.row if selected is None else self.row[selected]) + 1  # those of no row come first
        if self.numbers is None:
            return _positive(np.bincount(row, minlength=self.rows + 1)[1:])
        numbers = self.numbers if selected is None else self.numbers[selected]
        there = ~np.isnan(numbers)
        row *= there
        count = _positive(np.bincount(row, minlength=self.rows + 1)[1:])
        mean: np.ndarray = np.bincount(row, np.where(there, numbers, 0), self.rows + 1)[1:] / count
        return mean


def _positive(count: np.ndarray) -> np.ndarray:
    """Counts as floats, nan where they are 0."""
    return np.where(count > 0, count, np.nan)


def _levels(values: np.ndarray, statistic: np.ndarray) -> int:
    """How many values a statistic takes, if other values are a rising function of it; -1 if not.

    What is no such function for some rows is none for all.
    """
    there = ~np.isnan(values) & ~np.isnan(statistic)
    values, statistic = values[there], statistic[there].astype(np.float32)
    _, group = np.unique(statistic, return_inverse=True)
    levels = int(group.max(initial=-1)) + 1
    low, high = np.full(levels, np.inf), np.full(levels, -np.inf)
    np.minimum.at(low, group, values)
    np.maximum.at(high, group, values)
    tolerance = 1e-5 * np.abs(high)
    rising = bool((high - low <= tolerance).all() and (low[1:] > high[:-1]).all())
    return levels if rising else -1


def _dividing(recipe: Recipe, parts: Collection[str], dataset: Dataset) -> Iterator[Finding]:
    """Features that say which part an interaction is in, and statistics by them."""
    read = recipe.columns_read
    keys = [address for spec in recipe.statistics.values() for key in spec.keys for address in key]
    for address in dict.fromkeys([*read, *keys]):
        if address.scope in (CONTEXT, HISTORY) and address.column in parts:
            what = "says which part an interaction is in, so training and test never have the same values"
            yield Finding("error", address, what, len(dataset.interactions), "do not read it")


def _divided(data: Encoded, cut: Cut) -> Iterator[Finding]:
    """Baskets of which one part trains and another is evaluated."""
    if data.schema.group is None:
        return
    time, group = data.moments(cut), data.codes(data.schema.group)
    evaluated = (time >= cut.cut) & (time < cut.end)
    if count := int(present(group, time < cut.cut)[group[evaluated]].sum()):
        are = counted(count, "evaluated interaction is of a group", "evaluated interactions are of groups")
        what = f"{are} ({data.schema.group}) that began before the cut"
        advice = "they see none of their own group, but items of one basket resemble each other; move the cut"
        yield Finding("warning", cut.name, what, count, advice)


def _repeated(data: Encoded, test: Cut, parts: Collection[str]) -> Iterator[Finding]:
    """Interactions that are tested, and are in training too, equal in all columns but those that say the part."""
    if test.clock is None:
        return  # equal times are in one part
    fit, rows = test.cut if test.fit is None else test.fit, data.row_hashes(parts)
    tested = rows[(test.clock >= test.cut) & (test.clock < test.end)]
    if count := int(which_in(tested, rows[test.clock < fit]).sum()):
        known = counted(count, "tested interaction is in training too", "tested interactions are in training too")
        what = f"{known}, equal in all columns, of {len(tested):,}"
        yield Finding("warning", "test", what, count, "remove repeated rows from the data")


def _later(data: Encoded, test: Cut) -> Iterator[Finding]:
    """Tests that training follows in time."""
    if test.clock is None or data.schema.time is None:
        return
    fit = test.cut if test.fit is None else test.fit
    tested = data.time[(test.clock >= test.cut) & (test.clock < test.end)]
    last = data.time[test.clock < fit].max(initial=np.iinfo(np.int64).min)
    if count := int((tested < last).sum()):
        what = f"{count:,} of {counted(len(tested), 'tested interaction')} happened before the last one of training"
        yield Finding("note", "test", what, count, "figures compare models and are no forecast; for one, split by time")


def _new(recipe: Recipe, data: Encoded, test: Cut) -> Iterator[Finding]:
    """Users and items that only the test has."""
    time, fit = data.moments(test), test.cut if test.fit is None else test.fit
    tests, trains = (time >= test.cut) & (time < test.end), time < fit
    for entity in data.schema.roles:
        code = data.codes(data.schema.reference(entity))
        tested = present(code, tests)[:-1]
        new = tested & ~present(code, trains)[:-1]
        if count := int(np.count_nonzero(new)):
            rows = int(np.count_nonzero(np.append(new, False)[code[tests]]))
            what = f"{count:,} of {np.count_nonzero(tested):,} {entity} ids, in {counted(rows, 'interaction')}, never train"
            catalog = recipe.data.catalog.get(entity)
            advice = f"they are left out unless data.catalog.{entity} has min_count = 0"
            if catalog and catalog.unlisted == "unknown":
                advice = "they are evaluated as the unknown"
            elif catalog and not catalog.min_count:
                advice = f"their {entity}.id says nothing, other columns may"
            yield Finding("note", "test", what, count, advice)
