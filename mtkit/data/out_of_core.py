"""Data that do not fit into memory: interactions are read by their parts, divided by users, and made rows a part at a time.

Nothing is computed here that is not computed in memory: a part of the users with all of their interactions goes through the
same functions. What only all interactions tell is counted first: which ids are frequent enough, which classes a label has.
Parts are ranges of the ids of who acts, in their order: what is made of them, one after another, is what is made at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtkit.data.catalogs import Catalog, Keys, events_of, kept_interactions, moments
from mtkit.data.cleaning import cleaned
from mtkit.data.column_files import ColumnWriter
from mtkit.data.columns import check, plain, seconds
from mtkit.data.conditions import holding
from mtkit.data.labels import learned_of
from mtkit.data.prepared_rows import add_events
from mtkit.data.times import read_times
from mtkit.errors import DataError, RecipeError
from mtkit.recipe.loader import Recipe
from mtkit.spec import Cut, DataSource, Log
from mtkit.types import DAY, Dataset, Events, Fold, Origin

PIECE = 1 << 19
"""Interactions that are read at once."""
BYTES, BESIDE = 800, 1 << 30
"""What an interaction takes while rows are made of it, as measured, and what a process takes beside."""

#: Kinds of rows that are made user by user.
_BY_USER = ("interactions", "windows", "profiles", "sequences", "entity")
_MEMORY = "prepare these data in memory (--engine memory)"


def rows_within(gigabytes: float) -> int:
    """How many interactions may be worked on at once.

    Raises:
        DataError: too few.
    """
    rows = int((gigabytes * 1e9 - BESIDE) / BYTES)
    if rows < PIECE:
        least = (PIECE * BYTES + BESIDE) / 1e9
        raise DataError(f"--memory {gigabytes:g}: expected {least:.2g} GB at least")
    return rows


def check_recipe(recipe: Recipe) -> None:
    """Refuses recipes with something that is not told by a part of the users.

    Raises:
        RecipeError: names each such thing.
    """
    told = f", which takes all interactions at once; {_MEMORY}"
    found = [*_whole_data(recipe), *_whole_rows(recipe)]
    if problems := [recipe.problem(path, what + told) for path, what in found]:
        raise RecipeError(problems)


def _whole_data(recipe: Recipe) -> Iterator[tuple[tuple[str, ...], str]]:
    for name in recipe.data.source.cleaners:
        yield ("clean", name), "cleaners look at whole tables"
    if recipe.uses["data.split"] != "time":
        yield ("data", "split"), "its cuts follow from the order of the interactions"
    if not recipe.data.source.schema().roles:
        yield ("data",), "rows stand for themselves"
    for entity, catalog in recipe.data.catalog.items():
        if catalog.unlisted == "unknown":
            yield ("data", "catalog", entity, "unlisted"), "ids of no catalog get rows"


def _whole_rows(recipe: Recipe) -> Iterator[tuple[tuple[str, ...], str]]:
    for name, rows in recipe.rows.items():
        if recipe.uses[f"rows.{name}"] not in _BY_USER:
            yield ("rows", name), "its rows are not told by one user after another"
        for key in ("negatives_of", "positives_of", *(("sample",) if rows.sequence_length else ())):
            if getattr(rows, key, None):
                yield ("rows", name, key), "rows are drawn among all"
        if "popularity" in recipe.plan.columns(name, "train") | recipe.plan.columns(name, "eval"):
            yield ("rows", name), "a task reads how popular items were"
    for name in recipe.statistics:
        yield ("preprocess", name), "it counts what became of the events of all users"
    for name, head in recipe.plan.tasks.items():
        if head.query_by or getattr(head, "repeats", 1) < 1:
            yield ("task", name), "its rows are numbered, or counted, among all"


@dataclass
class Cleaning:
    """What is found while the parts of a source are cleaned.

    Attributes:
        notes: what readers of the results should know, each once.
        left_out: why interactions are not in the tables -> how many.
        entities: entity -> its table.
    """

    notes: dict[str, None]
    left_out: dict[str, int]
    entities: dict[str, pa.Table]


def write_tables(writer: ColumnWriter, source: DataSource) -> None:
    """Writes the cleaned interactions and entities of a source; in `about`, notes and what was left out.

    Raises:
        DataError: the source does not come by parts, or a part of it cannot be cleaned without the others.
    """
    parts = source.parts(PIECE)
    if parts is None:
        raise DataError(
            f"the source of the data gives its interactions as a whole (Parquet files come by parts); {_MEMORY}"
        )
    first, found = None, Cleaning({}, {}, {})
    for part in parts:
        _refuse_order(part)
        if first is None:
            first = cleaned(part)
            found.entities = dict(first.entities)
        some = {name: table.slice(0, 1) for name, table in part.entities.items()}
        made = cleaned(replace(part, entities=some))
        _take(found, made, some)
        writer.add_table("interactions", made.interactions.cast(first.interactions.schema))
    if first is None:
        raise DataError("the source of the data has no interactions")
    check(replace(first, entities=found.entities, interactions=first.interactions.slice(0, 1)))
    for name, table in found.entities.items():
        writer.add_table(f"entity/{name}", table)
    writer.about |= {"notes": list(found.notes), "left_out": found.left_out}
    writer.about["origins"] = {name: list(origin) for name, origin in first.origins.items()}


def _refuse_order(part: Dataset) -> None:
    """Parts are in the order of the data; times with parts of a second would order all of them."""
    assert part.schema.time is not None
    if read_times(part.interactions[part.schema.time]).nanoseconds.any():
        raise DataError(
            f"{part.place('interactions', part.schema.time)}: times have parts of a second, by which all are sorted; {_MEMORY}"
        )


def _take(found: Cleaning, made: Dataset, tables: Mapping[str, pa.Table]) -> None:
    found.notes |= dict.fromkeys(made.notes)
    for why, count in made.left_out.items():
        if "cannot be" in why:
            raise DataError(f"{count:,} interactions {why}, seen from those around them; {_MEMORY}")
        found.left_out[why] = found.left_out.get(why, 0) + count
    for name, table in made.entities.items():
        kind = found.entities[name]["id"].type
        if table["id"].type != kind:
            raise DataError(
                f"ids of {name} are {kind} in one part of the data and {table['id'].type} in another; {_MEMORY}"
            )
        if name not in tables:
            both = pa.chunked_array([*found.entities[name]["id"].chunks, *table["id"].chunks])
            found.entities[name] = pa.table({"id": both.unique()})


def pieces(dataset: Dataset) -> Iterator[Dataset]:
    """A data set with some interactions at a time."""
    for begin in range(0, len(dataset.interactions), PIECE):
        yield replace(dataset, interactions=dataset.interactions.slice(begin, PIECE))


@dataclass(frozen=True)
class Counted:
    """What all interactions tell.

    Attributes:
        keys: entity -> its ids in their order.
        catalogs: cut -> entity -> its catalog.
        users: int64 `[ids]`, interactions of each id of who acts, by its place among them.
    """

    keys: Mapping[str, Keys]
    catalogs: Mapping[str, Mapping[str, Catalog]]
    users: np.ndarray


def counted(recipe: Recipe, dataset: Dataset, cuts: Sequence[Cut]) -> Counted:
    """Counts ids, and makes the catalogs of both cuts.

    Raises:
        DataError: interactions have ids that their entity's table lacks, or a catalog would be empty.
    """
    schema = dataset.schema
    keys = {entity: Keys.of(dataset, entity) for entity in schema.entities}
    counts = {cut.name: {entity: np.zeros(len(of.sorted), np.int64) for entity, of in keys.items()} for cut in cuts}
    acting = next(iter(schema.roles))
    users = np.zeros(len(keys[schema.roles[acting]].sorted), np.int64)
    for piece in pieces(dataset):
        places = _places(recipe, piece, keys)
        users += _count(places[acting], len(users))
        for cut in cuts:
            before = moments(piece, cut) < (cut.cut if cut.fit is None else cut.fit)
            for role, entity in schema.roles.items():
                early = before & _counting(recipe, piece, entity)
                counts[cut.name][entity] += _count(places[role][early], len(keys[entity].sorted))
    catalogs = {
        name: {entity: _catalog(recipe, dataset, keys[entity], of) for entity, of in found.items()}
        for name, found in counts.items()
    }
    return Counted(keys, catalogs, users)


def _places(recipe: Recipe, piece: Dataset, keys: Mapping[str, Keys]) -> dict[str, np.ndarray]:
    listed = recipe.data.catalog
    drops = {name for name, catalog in listed.items() if catalog.unlisted != "refuse"}
    roles = piece.schema.roles
    return {role: keys[entity].places(piece, role, unlisted=entity in drops) for role, entity in roles.items()}


def _counting(recipe: Recipe, piece: Dataset, entity: str) -> np.ndarray | np.bool_:
    where = recipe.data.catalog[entity].where if entity in recipe.data.catalog else None
    return np.True_ if where is None else holding(where, piece.interactions, piece.schema.interactions)


def _count(places: np.ndarray, size: int) -> np.ndarray:
    return np.bincount(places[places >= 0], minlength=size)


def _catalog(recipe: Recipe, dataset: Dataset, keys: Keys, counts: np.ndarray) -> Catalog:
    named = keys.entity in recipe.data.catalog
    minimum = recipe.data.catalog[keys.entity].min_count if named else 1
    refers = keys.entity in dataset.schema.roles.values()
    chosen = keys.frequent_of(counts, minimum) if refers else np.arange(len(counts))
    return keys.catalog(dataset, chosen, None)


def write_shards(writer: ColumnWriter, recipe: Recipe, dataset: Dataset, known: Counted, rows: int) -> None:
    """Divides the interactions by ranges of who acts, about `rows` in each, in the order of the data."""
    shard = (np.cumsum(known.users) - known.users) // rows
    acting = next(iter(dataset.schema.roles))
    for piece in pieces(dataset):
        place = _places(recipe, piece, known.keys)[acting]
        # Those of nobody are left out, and counted, in the first.
        number = np.where(place < 0, 0, shard[place])
        order = np.argsort(number, kind="stable")
        table, bounds = piece.interactions.take(pa.array(order)), np.bincount(number)
        for name, (begin, size) in enumerate(zip(np.cumsum(bounds) - bounds, bounds, strict=True)):
            if size:
                writer.add_table(f"{name}", table.slice(begin, size))


def write_log(
    writer: ColumnWriter, recipe: Recipe, dataset: Dataset, shards: Mapping[str, pa.Table], known: Counted, cut: Cut
) -> None:
    """Writes the events of a cut; in `about`, why interactions are not among them.

    Raises:
        DataError: there is nothing to evaluate.
    """
    catalogs, roles = known.catalogs[cut.name], dataset.schema.roles
    users = len(catalogs[next(iter(roles.values()))].entity)
    counts, dropped, evaluated = np.zeros(users, np.int64), dict(dataset.left_out), 0
    for name in sorted(shards, key=int):
        piece = replace(dataset, interactions=shards[name])
        places, time = _places(recipe, piece, known.keys), moments(piece, cut)
        ids = {role: catalogs[entity].rows[places[role]] for role, entity in roles.items()}
        fit = cut.cut if cut.fit is None else cut.fit
        parts = {"train": time < fit, "past": (time >= fit) & (time < cut.cut), "eval": time >= cut.cut}
        kept, without = kept_interactions(time < cut.end, ids, parts, {})
        for why, count in without.items():
            dropped[why] = dropped.get(why, 0) + count
        evaluated += int(np.count_nonzero(kept & parts["eval"]))
        events = events_of(piece, ids, time, kept, users)
        counts += np.diff(events.offsets)
        add_events(writer, events, last=False)
    if not evaluated:
        raise DataError(f"fold {cut.name!r} has nothing to evaluate; see min_count in data.catalog")
    writer.add("offsets", np.append(0, np.cumsum(counts)))
    writer.about["dropped"] = dropped


def catalogs_of(dataset: Dataset, known: Counted, cut: Cut, dropped: Mapping[str, int]) -> Fold:
    """A fold with its catalogs, and without events."""
    entities = {name: catalog.entity for name, catalog in known.catalogs[cut.name].items()}
    none = Events({}, np.zeros(0, np.int64), np.zeros(0, np.int64), pa.table({}), np.zeros(1, np.int64))
    fit = cut.cut if cut.fit is None else cut.fit
    return Fold(cut.name, fit, cut.cut, cut.end, entities, none, dataset.schema, dropped)


def with_classes(fold: Fold) -> Fold:
    """A fold that says which classes the labels of its events have, so that parts of these need not tell."""
    found: dict[str, tuple[str, ...]] = {}
    for name in fold.schema.of_kind("label"):
        declared, column = fold.schema.interactions[name], fold.events.columns[name]
        if declared.classes or declared.multi_label:
            values = column.filter(pa.array(learned_of(fold, declared)))
            values = pc.list_flatten(values) if declared.multi_label else plain(values).cast(pa.string())
            found[name] = tuple(pc.unique(values).drop_null().sort().to_pylist())
    return replace(fold, classes=found)


def parts_of(fold: Fold, rows: int) -> Iterator[tuple[Fold, int]]:
    """The fold with the events of a range of users at a time, about `rows`, and where in all events these begin."""
    offsets, events = fold.events.offsets, fold.events
    number = offsets[:-1] // rows
    firsts = np.flatnonzero(np.diff(number, prepend=-1))
    for first, behind in zip(firsts, [*firsts[1:], len(number)], strict=True):
        begin, end = int(offsets[first]), int(offsets[behind])
        if begin < end:
            yield replace(fold, events=_part(events, begin, end)), begin


def _part(events: Events, begin: int, end: int) -> Events:
    def some(values: np.ndarray) -> np.ndarray:
        return np.array(values[begin:end])

    group = some(events.group)
    return Events(
        ids={role: some(ids) for role, ids in events.ids.items()},
        time=some(events.time),
        # Numbers of groups are told apart alone, and arrays are as long as the largest.
        group=group - group.min(initial=np.iinfo(np.int64).max),
        columns=events.columns.slice(begin, end - begin).combine_chunks(),
        offsets=np.clip(events.offsets - begin, 0, end - begin),
        weight=None if events.weight is None else some(events.weight),
    )


def common_note(notes: Sequence[str]) -> str:
    """What is said of all parts alike."""
    first, *others = (note.split("; ") for note in dict.fromkeys(notes))
    return "; ".join(clause for clause in first if all(clause in other for other in others))


def of_about(about: Mapping[str, Any], dataset: Dataset) -> Dataset:
    """The tables with what was noted when they were cleaned."""
    origins = {name: Origin(*of) for name, of in about["origins"].items()}
    return replace(dataset, notes=tuple(about["notes"]), left_out=about["left_out"], origins=origins)


def extremes(dataset: Dataset) -> Log:
    """The days on which there are interactions, and the last one: all that a split by given days asks for."""
    assert dataset.schema.time is not None
    days, last = np.zeros(0, np.int64), np.iinfo(np.int64).min
    for piece in pieces(dataset):
        time = seconds(piece.interactions[dataset.schema.time])
        days, last = np.union1d(days, time // DAY), max(last, int(time.max(initial=last)))
    return Log(None, np.arange(len(days) + 1), np.append(days * DAY, last))
