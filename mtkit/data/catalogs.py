"""A fold: catalogs as of a cut, and the interactions by dense ids."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtkit.data.columns import UNKNOWN_NUMBER, UNKNOWN_TEXT, check, codes, plain, raw, seconds
from mtkit.errors import DataError
from mtkit.schema import INTERACTIONS
from mtkit.spec import Cut, Log, Split
from mtkit.types import Dataset, Entity, Events, Fold


def make_cuts(dataset: Dataset, split: Split) -> tuple[Cut, Cut]:
    """Where a split cuts the data, for validation and for test.

    Raises:
        DataError: a part would be empty, or the data lack what the split needs.
    """
    return split.cuts(log_of(dataset, split.reads))


def log_of(dataset: Dataset, reads: Collection[str] = ()) -> Log:
    """The interactions as a split sees them that reads some columns."""
    interactions, schema = dataset.interactions, dataset.schema
    user = codes(interactions[schema.reference(schema.roles[0])]) + 1 if schema.roles else None
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
    parts = {"valid": valid, "test": test}
    sizes = {
        name: int(np.count_nonzero((time >= cut.cut) & (time < cut.end)))
        for name, cut in parts.items()
        for time in [moments(dataset, cut)]
    }
    return {"train": int(np.count_nonzero(moments(dataset, valid) < valid.cut)), **sizes}


def make_fold(
    dataset: Dataset, cut: Cut, min_count: Mapping[str, int], drop_unlisted: Collection[str] = frozenset()
) -> Fold:
    """Cuts a data set.

    The catalog of an entity holds the rows of its table with at least `min_count` interactions that the model is trained
    on, sorted by id; entities that interactions do not refer to are there as a whole. Interactions of which an id is null
    or in no catalog are left out.

    Args:
        dataset: raw tables.
        cut: what is known, and what is evaluated.
        min_count: entity -> interactions to train on that it needs; 1 where nothing is said.
        drop_unlisted: entities whose table need not have every id of the interactions.

    Raises:
        DataError: the data do not fit the declared schema, interactions have ids that their entity's table does not
            have, a catalog is empty, nothing is left to evaluate, or `min_count` names no entity.
    """
    check(dataset)
    schema = dataset.schema
    if unknown := set(min_count) - set(schema.entities):
        raise DataError(f"min_count: {sorted(unknown)} are no entities; the data have {sorted(schema.entities)}")
    time = moments(dataset, cut)
    fit = cut.cut if cut.fit is None else cut.fit
    references = {e: schema.reference(e) for e in schema.roles}
    found = {
        entity: _find(
            entity, dataset, reference, time < fit, min_count.get(entity, 1), drop_unlisted=entity in drop_unlisted
        )
        for entity, reference in references.items()
    }
    entities = {entity: catalog.entity for entity, catalog in found.items()}
    for entity in schema.entities:
        if entity not in references:
            order = pc.sort_indices(plain(dataset.entities[entity]["id"]))
            entities[entity] = _entity(entity, dataset, order)
    kept, dropped = _keep(time < cut.end, found)
    if not kept[time >= cut.cut].any():
        reasons = ", ".join(f"{number:,} interactions: {reason}" for reason, number in dropped.items() if number)
        raise DataError(
            f"fold {cut.name!r} has nothing to evaluate; left out: {reasons}; see min_count in data.catalog"
        )
    users = len(next(iter(entities.values()))) if found else 1
    events = _events(dataset, {entity: catalog.ids for entity, catalog in found.items()}, time, kept, users)
    return Fold(cut.name, fit, cut.cut, cut.end, entities, events, schema, dropped)


@dataclass(frozen=True)
class _Catalog:
    """A catalog, and where each interaction's id is in it (int32 `[interactions]`, 0 = not there)."""

    entity: Entity
    ids: np.ndarray
    minimum: int


def _find(
    entity: str, dataset: Dataset, reference: str, known: np.ndarray, minimum: int, *, drop_unlisted: bool
) -> _Catalog:
    keys = plain(dataset.entities[entity]["id"])
    column = plain(dataset.interactions[reference])
    if column.type != keys.type:
        raise DataError(
            f"{INTERACTIONS}.{reference} has ids of type {column.type}, but {entity}.id is of type {keys.type}; "
            "both must be strings, or both integers"
        )
    order = pc.sort_indices(keys)
    found = pc.index_in(column, value_set=keys.take(order), skip_nulls=True)
    unlisted = column.filter(pc.and_(pc.is_null(found), pc.is_valid(column)))
    if len(unlisted) and not drop_unlisted:
        raise DataError(
            f"{INTERACTIONS}.{reference}: {len(unlisted):,} interactions have ids that are not in the table of "
            f"{entity}, for example {unlisted[0].as_py()!r}; add the missing rows to the table, or leave these "
            f'interactions out with unlisted = "drop" in [data.catalog.{entity}]'
        )
    code = found.fill_null(-1).to_numpy()
    enough = np.bincount(code[known & (code >= 0)], minlength=len(keys)) >= minimum
    if not enough.any():
        raise DataError(f"{entity}: no row has {minimum} or more interactions before the cut; the catalog is empty")
    dense = np.append(np.where(enough, np.cumsum(enough), 0), 0).astype(np.int32)
    return _Catalog(_entity(entity, dataset, order.filter(pa.array(enough))), dense[code], minimum)


def _entity(name: str, dataset: Dataset, rows: pa.Array) -> Entity:
    table = dataset.entities[name]
    key = plain(table["id"]).take(rows)
    if pa.types.is_string(key.type):
        ids = np.array([UNKNOWN_TEXT, *key.to_pylist()], dtype=object)
    else:
        ids = np.append(np.int64(UNKNOWN_NUMBER), key.to_numpy())
    with_unknown = pa.concat_arrays([pa.nulls(1, rows.type), rows])
    columns = table.select(list(dataset.schema.entities[name])).take(with_unknown)
    return Entity(name=name, ids=ids, columns=columns)


def _keep(kept: np.ndarray, found: Mapping[str, _Catalog]) -> tuple[np.ndarray, dict[str, int]]:
    """Which interactions stay, and how many each catalog turned away."""
    dropped = {}
    for entity, catalog in found.items():
        missing = kept & (catalog.ids == 0)
        dropped[f"{entity} with fewer than {catalog.minimum} interactions before the cut"] = int(missing.sum())
        kept = kept & ~missing
    return kept, dropped


def _events(dataset: Dataset, ids: Mapping[str, np.ndarray], time: np.ndarray, kept: np.ndarray, users: int) -> Events:
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
    )


def _groups(column: pa.ChunkedArray, user: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Numbers of the groups of `rows`; a group that two users share counts as two."""
    code = codes(column)[rows]
    _, group = np.unique(user[rows] * (code.max(initial=0) + 1) + code, return_inverse=True)
    return group.astype(np.int64)
