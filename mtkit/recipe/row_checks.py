"""What tasks ask of their rows, and what rows have by declarations: labels of the right kind, targets, features."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from mtkit.errors import nearest
from mtkit.schema import KNOWN, Address, Column, Schema
from mtkit.spec import Holds, PredictionTask, Rows, TaskHead, TaskMistake


def unfit_rows(
    head: TaskHead,
    rows: Mapping[str, Rows | None],
    schema: Schema,
    depends: Mapping[str, frozenset[Address]],
) -> Iterator[TaskMistake]:
    """What the rows of a task lack; tables that do not say what they have are left to the rows themselves.

    Args:
        head: the task.
        rows: row tables by name; None = not valid.
        schema: the declared columns.
        depends: embedding -> addresses of the row that it depends on.
    """
    held = {name: found for name, table in rows.items() if table and (found := table.holds(schema))}
    if head.rows in held:
        yield from _labels(head, head.rows, held)
    if head.evaluated_on in held and "target" in head.columns("eval") and not held[head.evaluated_on].targets:
        having = [name for name, found in held.items() if found.targets]
        message = f"row table {head.evaluated_on!r} has no targets to evaluate on; {_name(having)}"
        yield ("evaluate" if head.evaluated_on != head.rows else "rows",), message
    for read in head.reads():
        # Heads say of batches of lists of targets what to do instead.
        in_place_of_targets = read.key == "candidate" and read.rows in held and held[read.rows].targets
        if read.rows in held and read.name in depends and not in_place_of_targets:
            yield from _features(read.key, read.name, read.rows, held[read.rows], depends[read.name])


def _labels(head: TaskHead, table: str, held: Mapping[str, Holds]) -> Iterator[TaskMistake]:
    labels = held[table].labels
    for label in head.labels:
        if label not in labels:
            others = [name for name, found in held.items() if label in found.labels]
            elsewhere = f"rows of {', '.join(map(repr, others))} have it" if others else nearest(label, labels)
            yield ("label",), f"row table {table!r} has no label {label!r}; {elsewhere}"
        elif isinstance(head, PredictionTask) and (message := _of_another_kind(head, label, labels[label])):
            yield ("label",), message


def _of_another_kind(head: PredictionTask, label: str, column: Column) -> str:
    """Why a head cannot learn a label as it is declared; empty if it can."""
    one = len(head.labels) == 1
    if column.multi_label and not head.multi_label:
        return f"label {label!r} has any number of classes in a row (multi_label = true), which the head `multi_label` predicts"
    if column.classes and head.numeric:
        return f"label {label!r} is declared with classes = true, and this head predicts a number; declare it without"
    if head.multi_label and one and not column.multi_label:
        return f"label {label!r} has one value in a row; declare it with multi_label = true, or take a head of one class in a row"
    if head.multi_label and not one and (column.multi_label or column.classes):
        return f"label {label!r} has classes; expected labels of 0 and 1, or a single one"
    return ""


def _features(key: str, name: str, table: str, held: Holds, depends: Collection[Address]) -> Iterator[TaskMistake]:
    if lacking := sorted(address for address in depends if address.scope not in (*held.scopes, KNOWN)):
        yield (key,), f"{name!r} depends on {', '.join(lacking)}, which row table {table!r} does not have"


def _name(having: Collection[str]) -> str:
    """What to set `evaluate` to."""
    if having:
        return f"set `evaluate` to one that has: {', '.join(having)}"
    return "set `evaluate` to one that has (`windows`)"
