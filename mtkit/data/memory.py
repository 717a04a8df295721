"""Whether a model's tables and steps fit into memory: an estimate, before anything large is made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mtkit.errors import DataError
from mtkit.recipe.loader import Recipe
from mtkit.recipe.plan import Plan
from mtkit.types import Fold, Part, RowTable

Tables = Mapping[str, Mapping[Part, RowTable]]

_FLOAT = 4
#: What a step holds of a matrix of scores: logits, their softmax or mask, and the gradients of both.
_COPIES = 4
_SHOWN = 3
_CONTAINER = Path("/sys/fs/cgroup")


@dataclass(frozen=True, order=True)
class Need:
    """Bytes, and what takes them with what to reduce."""

    bytes: int
    what: str


def check_memory(recipe: Recipe, plan: Plan, fold: Fold, tables: Tables) -> None:
    """Refuses what cannot fit into the memory that is free.

    Only the large parts count: row tables on the device, what a step computes for whole catalogs, and the scores of a
    block in evaluation. What is refused would not have fitted; what is accepted may still be too much.

    Raises:
        DataError: it cannot fit; names the largest parts, and what to reduce.
    """
    kept = list(_kept(tables))
    step, block = [*kept, *_step(recipe, plan, fold)], [*kept, *_block(recipe, plan, fold, tables)]
    needs = max(step, block, key=_total)
    free = available()
    if free is None or _total(needs) <= free:
        return
    largest = "".join(f"\n  {_shown(need.bytes)}: {need.what}" for need in sorted(needs, reverse=True)[:_SHOWN])
    raise DataError(
        f"{_shown(_total(needs))} of memory are needed at least, and {_shown(free)} are free; most of it:{largest}"
    )


def available(meminfo: Path = Path("/proc/meminfo"), container: Path = _CONTAINER) -> int | None:
    """Bytes of memory that this process can get; None where the system does not tell.

    Args:
        meminfo: what the kernel says of the machine.
        container: what it says of the limits of this process's control group.
    """
    try:
        lines = (line.split() for line in meminfo.read_text(encoding="ascii").splitlines())
        free = next(int(words[1]) * 1024 for words in lines if words[0] == "MemAvailable:")
    except (OSError, StopIteration):
        return None
    try:
        limit, used = (
            (container / name).read_text(encoding="ascii").strip() for name in ("memory.max", "memory.current")
        )
    except OSError:
        return free
    return free if limit == "max" else min(free, int(limit) - int(used))


def _kept(tables: Tables) -> Iterator[Need]:
    for name, parts in tables.items():
        for part, table in parts.items():
            what = f"rows.{name}: {len(table):,} rows of {part}; make it smaller (`since`, `sample`, `count`)"
            yield Need(_bytes(table), what)


def _step(recipe: Recipe, plan: Plan, fold: Fold) -> Iterator[Need]:
    for entity in plan.whole_entities():
        rows = len(fold.catalog(entity))
        width = sum(encoder.dim for name, encoder in plan.encoders.items() if plan.entity(name) == entity)
        what = f"embeddings of all {rows:,} rows of {entity}; raise data.catalog.{entity}.min_count or lower `dim`"
        yield Need(rows * width * _FLOAT * _COPIES, what)
    for name, task in plan.rankings().items():
        batch = recipe.rows[task.rows].batch_size
        entity = plan.candidate_entity(name)
        candidates = len(fold.catalog(entity)) if any(read.trains and not read.rows for read in task.reads()) else batch
        what = f"task.{name}: scores of {batch:,} rows x {candidates:,} candidates; lower rows.{task.rows}.batch_size"
        yield Need(batch * candidates * _FLOAT * _COPIES, what)


def _block(recipe: Recipe, plan: Plan, fold: Fold, tables: Tables) -> Iterator[Need]:
    """The largest of the blocks that are scored: tasks are evaluated one after another."""
    needs = []
    for name in plan.rankings():
        rows = min(recipe.evaluate.block, len(tables[plan.rows_of(name)]["eval"]))
        items = len(fold.catalog(plan.candidate_entity(name)))
        what = f"task.{name}: scores of {rows:,} rows x {items:,} candidates in evaluation; lower evaluate.block"
        needs.append(Need(rows * items * _FLOAT * _COPIES, what))
    yield from sorted(needs)[-1:]


def _bytes(table: RowTable) -> int:
    arrays = [*table.ids.values(), *table.context.values(), *table.labels.values(), *table.weights.values()]
    arrays += [table.time, table.history, table.known, *table.dense.values()]
    arrays += [array for shared in table.shared.values() for array in (shared.index, shared.values)]
    for ragged in table.lists.values():
        arrays += [ragged.offsets, *ragged.values.values()]
    return sum(array.nbytes for array in arrays)


def _total(needs: list[Need]) -> int:
    return sum(need.bytes for need in needs)


def _shown(number: float) -> str:
    return f"{number / 1e9:,.1f} GB"
