"""What training could know of what is evaluated: a linter over the raw data, by declarations and parts; no TensorFlow."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtkit.data.catalogs import moments
from mtkit.data.columns import codes, plain, raw, seconds
from mtkit.errors import DataError
from mtkit.recipe.loader import Recipe
from mtkit.recipe.plan import Plan
from mtkit.schema import CONTEXT, Address, Column
from mtkit.spec import Cut
from mtkit.types import DAY, Dataset

#: Rows, or distinct values, from which on a coincidence can be ruled out.
ENOUGH = 30


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
    plan, parts = recipe.plan, recipe.data.split.reads
    found = [*_recoded(plan, dataset), *_ahead(plan, dataset), *_statistics(plan, dataset, test)]
    found += [*_dividing(plan, parts, dataset), *_divided(dataset, valid), *_divided(dataset, test)]
    found += _repeated(dataset, test, parts)
    found += [*_later(dataset, test), *_new(recipe, dataset, test)]
    return sorted(found, key=lambda finding: ("error", "warning", "note").index(finding.level))


def refuse(findings: list[Finding]) -> None:
    """Stops what would give figures that mean nothing.

    Raises:
        DataError: a finding is certain.
    """
    if certain := [f"\n  {finding}" for finding in findings if finding.level == "error"]:
        raise DataError(f"training would know what is to be predicted:{''.join(certain)}")


def _recoded(plan: Plan, dataset: Dataset) -> Iterator[Finding]:
    """Features that say the label of their own row."""
    for task, spec in plan.predictions().items():
        label_at = Address(spec.predicts)
        scope, name = label_at.scope or CONTEXT, label_at.column
        table = dataset.interactions if scope == CONTEXT else dataset.entities[scope]
        declared = dataset.schema.columns(scope)
        if name not in declared:
            continue  # made by the row table
        label = codes(table[name])
        for address in plan.features(task):
            column = address.column
            if address.scope == scope and column in declared:
                yield from _told(address, spec.predicts, table[column], declared[column], label)


def _told(address: str, label: str, column: pa.ChunkedArray, declared: Column, labels: np.ndarray) -> Iterator[Finding]:
    there = labels >= 0
    feature, labels = codes(column)[there], labels[there]
    values, classes = len(np.unique(feature)), len(np.unique(labels))
    pairs = len(np.unique(feature * (labels.max(initial=0) + 1) + labels))
    advice = f"if {label!r} is computed from it, declare it among the label's `sources`, or do not read it"
    if classes < 2 or len(labels) < ENOUGH * classes:
        return
    if pairs == values == classes:
        yield Finding("error", address, f"has one value for each value of the label {label!r}", len(labels), advice)
    elif pairs == values and values * 10 <= len(labels):
        yield Finding(
            "warning", address, f"every value of it goes with one of the label {label!r}", len(labels), advice
        )
    elif (
        declared.kind == "numeric" and classes == 2 and _separates(raw(column, declared)[there], labels == labels.max())
    ):
        yield Finding("warning", address, f"one threshold on it tells the label {label!r}", len(labels), advice)


def _separates(numbers: np.ndarray, positive: np.ndarray) -> bool:
    known = ~np.isnan(numbers)
    one, other = numbers[known & positive], numbers[known & ~positive]
    return bool(len(one) and len(other) and (one.max() < other.min() or other.max() < one.min()))


def _ahead(plan: Plan, dataset: Dataset) -> Iterator[Finding]:
    """Labels that what happens later decides, without a horizon that covers it."""
    schema = dataset.schema
    if schema.time is None:
        return
    time = seconds(dataset.interactions[schema.time])
    names = dict.fromkeys(spec.predicts for spec in plan.predictions().values() if spec.predicts in schema.interactions)
    for name in names:
        declared = schema.interactions[name]
        if declared.classes:
            continue
        label = raw(dataset.interactions[name], declared)
        if not np.isin(label[~np.isnan(label)], (0, 1)).all():
            continue
        covered = declared.horizon.total_seconds() if declared.horizon else 0.0
        what, reach = _reach(dataset, label, time)
        if reach > covered:
            advice = f'declare `horizon = "{math.ceil(reach / DAY)}d"` for the label, so that it ends with its part'
            yield Finding("error", name, f"says whether {what} within {reach / DAY:.3g} days", len(label), advice)
        elif declared.horizon is None:
            yield from _fading(name, label, time)


def _reach(dataset: Dataset, label: np.ndarray, time: np.ndarray) -> tuple[str, float]:
    """What it is that the label, or its opposite, says to happen again, and within how many seconds; 0 = nothing."""
    roles = list(dataset.schema.roles)[:2]
    if not roles:
        return "", 0.0
    user, item = (codes(dataset.interactions[dataset.schema.reference(role)]) for role in roles)
    pair = user * (item.max(initial=0) + 2) + item
    for what, of, key in (
        (f"the {roles[0]} acts again", user, user),
        (f"the {roles[0]} has the same {roles[1]} again", user, pair),
        (f"the {roles[1]} is acted on again", item, item),
    ):
        latest = np.full(of.max(initial=-1) + 2, np.iinfo(np.int64).min)
        np.maximum.at(latest, of, time)
        for positive, negative in ((label == 1, label == 0), (label == 0, label == 1)):
            if min(positive.sum(), negative.sum()) < ENOUGH or (time[positive] == latest[of[positive]]).any():
                continue
            gap = _until_next(key, time)
            reach = float(gap[positive].max())
            if math.isfinite(reach) and (gap[negative] > reach).all():
                return what, reach
    return "", 0.0


def _until_next(key: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Seconds from each moment to the next strictly later one with the same key."""
    order = np.lexsort((time, key))
    key, time = key[order], time[order]
    starts = np.flatnonzero((np.diff(key, prepend=key[:1] - 1) != 0) | (np.diff(time, prepend=time[:1] - 1) != 0))
    same = np.append(key[starts][1:] == key[starts][:-1], False)
    gap = np.where(same, np.append(np.diff(time[starts]), 0), np.inf)
    result = np.empty(len(key))
    result[order] = np.repeat(gap, np.diff(np.append(starts, len(key))))
    return result


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


def _statistics(plan: Plan, dataset: Dataset, test: Cut) -> Iterator[Finding]:
    """Numeric features that are statistics of an entity over all interactions, those of the test included."""
    reads = dict.fromkeys(address for spec in plan.encoders.values() for address in spec.reads)
    known = moments(dataset, test) < test.cut
    for role in dataset.schema.roles:
        row = _rows_of(dataset, role)
        features = dict(_numbers(dataset, role, reads, row))
        for what, statistic in _of_entity(dataset, role, row) if features else ():
            whole = statistic(np.ones(len(known), bool))
            for address, values in features.items():
                if _follows(values, whole) and not _follows(values, past := statistic(known)):
                    changed = int((np.nan_to_num(whole) != np.nan_to_num(past)).sum())
                    advice = "compute it from what lies before the test, or do not read it"
                    yield Finding("error", address, f"is {what}, the test's included", changed, advice)


def _rows_of(dataset: Dataset, role: str) -> np.ndarray:
    """The row of the entity's table that each interaction refers to in a role, -1 where there is none."""
    keys = plain(dataset.entities[dataset.schema.roles[role]]["id"])
    row = pc.index_in(plain(dataset.interactions[dataset.schema.reference(role)]), value_set=keys.combine_chunks())
    return np.asarray(row.fill_null(-1).to_numpy())


def _numbers(dataset: Dataset, role: str, reads: Collection[str], row: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Numeric features of an entity, and those of the context that have one value for each row of it: address, values."""
    schema, entity = dataset.schema, dataset.schema.roles[role]
    scopes = [scope for scope, of in schema.scopes.items() if of == entity]
    for name in schema.of_kind("numeric", entity):
        if read := [address for scope in scopes if (address := Address.of(scope, name)) in reads]:
            yield read[0], raw(dataset.entities[entity][name], schema.entities[entity][name])
    for name in schema.of_kind("numeric"):
        if (address := Address.of(CONTEXT, name)) in reads:
            numbers = raw(dataset.interactions[name], schema.interactions[name])
            there = (row >= 0) & ~np.isnan(numbers)
            low, high = (np.full(len(dataset.entities[entity]), end) for end in (np.inf, -np.inf))
            np.minimum.at(low, row[there], numbers[there])
            np.maximum.at(high, row[there], numbers[there])
            if (low >= high).all():
                yield address, np.where(low == high, low, np.nan)


def _of_entity(dataset: Dataset, role: str, row: np.ndarray) -> Iterator[tuple[str, _Statistic]]:
    """Statistics of each row of an entity over the interactions that a mask selects: (what, function of the mask)."""
    count = len(dataset.entities[dataset.schema.roles[role]])
    yield f"the number of interactions of its {role}", _Statistic(row, count, None)
    for name, column in dataset.schema.interactions.items():
        if column.kind == "numeric" or (column.kind == "label" and not column.classes):
            numbers = raw(dataset.interactions[name], column).astype(float)
            yield f"the mean of {name} of its {role}", _Statistic(row, count, numbers)


@dataclass(frozen=True)
class _Statistic:
    """The count of interactions by row of an entity, or the mean of some numbers of theirs; nan where there are none."""

    row: np.ndarray
    rows: int
    numbers: np.ndarray | None

    def __call__(self, selected: np.ndarray) -> np.ndarray:
        selected = selected & (self.row >= 0)
        if self.numbers is not None:
            selected &= ~np.isnan(self.numbers)
        count = np.bincount(self.row[selected], minlength=self.rows).astype(float)
        count[count == 0] = np.nan
        if self.numbers is None:
            return count
        mean: np.ndarray = np.bincount(self.row[selected], self.numbers[selected], self.rows) / count
        return mean


def _follows(values: np.ndarray, statistic: np.ndarray) -> bool:
    """Whether values are a rising function of a statistic, which takes values enough for that to be no chance."""
    there = ~np.isnan(values) & ~np.isnan(statistic)
    values, statistic = values[there], statistic[there].astype(np.float32)
    _, group = np.unique(statistic, return_inverse=True)
    groups = group.max(initial=-1) + 1
    if groups < ENOUGH:
        return False
    low, high = np.full(groups, np.inf), np.full(groups, -np.inf)
    np.minimum.at(low, group, values)
    np.maximum.at(high, group, values)
    tolerance = 1e-5 * np.abs(high)
    return bool((high - low <= tolerance).all() and (low[1:] > high[:-1]).all())


def _dividing(plan: Plan, parts: Collection[str], dataset: Dataset) -> Iterator[Finding]:
    """Features that say which part an interaction is in."""
    for address in dict.fromkeys(Address(address) for spec in plan.encoders.values() for address in spec.reads):
        if address.scope == CONTEXT and address.column in parts:
            what = "says which part an interaction is in, so training and test never have the same values"
            yield Finding("error", address, what, len(dataset.interactions), "do not read it")


def _divided(dataset: Dataset, cut: Cut) -> Iterator[Finding]:
    """Baskets of which one part trains and another is evaluated."""
    if dataset.schema.group is None:
        return
    time, group = moments(dataset, cut), codes(dataset.interactions[dataset.schema.group])
    evaluated = (time >= cut.cut) & (time < cut.end)
    if count := int(_present(group, time < cut.cut)[group[evaluated]].sum()):
        what = f"{count:,} evaluated interactions are of groups ({dataset.schema.group}) that began before the cut"
        advice = "they see none of their own group, but items of one basket resemble each other; move the cut"
        yield Finding("warning", cut.name, what, count, advice)


def _repeated(dataset: Dataset, test: Cut, parts: Collection[str]) -> Iterator[Finding]:
    """Interactions that are tested, and are in training too, equal in all columns but those that say the part."""
    if test.clock is None:
        return  # equal times are in one part
    fit, rows = test.cut if test.fit is None else test.fit, _row_hashes(dataset, parts)
    tested = rows[(test.clock >= test.cut) & (test.clock < test.end)]
    if count := int(np.isin(tested, rows[test.clock < fit]).sum()):
        what = f"{count:,} of {len(tested):,} tested interactions are in training too, equal in all columns"
        yield Finding("warning", "test", what, count, "remove repeated rows from the data")


def _row_hashes(dataset: Dataset, without: Collection[str]) -> np.ndarray:
    """uint64 `[interactions]`, the same for interactions that are equal in all declared columns but some."""
    hashes = np.zeros(len(dataset.interactions), np.uint64)
    for name in (name for name in dataset.schema.interactions if name not in without):
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + (codes(dataset.interactions[name]) + 2).astype(np.uint64)
        hashes ^= hashes >> np.uint64(29)
    return hashes


def _later(dataset: Dataset, test: Cut) -> Iterator[Finding]:
    """Tests that training follows in time."""
    if test.clock is None or dataset.schema.time is None:
        return
    time = seconds(dataset.interactions[dataset.schema.time])
    fit = test.cut if test.fit is None else test.fit
    tested = time[(test.clock >= test.cut) & (test.clock < test.end)]
    last = time[test.clock < fit].max(initial=np.iinfo(np.int64).min)
    if count := int((tested < last).sum()):
        what = f"{count:,} of {len(tested):,} tested interactions happened before the last one of training"
        yield Finding("note", "test", what, count, "figures compare models and are no forecast; for one, split by time")


def _new(recipe: Recipe, dataset: Dataset, test: Cut) -> Iterator[Finding]:
    """Users and items that only the test has."""
    time, fit = moments(dataset, test), test.cut if test.fit is None else test.fit
    for entity in dataset.schema.roles:
        code = codes(dataset.interactions[dataset.schema.reference(entity)])
        tested = code[(time >= test.cut) & (time < test.end) & (code >= 0)]
        new = ~_present(code, time < fit)[tested]
        if count := len(np.unique(tested[new])):
            what = (
                f"{count:,} of {len(np.unique(tested)):,} {entity} ids, in {int(new.sum()):,} interactions, never train"
            )
            catalog = recipe.data.catalog.get(entity)
            advice = f"they are left out unless data.catalog.{entity} has min_count = 0"
            if catalog and not catalog.min_count:
                advice = f"their {entity}.id says nothing, other columns may"
            yield Finding("note", "test", what, count, advice)


def _present(code: np.ndarray, selected: np.ndarray) -> np.ndarray:
    """Whether each number up to the largest is among the selected, bool `[numbers + 1]`; the last is for -1."""
    present = np.zeros(code.max(initial=-1) + 2, bool)
    present[code[selected]] = True
    return present
