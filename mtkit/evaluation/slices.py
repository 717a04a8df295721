"""Slices: which rows, and which items, belong to a part of what is measured; no TensorFlow."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from mtkit.data.columns import raw
from mtkit.data.list_values import bag, there, values_of
from mtkit.data.row_tables import Tables
from mtkit.errors import DataError, RecipeError
from mtkit.recipe.loader import Recipe
from mtkit.recipe.plan import Plan
from mtkit.recipe.settings import By, Evaluate
from mtkit.schema import CONTEXT, Address
from mtkit.types import Fold, RowTable

NEW = "new"
UNKNOWN = ("unknown_user", "unknown_item", "unknown_both")
EARLIER = ("kept_user", "added_user", "kept_item", "added_item")
_ESCAPES = str.maketrans({"/": "%2F", "@": "%40", "%": "%25"})


@dataclass(frozen=True)
class Slice:
    """A part of the rows, or of the items that are relevant to them.

    Attributes:
        name: as it stands in metric keys.
        address: what decides: `context.<column>`, or a role.
        contains: from raw values of the column, or ids of the entity, to bool.
    """

    name: str
    address: str
    contains: Callable[[np.ndarray], np.ndarray]

    def of_rows(self, table: RowTable) -> np.ndarray | None:
        """Which rows of the table belong to it, bool `[rows]`; None where that is no question of the table's rows."""
        values = self._values(table)
        return None if values is None else self.contains(values)

    def _values(self, table: RowTable) -> np.ndarray | None:
        address = Address(self.address)
        return table.context.get(address.column) if address.scope == CONTEXT else table.ids.get(self.address)


@dataclass(frozen=True)
class NewPairs(Slice):
    """Rows of two roles, of which the first has not had the second in the row's own past.

    Lists of targets have none: there, `new` is a list of its own.

    Attributes:
        roles: who acts, and what is acted on.
    """

    roles: tuple[str, str] = ("", "")

    def _values(self, table: RowTable) -> np.ndarray | None:
        """Ids of both entities, and the end of the row's past, int64 `[3, rows]`."""
        if "target" in table.lists or not len(table.history) or not table.ids.keys() >= set(self.roles):
            return None
        return np.stack([*(table.ids[role] for role in self.roles), table.history[:, 1]])


@dataclass(frozen=True)
class OfUnknown(Slice):
    """Rows of users or items that training does not know.

    Attributes:
        fold: what it knows.
    """

    fold: Fold

    def of_rows(self, table: RowTable) -> np.ndarray | None:
        """Which rows of the table belong to it; None where they have no such ids."""
        return unknown_groups(table, self.fold).get(self.name)


def make_slices(settings: Evaluate, fold: Fold) -> tuple[Slice, ...]:
    """The slices that a recipe asks for, by what training knows; `new` is that of rows, beside the list of its own.

    Raises:
        DataError: the data have nobody who acts, or a column of numbers has too many values for a slice each.
    """
    slices: list[Slice] = []
    for asked in settings.slices:
        if isinstance(asked, By):
            slices += _by(asked, fold)
        elif asked == NEW:
            slices.append(new_pairs(fold))
        elif asked in UNKNOWN:
            slices.append(OfUnknown(asked, "", np.zeros_like, fold))
        elif asked in EARLIER:
            slices.append(_earlier(asked, fold))
        else:
            entity, counts = _counts(fold, asked)
            members = _tail(counts, settings.tail) if asked == "tail" else counts < settings.cold
            members[0] = False
            slices.append(Slice(asked, entity, members.__getitem__))
    return tuple(slices)


def unknown_groups(table: RowTable, fold: Fold) -> dict[str, np.ndarray]:
    """Group -> which rows belong to it, bool `[rows]`: those of ids that training has never seen.

    They are in no catalog, or there without an interaction to train on. `unknown_user` are rows of known items, `unknown_item` of
    known users, and `unknown_both` of neither; where rows have one of the two, of that. Who acts is the user.
    """
    unknown = {
        group: ~trained_ids(fold, role)[table.ids[role]]
        for group, role in zip(UNKNOWN, list(fold.events.ids)[:2], strict=False)
        if role in table.ids
    }
    if len(unknown) < 2:
        return unknown
    user, item = unknown.values()
    return dict(zip(UNKNOWN, (user & ~item, item & ~user, user & item), strict=True))


def trained_ids(fold: Fold, role: str) -> np.ndarray:
    """Which ids of an entity training knows, bool `[ids]`."""
    catalog, seen = fold.catalog(role), fold.events.ids[role][fold.events.time < fold.fit]
    known = np.bincount(seen, minlength=len(catalog)) > 0
    known[0], known[catalog.known :] = False, False
    return known


def _counts(fold: Fold, asked: str) -> tuple[str, np.ndarray]:
    """The entity that a slice is of, and how many interactions each of its rows has in training."""
    entity = _pair(fold, asked)[asked != "cold_user"]
    known = fold.events.ids[entity][fold.events.time < fold.fit]
    return entity, np.bincount(known, minlength=len(fold.catalog(entity)))


def _earlier(asked: str, fold: Fold) -> Slice:
    """The rows, or items, whose ids the run has, or has not, that this one goes on with."""
    role = _pair(fold, asked)[asked.endswith("_item")]
    if (known := fold.earlier.get(fold.schema.scopes[role])) is None:
        raise DataError(
            f"evaluate.slices: {asked!r} is about the run that another one goes on with, and this goes on with none "
            "(`train.replay`); leave it out"
        )
    members = np.arange(len(fold.catalog(role))) > known
    if asked.startswith("kept"):
        members = ~members
    members[0] = False
    return Slice(asked, role, members.__getitem__)


def _pair(fold: Fold, asked: str) -> list[str]:
    """Who acts, and what is acted on."""
    if not fold.events.ids:
        raise DataError(
            f"evaluate.slices: {asked!r} is by interactions, and these data have no ids of entities; leave it out"
        )
    return list(fold.events.ids)[:2]


def new_pairs(fold: Fold) -> NewPairs:
    """The slice of rows that hold what is new to those who act.

    Raises:
        DataError: the data have nobody who acts.
    """
    user, item = _pair(fold, NEW)
    size = len(fold.catalog(item))
    pairs, first = np.unique(_numbers(fold.events.ids[user], fold.events.ids[item], size), return_index=True)

    def contains(values: np.ndarray) -> np.ndarray:
        asked = _numbers(values[0], values[1], size)
        place = np.minimum(np.searchsorted(pairs, asked), len(pairs) - 1)
        had: np.ndarray = (pairs[place] == asked) & (first[place] < values[2])
        return ~had

    return NewPairs(NEW, "", contains, (user, item))


def check_slices(recipe: Recipe, fold: Fold, tables: Tables) -> None:
    """Refuses slices of which no row, and no item, can be told that a task is measured on.

    Raises:
        RecipeError: there is such a slice.
    """
    plan, problems = recipe.plan, []
    for index, asked in enumerate(recipe.evaluate.slices):
        message = ""
        if isinstance(asked, By):
            if not _has(asked.by, plan, tables):
                message = f"no row that a task is measured on has a {asked.by}"
        elif asked == NEW and not plan.rankings() and not _tells_new(plan, fold, tables):
            message = "'new' is by the past of a user and an item, which no row has that a task is measured on"
        if message:
            problems.append(recipe.problem(("evaluate", "slices", index), f"{message}; leave it out"))
    if problems:
        raise RecipeError(problems)


def _has(address: Address, plan: Plan, tables: Tables) -> bool:
    """Whether a column can be told of rows that a task is measured on, or of what it ranks."""
    rows = [tables[spec.evaluated_on]["eval"] for spec in plan.tasks.values()]
    if address.scope == CONTEXT:
        return any(address.column in table.context for table in rows)
    ranked = map(plan.candidate_entity, plan.rankings())
    return address.scope in ranked or any(address.scope in table.ids for table in rows)


def _tells_new(plan: Plan, fold: Fold, tables: Tables) -> bool:
    """Whether rows of a prediction task tell whether their user has had their item before."""
    if len(fold.events.ids) < 2:
        return False
    pairs = new_pairs(fold)
    return any(pairs.of_rows(tables[spec.rows]["eval"]) is not None for spec in plan.predictions().values())


def _numbers(user: np.ndarray, item: np.ndarray, items: int) -> np.ndarray:
    """A number int64 for each pair."""
    numbers: np.ndarray = user.astype(np.int64) * items + item
    return numbers


def _tail(counts: np.ndarray, share: float) -> np.ndarray:
    """The least popular that together have at most this share; among equals, those of higher id first."""
    counts = counts.copy()
    counts[0] = 0
    order = np.argsort(counts[::-1], kind="stable")
    members = np.zeros(len(counts), bool)
    members[::-1][order] = np.cumsum(counts[::-1][order]) <= share * counts.sum()
    return members


def _by(asked: By, fold: Fold) -> Iterator[Slice]:
    scope, name = asked.by.scope, asked.by.column
    if scope == CONTEXT:
        known = fold.events.columns[name].filter(pa.array(fold.events.time < fold.fit))
        for label, contains in _groups(asked, raw(known, fold.schema.interactions[name])):
            yield Slice(f"{asked.by}={label}", asked.by, contains)
        return
    values = raw(fold.catalog(scope).columns[name], fold.schema.columns(scope)[name])
    for label, contains in _groups(asked, values[1 : fold.catalog(scope).known]):
        members = contains(values)
        members[0] = False
        yield Slice(f"{asked.by}={label}", scope, members.__getitem__)


Test = Callable[[np.ndarray], np.ndarray]


def _groups(asked: By, values: np.ndarray) -> Iterator[tuple[str, Test]]:
    """Name and test of each group of values: ranges, or single values, the most frequent first; then nulls.

    Of lists, a row belongs to the group of each of its values.
    """
    missing = _missing(values)
    if asked.edges:
        yield from _ranges(asked.edges)
    elif values.ndim == 2:
        for value in _frequent(bag(values)[1], asked.values):
            yield _shown(value), partial(_holds, value)
    else:
        known = values[~missing]
        distinct = np.unique(known)
        if values.dtype != object and len(distinct) > asked.values:
            raise DataError(
                f"evaluate.slices: {asked.by} has {len(distinct)} distinct numbers, and {asked.values} values get a "
                f'slice; give edges, as in {{by = "{asked.by}", edges = [{np.median(distinct):g}]}}'
            )
        for value in _frequent(known, asked.values):
            yield _shown(value), partial(operator.eq, value)
    if missing.any():
        yield "null", _missing


def _frequent(values: np.ndarray, most: int) -> list[Any]:
    """The most frequent values; among equals, the first in order."""
    distinct, counts = np.unique(values, return_counts=True)
    found: list[Any] = distinct[np.argsort(-counts, kind="stable")][:most].tolist()
    return found


def _holds(value: str, lists: np.ndarray) -> np.ndarray:
    return np.asarray(np.equal(values_of(lists), value).any(1))


def _ranges(edges: tuple[float, ...]) -> Iterator[tuple[str, Test]]:
    for low, high in pairwise((-np.inf, *edges, np.inf)):
        name = "..".join("" if np.isinf(edge) else f"{edge:g}" for edge in (low, high))
        yield name, partial(_within, low, high)


def _within(low: float, high: float, values: np.ndarray) -> np.ndarray:
    inside: np.ndarray = (values >= low) & (values < high)
    return inside


def _missing(values: np.ndarray) -> np.ndarray:
    if values.ndim == 2:
        return ~np.asarray(there(values_of(values)).any(1))
    if values.dtype == object:
        return ~there(values)
    found: np.ndarray = np.isnan(values)
    return found


def _shown(value: str | float) -> str:
    return value.translate(_ESCAPES) if isinstance(value, str) else f"{value:g}"
