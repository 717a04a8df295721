"""What rows count: columns of kind `weight`, and the columns by which tasks weigh their rows."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow as pa

from mtkit.conditions import Where
from mtkit.data.columns import raw
from mtkit.data.conditions import holding
from mtkit.data.feature_scopes import scope_of
from mtkit.schema import CONTEXT, Address, Column
from mtkit.spec import TaskHead, TaskMistake
from mtkit.spec.heads import mask_name, repeats_name
from mtkit.types import ROW_WEIGHT, Fold, Part, RowTable

#: Why rows may have no label.
NOT_KNOWN = "they are null, of a class that training lacks, or look ahead beyond the end of their part (`horizon`)"


def of_all_tasks(columns: pa.Table, declared: Mapping[str, Column], rows: np.ndarray) -> np.ndarray | None:
    """What rows of a table count for all tasks, float32 `[rows]`: the product of its columns; None where there are none."""
    return _product(columns, declared, _names(declared), rows)


def weighed(fold: Fold, table: RowTable, asked: Collection[str]) -> RowTable:
    """The table with what its rows count: by label in the labels' weights, for all tasks and by what is asked for as columns.

    Args:
        fold: the fold.
        table: rows; those that are neither events nor rows of an entity, such as windows, have no columns of their own.
        asked: `TaskHead.weight_by` of the tasks on the table; what the rows do not have is left out.
    """
    table = _by_columns(fold, table)
    found = {name: values for name in sorted(asked) if (values := _asked(fold, table, name)) is not None}
    lacking = ", ".join(sorted(set(asked) - set(found)))
    note = f"{table.note}; they have no {lacking} to count by" if lacking else table.note
    return replace(table, dense={**table.dense, **found}, note=note)


def masked(fold: Fold, table: RowTable, wheres: Collection[Where]) -> RowTable:
    """The table with a column for each condition, by which tasks leave out rows; none where rows are no single interactions."""
    if table.event is None or not wheres:
        return table
    columns, declared = fold.events.columns, fold.schema.interactions
    found = {}
    for where in wheres:
        events = columns.select(list(where.columns)).take(pa.array(table.event))
        found[mask_name(where)] = holding(where, events, declared).astype(np.float32)
    return replace(table, dense={**table.dense, **found})


def repeated(table: RowTable, powers: Collection[float]) -> RowTable:
    """The table with a column for each power: what a row counts if n rows of the same ids count n to this power together.

    None where rows have fewer than two ids: then it is not told what was had again.
    """
    if len(table.ids) < 2 or not powers:
        return table
    names = list(table.ids)
    count = pd.DataFrame(dict(table.ids)).groupby(names, sort=False)[names[0]].transform("size").to_numpy()
    found = {repeats_name(power): (count ** (power - 1.0)).astype(np.float32) for power in powers}
    return replace(table, dense={**table.dense, **found})


def unfit(fold: Fold, task: TaskHead, tables: Mapping[str, Mapping[Part, RowTable]]) -> Iterator[TaskMistake]:
    """Why rows cannot count as a task says: no such column, one that counts already, no numbers of 0 or more, all 0.

    Rows to be evaluated on may lack a column that those to train on have: they count alike.
    """
    name, train = task.weight_by, tables[task.rows]["train"]
    if task.of_rows and train.event is None:
        yield ("where",), f"rows of {task.rows!r} are no single interactions, of which alone a condition can be told"
    elif name and name not in train.dense:
        yield ("weight_by",), f"rows of {task.rows!r} have no {name!r}; {_what_they_have(train)}"
    elif name and _counts_already(fold, train, name, task.predicts):
        yield ("weight_by",), f"{name} is declared as a weight, by which these rows count already; leave weight_by out"
    else:
        found = [*_unfit_values(train, task, "training")]
        yield from found or _unfit_values(tables[task.evaluated_on]["eval"], task, "evaluation")


def _unfit_values(table: RowTable, task: TaskHead, part: str) -> Iterator[TaskMistake]:
    rows = f"rows of {part} of {table.name!r}"
    values = table.dense.get(task.weight_by or "", np.zeros(0))
    if len(wrong := np.flatnonzero(~(values >= 0))):
        shown = "is missing" if np.isnan(first := values[wrong[0]]) else f"is negative (as {first:g})"
        message = f"{task.weight_by} {shown} in {len(wrong):,} of {len(table):,} {rows}; give each 0 or more"
        yield ("weight_by",), message
        return
    seen = table.weighed(task.scales)
    if not seen.dense.get(ROW_WEIGHT, np.ones(1)).any():
        yield ("rows",), f"all {len(table):,} {rows} have weight 0; expected some that count"
    elif not seen.weights.get(task.predicts, np.ones(1)).any():
        message = (
            f"all {len(table):,} {rows} have weight 0 for {task.predicts!r}; expected some that count: {NOT_KNOWN}"
        )
        yield ("label",), message


def _what_they_have(table: RowTable) -> str:
    if table.event is None and len(table.time):
        return f"they are no single interactions; weigh them by a column of {' or '.join(table.ids) or 'an entity'}"
    return "weigh them by a column of theirs, or of an entity whose ids they have"


def _counts_already(fold: Fold, table: RowTable, name: str, label: str) -> bool:
    """Whether a column of kind `weight` is one by which the rows count for a task, whatever the task says."""
    own, address = _Own.of(fold, table), Address(name)
    scope = "" if address.scope in ("", CONTEXT) else f"{address.scope}."
    if own is None or own.prefix != scope:
        return False
    return address.column in (
        *_names(own.declared),
        *(_names(own.declared, label.removeprefix(scope)) if label else ()),
    )


@dataclass(frozen=True)
class _Own:
    """The table of which the rows of a row table are rows: the events, or an entity.

    Attributes:
        columns: of that table.
        declared: how they are declared.
        rows: places int64 `[rows]` in it.
        prefix: before the names of its labels.
    """

    columns: pa.Table
    declared: Mapping[str, Column]
    rows: np.ndarray
    prefix: str = ""

    @classmethod
    def of(cls, fold: Fold, table: RowTable) -> _Own | None:
        if table.event is not None:
            return cls(fold.events.columns, fold.schema.interactions, table.event)
        if len(table.time) or len(table.ids) != 1:
            return None
        ((role, rows),) = table.ids.items()
        return cls(fold.catalog(role).columns, fold.schema.columns(role), rows, f"{role}.")


def _by_columns(fold: Fold, table: RowTable) -> RowTable:
    """The table with its columns of kind `weight` in the weights of its labels and in that of its rows."""
    own, note = _Own.of(fold, table), table.note
    if own is None:
        if unused := _names(fold.schema.interactions):
            note += f"; weights of single interactions ({', '.join(unused)}) say nothing of these rows"
        return replace(table, note=note)
    weights, dense = dict(table.weights), dict(table.dense)
    for label, of_label in table.weights.items():
        by = _names(own.declared, label.removeprefix(own.prefix))
        if (values := _product(own.columns, own.declared, by, own.rows)) is not None:
            weights[label] = of_label * values
            note += f"; {label} counts by {', '.join(by)}"
    if (of_row := of_all_tasks(own.columns, own.declared, own.rows)) is not None:
        dense[ROW_WEIGHT] = of_row * dense.get(ROW_WEIGHT, np.float32(1))
        note += f"; rows count by {', '.join(_names(own.declared))}"
    return replace(table, weights=weights, dense=dense, note=note)


def _asked(fold: Fold, table: RowTable, name: str) -> np.ndarray | None:
    """The values float32 `[rows]` of a column by which a task weighs; nan where null; None if the rows do not have it."""
    address = Address(name)
    if address.scope not in ("", CONTEXT):
        scope = scope_of(address)
        return scope.of_rows(fold, table, address.column) if scope.is_in(table, address.column) else None
    if table.event is None:
        return None
    column = fold.events.columns[address.column].take(pa.array(table.event))
    return raw(column, fold.schema.interactions[address.column])


def _names(declared: Mapping[str, Column], label: str = "") -> list[str]:
    """The columns of kind `weight` that are for one label, or for all tasks."""
    return [
        name
        for name, column in declared.items()
        if column.kind == "weight" and (label in column.labels if label else not column.labels)
    ]


def _product(
    columns: pa.Table, declared: Mapping[str, Column], names: Collection[str], rows: np.ndarray
) -> np.ndarray | None:
    values = [raw(columns[name].take(pa.array(rows)), declared[name]) for name in names]
    return math.prod(values[1:], start=values[0]) if values else None
