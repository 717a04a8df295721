"""Catalogs as of a cut, with the numbers of ids, and the interactions by these numbers: a fold."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtkit.conditions import Where
from mtkit.data.columns import UNKNOWN_NUMBER, UNKNOWN_TEXT, check, codes, plain, raw, seconds
from mtkit.data.conditions import holding
from mtkit.data.id_types import as_integers
from mtkit.data.prepared import kept_cuts, kept_record
from mtkit.data.weights import of_all_tasks
from mtkit.errors import DataError
from mtkit.schema import INTERACTIONS
from mtkit.shown import counted
from mtkit.spec import Cut, Log, Split
from mtkit.types import Dataset, Entity, Events, Fold


def make_cuts(dataset: Dataset, split: Split) -> tuple[Cut, Cut]:
    """Where a split cuts the data, for validation and for test.

    Raises:
        DataError: a part would be empty, or the data lack what the split needs.
    """
    return kept_cuts(dataset, split) or split.cuts(log_of(dataset, split.reads))


def log_of(dataset: Dataset, reads: Collection[str] = ()) -> Log:
    """The interactions as a split sees them that reads some columns."""
    interactions, schema = dataset.interactions, dataset.schema
    user = codes(interactions[schema.reference(next(iter(schema.roles)))]) + 1 if schema.roles else None
    group = np.arange(len(interactions))
    if schema.group:
        owner = np.zeros(len(interactions), np.int64) if user is None else user
        group = _groups(interactions[schema.group], owner, group)
    time = seconds(interactions[schema.time]) if schema.time else None
    return Log(user, group, time, {name: raw(interactions[name], schema.interactions[name]) for name in reads})


def moments(dataset: Dataset, cut: Cut) -> np.ndarray:
    """When interactions happened by the cut's clock, int64 `[interactions]`."""
    if cut.clock is not None:
        return cut.clock
    assert dataset.schema.time is not None
    return seconds(dataset.interactions[dataset.schema.time])


def part_sizes(dataset: Dataset, valid: Cut, test: Cut) -> dict[str, int]:
    """How many interactions train (for validation), validate and test; before anything is left out."""
    if kept := kept_record(dataset):
        return dict(kept.parts)
    parts = {"valid": valid, "test": test}
    sizes = {
        name: int(np.count_nonzero((time >= cut.cut) & (time < cut.end)))
        for name, cut in parts.items()
        for time in [moments(dataset, cut)]
    }
    return {"train": int(np.count_nonzero(moments(dataset, valid) < valid.cut)), **sizes}


def make_fold(
    dataset: Dataset,
    cut: Cut,
    min_count: Mapping[str, int],
    drop_unlisted: Collection[str] = frozenset(),
    numbered: Mapping[str, np.ndarray] | None = None,
    counting: Mapping[str, Where] | None = None,
    keep_unknown: Collection[str] = frozenset(),
) -> Fold:
    """Cuts a data set.

    The catalog of an entity holds the rows of its table with at least `min_count` interactions that the model is trained
    on, in whatever roles. Ids that were numbered before keep their numbers; the others follow in their own order.
    Interactions of which an id is null or in no catalog are left out.

    Args:
        dataset: raw tables.
        cut: what is known, and what is evaluated.
        min_count: entity -> interactions to train on that it needs; 1 where nothing is said.
        drop_unlisted: entities whose table need not have every id of the interactions.
        numbered: entity -> ids `[rows]` with numbers 1, 2, ... that were given before; they stay in the catalog.
        counting: entity -> which interactions `min_count` counts; all where nothing is said.
        keep_unknown: entities of which interactions to be evaluated are kept whose id is in no catalog: who acts has a row of
            its own behind the catalog (`Entity.guests`), and anything else is row 0. Training rows are not.

    Raises:
        DataError: the data do not fit the declared schema, interactions have ids that their entity's table does not
            have, a catalog is empty, an entity of several roles is in `keep_unknown`, nothing is left to evaluate, or
            `min_count` names no entity.
    """
    check(dataset)
    schema = dataset.schema
    if unknown := set(min_count) - set(schema.entities):
        raise DataError(f"min_count: {sorted(unknown)} are no entities; the data have {sorted(schema.entities)}")
    time = moments(dataset, cut)
    fit = cut.cut if cut.fit is None else cut.fit
    keys = {entity: Keys.of(dataset, entity) for entity in schema.entities}
    places = {
        role: keys[entity].places(dataset, role, unlisted=entity in drop_unlisted)
        for role, entity in schema.roles.items()
    }
    catalogs = {}
    for entity in schema.entities:
        where = (counting or {}).get(entity)
        early = (
            time < fit if where is None else (time < fit) & holding(where, dataset.interactions, schema.interactions)
        )
        found = [places[role][early] for role, of in schema.roles.items() if of == entity]
        chosen = (
            keys[entity].frequent(found, min_count.get(entity, 1)) if found else np.arange(len(keys[entity].sorted))
        )
        catalogs[entity] = keys[entity].catalog(dataset, chosen, (numbered or {}).get(entity))
    ids = {role: catalogs[entity].rows[places[role]] for role, entity in schema.roles.items()}
    parts = {"train": time < fit, "past": (time >= fit) & (time < cut.cut), "eval": time >= cut.cut}
    entities, kept_unknown = {entity: catalog.entity for entity, catalog in catalogs.items()}, {}
    for role, entity in schema.roles.items():
        if entity not in keep_unknown:
            continue
        if list(schema.roles.values()).count(entity) > 1:
            raise DataError(
                f'{entity} has several roles, and unlisted = "unknown" is for entities of one; set it to "drop"'
            )
        if role == next(iter(schema.roles)):
            acts = (ids[role] == 0) & (time >= fit) & (time < cut.end)
            entities[entity], ids[role] = _with_guests(entities[entity], keys[entity], dataset, ids[role], acts)
        else:
            kept_unknown[role] = parts["eval"]
    kept, turned_away = kept_interactions(time < cut.end, ids, parts, kept_unknown)
    dropped = {**dataset.left_out, **turned_away}
    if not kept[time >= cut.cut].any():
        reasons = ", ".join(
            f"{counted(number, 'interaction')}: {reason}" for reason, number in dropped.items() if number
        )
        raise DataError(
            f"fold {cut.name!r} has nothing to evaluate; left out: {reasons}; see min_count in data.catalog"
        )
    users = len(entities[next(iter(schema.roles.values()))]) if schema.roles else 1
    events = events_of(dataset, ids, time, kept, users)
    return Fold(cut.name, fit, cut.cut, cut.end, entities, events, schema, dropped)


@dataclass(frozen=True)
class Catalog:
    """A catalog, and its row of each place among the sorted keys, int32; 0, also at place -1 = not there."""

    entity: Entity
    rows: np.ndarray


@dataclass(frozen=True)
class Keys:
    """The ids of an entity's table: `order` sorts them, and their `places` are positions among the `sorted`."""

    entity: str
    order: pa.Array
    sorted: pa.ChunkedArray

    @classmethod
    def of(cls, dataset: Dataset, entity: str) -> Keys:
        """The ids of an entity's table."""
        keys = plain(dataset.entities[entity]["id"])
        order = pc.sort_indices(as_integers(keys))
        return cls(entity, order, keys.take(order))

    def places(self, dataset: Dataset, role: str, *, unlisted: bool) -> np.ndarray:
        """The place int64 of each interaction's id in a role; -1 where it is null, or not in the table."""
        reference = dataset.schema.reference(role)
        column = plain(dataset.interactions[reference])
        if column.type != self.sorted.type:
            raise DataError(
                f"{INTERACTIONS}.{reference} has ids of type {column.type}, but {self.entity}.id is of type "
                f"{self.sorted.type}; both must be strings, or both integers"
            )
        found = pc.index_in(column, value_set=self.sorted, skip_nulls=True)
        lost = column.filter(pc.and_(pc.is_null(found), pc.is_valid(column)))
        if len(lost) and not unlisted:
            some = f"ids such as {self.sorted[0].as_py()!r}" if len(self.sorted) else "none"
            have = counted(len(lost), "interaction has an id that is", "interactions have ids that are")
            raise DataError(
                f"{dataset.place(INTERACTIONS, reference)}: {have} not in the table of {self.entity}, for "
                f"example {lost[0].as_py()!r}; {dataset.place(self.entity, 'id')} has {some}; write ids "
                "alike in both, add the missing rows to the table, or leave these "
                f'interactions out with unlisted = "drop" in [data.catalog.{self.entity}]'
            )
        return np.asarray(found.fill_null(-1).to_numpy(), np.int64)

    def frequent(self, places: Sequence[np.ndarray], minimum: int) -> np.ndarray:
        """Places that occur often enough, in all roles together."""
        counts = np.zeros(len(self.sorted), np.int64)
        for found in places:
            counts += np.bincount(found[found >= 0], minlength=len(self.sorted))
        return self.frequent_of(counts, minimum)

    def frequent_of(self, counts: np.ndarray, minimum: int) -> np.ndarray:
        """Places whose ids occur often enough, by how often each does."""
        chosen = np.flatnonzero(counts >= minimum)
        if not len(chosen):
            raise DataError(
                f"{self.entity}: no row has {minimum} or more interactions before the cut; the catalog is empty"
            )
        return chosen

    def catalog(self, dataset: Dataset, chosen: np.ndarray, numbered: np.ndarray | None) -> Catalog:
        """The catalog of the chosen places; those that were numbered come first, also if they are not chosen.

        An id that was numbered and is not in the table any more has its row, with nulls.
        """
        known = pa.array([] if numbered is None else numbered.tolist(), self.sorted.type)
        first = pc.index_in(known, value_set=self.sorted).fill_null(-1).to_numpy()
        ids = pa.chunked_array([known, self.sorted.take(pa.array(new := np.setdiff1d(chosen, first)))])
        places = np.concatenate([first, new]).astype(np.int64)
        rows = np.zeros(len(self.sorted) + 1, np.int32)
        rows[places] = np.arange(1, len(places) + 1)
        rows[-1] = 0
        table = self.order.take(pa.array(places, mask=places < 0))
        return Catalog(_entity(self.entity, dataset, ids, table), rows)


def _entity(name: str, dataset: Dataset, key: pa.ChunkedArray, rows: pa.Array) -> Entity:
    """Ids and columns of rows of the table, null = not there, after those of the unknown."""
    if pa.types.is_string(key.type):
        ids = np.array([UNKNOWN_TEXT, *key.to_pylist()], dtype=object)
    else:
        ids = np.append(np.int64(UNKNOWN_NUMBER), key.to_numpy())
    with_unknown = pa.concat_arrays([pa.nulls(1, rows.type), rows])
    columns = dataset.entities[name].select(list(dataset.schema.entities[name])).take(with_unknown)
    return Entity(name=name, ids=ids, columns=columns)


def _with_guests(
    known: Entity, keys: Keys, dataset: Dataset, rows: np.ndarray, acts: np.ndarray
) -> tuple[Entity, np.ndarray]:
    """The catalog with a row for each id that is not in it and `acts` in some interactions, and the rows of all of them."""
    role = next(iter(dataset.schema.roles))
    column = plain(dataset.interactions[dataset.schema.reference(role)])
    ids = pc.unique(column.filter(pa.array(acts))).drop_null().sort()
    places = pc.index_in(ids, value_set=keys.sorted)
    guests = _entity(known.name, dataset, pa.chunked_array([ids]), keys.order.take(places))
    number = pc.index_in(column, value_set=ids).fill_null(-1).to_numpy()
    entity = Entity(
        known.name,
        np.append(known.ids, guests.ids[1:]),
        pa.concat_tables([known.columns, guests.columns.slice(1)]),
        len(ids),
    )
    return entity, np.where(acts & (number >= 0), len(known) + number, rows).astype(np.int32)


def kept_interactions(
    there: np.ndarray,
    ids: Mapping[str, np.ndarray],
    parts: Mapping[str, np.ndarray],
    unknown: Mapping[str, np.ndarray],
) -> tuple[np.ndarray, dict[str, int]]:
    """Which interactions stay, and how many of each part do not, by the roles whose ids are in no catalog.

    Of roles that are in `unknown`, those stay that it selects.
    """
    missing = {role: there & (rows == 0) & ~unknown.get(role, np.False_) for role, rows in ids.items()}
    dropped = {}
    for lacking in _some_of(list(ids)):
        exactly = there.copy()
        for role in ids:
            exactly &= missing[role] if role in lacking else ~missing[role]
        for part, inside in parts.items():
            if count := int(np.count_nonzero(exactly & inside)):
                dropped[f"{part}: {' and '.join(lacking)} not in the catalog"] = count
    return there & ~np.logical_or.reduce([np.zeros_like(there), *missing.values()]), dropped


def _some_of(roles: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Each choice of one or more of the roles, the small ones first."""
    for number in range(1, len(roles) + 1):
        yield from combinations(roles, number)


def events_of(
    dataset: Dataset, ids: Mapping[str, np.ndarray], time: np.ndarray, kept: np.ndarray, users: int
) -> Events:
    """The kept interactions; those of data without users lie as those of one."""
    schema = dataset.schema
    user = next(iter(ids.values()), np.zeros(len(time), np.int32))
    (rows,) = np.nonzero(kept)
    rows = rows[np.lexsort((time[rows], user[rows]))]
    others = [n for n, column in schema.interactions.items() if column.kind not in ("id", "time")]
    return Events(
        ids={entity: values[rows] for entity, values in ids.items()},
        time=time[rows],
        group=_groups(dataset.interactions[schema.group], user, rows) if schema.group else np.arange(len(rows)),
        columns=dataset.interactions.select(others).combine_chunks().take(pa.array(rows)),
        offsets=np.searchsorted(user[rows], np.arange(users + 1)),
        weight=of_all_tasks(dataset.interactions, schema.interactions, rows),
    )


def _groups(column: pa.ChunkedArray, user: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Numbers of the groups of `rows`; a group that two users share counts as two."""
    code = codes(column)[rows]
    _, group = np.unique(user[rows] * (code.max(initial=0) + 1) + code, return_inverse=True)
    return group.astype(np.int64)
