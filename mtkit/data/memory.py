"""Whether a model's tables and steps fit into memory: an estimate, before anything large is made."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow.compute as pc

from mtkit.data.asked_rows import PARTS, Asked, asked_columns, make_rows
from mtkit.data.free_memory import available
from mtkit.data.step_rules import MOST_BATCH, batch_of
from mtkit.errors import DataError
from mtkit.recipe.loader import Recipe
from mtkit.recipe.plan import Plan
from mtkit.schema import CONTEXT, HISTORY, Address
from mtkit.spec import Rows
from mtkit.types import Events, Fold, Part, RowTable

_FLOAT = 4
_COPIES = 2
"""What a step holds of embeddings: values, and their gradient; and what is held of statistics: as they are, and preprocessed."""
_SLOTS = {"sgd": 0, "adagrad": 1, "adam": 2, "adamw": 2}
"""Numbers that an optimizer keeps beside a weight."""
_SAMPLE = 50_000
"""Events of users whose rows are made for an estimate."""
_SHOWN, _LARGE = 3, 0.05
"""How many needs are shown at most, and the share of the whole from which on one is worth it."""
_ADDRESSES = 700_000_000
"""What the threads of a first step reserve without using it, as measured; it counts where addresses are limited alone."""


def slots(optimizer: str) -> int:
    """How many numbers an optimizer keeps beside a weight."""
    return _SLOTS[optimizer]


@dataclass(frozen=True, order=True)
class Need:
    """Bytes, and what takes them with what to reduce."""

    bytes: int
    what: str


def check_memory(recipe: Recipe, fold: Fold, *, model: bool) -> None:
    """Refuses what cannot fit into the memory that is free, before rows are made.

    Only the large parts count: row tables, the scores of a block in evaluation, and of a model the weights of large tables,
    what the optimizer keeps beside them, and what a step computes. What is accepted may still be too much.

    Args:
        recipe: the resolved recipe.
        fold: what is known, and what is to be predicted.
        model: whether there is a model in this memory; there is none beside baselines alone, or where a GPU has it.

    Raises:
        DataError: it cannot fit; names the largest parts, and what to reduce.
    """
    free = available()
    if free is None:
        return
    plan = recipe.plan
    of_model = [*_weights(recipe, plan, fold), *_past_events(recipe, fold), *_addresses()] if model else []
    kept = [*_rows(recipe, fold), *of_model]
    step = _step(recipe, plan, fold) if model else ()
    needs = max([*kept, *step], [*kept, *_block(recipe, plan, fold)], key=_total)
    total = _total(needs)
    if total <= free:
        return
    large = [need for need in sorted(needs, reverse=True)[:_SHOWN] if need.bytes > _LARGE * total]
    listed = "".join(f"\n  {_shown(need.bytes)}: {need.what}" for need in large)
    raise DataError(f"about {_shown(total)} of memory are needed, and {_shown(free)} are free; most of it:{listed}")


def _rows(recipe: Recipe, fold: Fold) -> Iterator[Need]:
    """Row tables, by those of some of the users."""
    plan, asked, step = recipe.plan, asked_columns(recipe), max(1, len(fold.events) // _SAMPLE)
    some = replace(fold, events=_of_users(fold.events, step))
    share = len(some.events) / max(len(fold.events), 1)
    for name, rows in recipe.rows.items():
        for part in PARTS if share else ():
            rows_of_some = rows.of_share(share)
            numbers = sum(recipe.statistics[known].width for known in plan.statistics(name))
            size = 0 if rows_of_some is None else _bytes_made(name, rows_of_some, some, part, asked, numbers)
            what = f"rows.{name}: rows of {part}; make it smaller (`since`, `sample`, `eval_sample`, `count`, `length`)"
            yield Need(int(size / share), what)


def _bytes_made(name: str, rows: Rows, fold: Fold, part: Part, asked: Asked, numbers: int) -> int:
    try:
        # Popularity is by moment, not by user; where it is made, it is looked at.
        table = make_rows(name, rows, fold, part, asked[name, part] - {"popularity"})
        return bytes_of(table) + len(table) * numbers * _FLOAT * _COPIES
    except DataError:
        return 0  # there are no rows of these users


def _of_users(events: Events, step: int) -> Events:
    """The events of every `step`-th user."""
    if step == 1 or not events.ids:
        return events
    sizes = np.diff(events.offsets)
    sizes[np.arange(len(sizes)) % step != 0] = 0
    kept = np.flatnonzero(np.repeat(np.arange(len(sizes)) % step == 0, np.diff(events.offsets)))
    return replace(
        events,
        ids={role: ids[kept] for role, ids in events.ids.items()},
        time=events.time[kept],
        group=events.group[kept],
        columns=events.columns.take(kept),
        offsets=np.append(0, np.cumsum(sizes)),
    )


def _weights(recipe: Recipe, plan: Plan, fold: Fold) -> Iterator[Need]:
    sizes = _sizes(fold)
    for name, encoder in plan.encoders.items():
        weights = encoder.table_rows(sizes) * encoder.dim
        what = f"encoder.{name}: weights, and what {recipe.train.optimizer} keeps beside them; lower its `dim`"
        yield Need(weights * _FLOAT * (1 + _SLOTS[recipe.train.optimizer]), what)


def _past_events(recipe: Recipe, fold: Fold) -> Iterator[Need]:
    """Columns of past events that encoders read, numbers beside whether they are missing, and the events that they choose."""
    declared, events = fold.schema.features(), len(fold.events)
    read = {address for spec in recipe.encoder.values() for address in map(Address, spec.reads)}
    for address in sorted(address for address in read if address.scope == HISTORY and declared[address].kind != "id"):
        numbers = 2 if declared[address].kind == "numeric" else 1
        yield Need(events * numbers * _FLOAT, f"{address} of {events:,} events; do not read it")
    for where in dict.fromkeys(where for spec in recipe.encoder.values() if (where := spec.history_where)):
        what = f"which of {events:,} events are meant by {where.in_words()}; do without `where`"
        yield Need(2 * events * _FLOAT, what)
    for name, spec in recipe.encoder.items():
        if around := spec.neighborhood:
            # Each kind from both sides: an id and a time for each event.
            kinds = 2 * len(around.kinds)
            yield Need(
                kinds * events * 3 * _FLOAT, f"encoder.{name}: edges of {events:,} events; name fewer kinds of them"
            )


def _addresses() -> Iterator[Need]:
    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        yield Need(_ADDRESSES, "addresses that TensorFlow reserves for its threads; raise `ulimit -v`")


def _step(recipe: Recipe, plan: Plan, fold: Fold) -> Iterator[Need]:
    sizes = _sizes(fold)
    batches = {name: _rows_of_step(spec, fold) for name, spec in recipe.rows.items()}
    for entity in plan.whole_entities():
        width = sum(encoder.width for name, encoder in plan.encoders.items() if plan.entity(name) == entity)
        what = f"embeddings of all {sizes[entity]:,} rows of {entity}; raise data.catalog.{entity}.min_count or lower `dim`"
        yield Need(sizes[entity] * width * _FLOAT * _COPIES, what)
    for table, names in _encoded(plan).items():
        batch = batches[table]
        numbers = sum(plan.encoders[name].numbers_per_row(sizes) + _listed(plan, fold, name) for name in names)
        what = (
            f"a step of {batch:,} rows through {', '.join(sorted(names))}; lower rows.{table}.batch_size, or `dim` or "
            "`length` of these"
        )
        yield Need(batch * numbers * _FLOAT * _COPIES, what)
    for name, task in plan.rankings().items():
        batch = batches[task.rows]
        items = sizes[plan.candidate_entity(name)]
        candidates = task.candidates_of_step(batch, items)
        what = f"task.{name}: scores of {batch:,} rows x {candidates:,} candidates; lower rows.{task.rows}.batch_size"
        yield Need(batch * candidates * _FLOAT * task.step_matrices, what)


def _rows_of_step(rows: Rows, fold: Fold) -> int:
    """How many rows a step has; where it draws sequences, those of as many sequences of average length."""
    if not rows.sequence_length:
        return rows.batch_size or MOST_BATCH
    events = np.diff(fold.events.offsets)
    sizes = np.minimum(events[events > 0], rows.sequence_length)
    return int((rows.batch_size or batch_of(len(sizes))) * sizes.mean())


def _listed(plan: Plan, fold: Fold, name: str) -> int:
    """How many numbers the values of lists add to those of a row that an encoder holds."""
    encoder, features = plan.encoders[name], fold.schema.features()
    lists = [address for address in map(Address, encoder.reads) if features[address].listed]
    tables = [
        (fold.events.columns if address.scope == CONTEXT else fold.catalog(address.scope).columns)[address.column]
        for address in lists
    ]
    return encoder.dim * sum(pc.max(pc.list_value_length(column)).as_py() or 0 for column in tables)


def _encoded(plan: Plan) -> dict[str, set[str]]:
    """Row table -> encoders that its rows go through in a step, instead of being looked up among all of an entity."""
    found: dict[str, set[str]] = {}
    for task in plan.tasks:
        for table, reads in plan.reads(task).items():
            if table == plan.tasks[task].rows:
                names = {member for _, name in reads for member in plan.members(name)}
                found.setdefault(table, set()).update(names - plan.whole_embeddings())
    return found


def _block(recipe: Recipe, plan: Plan, fold: Fold) -> Iterator[Need]:
    """The largest of the blocks that are scored: tasks are evaluated one after another."""
    needs, sizes = [], _sizes(fold)
    most = int((np.diff(fold.events.offsets) > 0).sum())  # a row for each user
    for name, task in plan.rankings().items():
        rows, items = min(recipe.evaluate.block, most), sizes[plan.candidate_entity(name)]
        if (drawn := recipe.evaluate.sampled) is not None:
            items = min(items, drawn)
        what = f"task.{name}: scores of {rows:,} rows x {items:,} candidates in evaluation; lower evaluate.block"
        needs.append(Need(rows * items * _FLOAT * task.score_matrices, what))
    yield from sorted(needs)[-1:]


def _sizes(fold: Fold) -> dict[str, int]:
    return {scope: len(fold.catalog(scope)) for scope in fold.schema.scopes}


def bytes_of(table: RowTable) -> int:
    """What the arrays of a row table measure; what they share is counted for each."""
    arrays = [*table.ids.values(), *table.context.values(), *table.labels.values(), *table.weights.values()]
    arrays += [table.time, table.history, table.known, *table.dense.values()]
    arrays += [array for shared in table.shared.values() for array in (shared.index, shared.values)]
    arrays += [] if table.sequence is None else [table.sequence]
    for ragged in table.lists.values():
        arrays += [ragged.offsets, *ragged.values.values()]
    return sum(array.nbytes for array in arrays)


def _total(needs: list[Need]) -> int:
    return sum(need.bytes for need in needs)


def _shown(number: float) -> str:
    return f"{number / 1e9:,.2f} GB"
