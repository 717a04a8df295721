"""Whether conditions fit the columns that they look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mtkit.conditions import Test, Where
from mtkit.errors import nearest
from mtkit.schema import Column, Schema

#: Kinds of columns that conditions look at.
KINDS = ("categorical", "numeric", "text", "label")


def unfit(where: Where, schema: Schema) -> Iterator[str]:
    """What of a condition does not fit the interactions."""
    return unfit_columns(where, schema.interactions, "the interactions")


def unfit_columns(where: Where, declared: Mapping[str, Column], whose: str) -> Iterator[str]:
    """What of a condition does not fit declared columns.

    Args:
        where: the condition.
        declared: name -> column.
        whose: whose columns they are, for the message.
    """
    for column, test in where.tests():
        if message := _unfit(column, test, declared, whose):
            yield message


def _unfit(name: str, test: Test, declared: Mapping[str, Column], whose: str) -> str:
    columns = {column: of for column, of in declared.items() if of.kind in KINDS and not of.listed}
    if name not in columns:
        found = declared.get(name)
        what = f"is declared as {found.kind}" if found else f"is no column of {whose}"
        what += ", of several values a row" if found and found.listed else ""
        return f"{name!r} {what}; a condition looks at columns of kind {', '.join(KINDS)}: {nearest(name, columns)}"
    if _is_number(columns[name]):
        wrong = next((value for value in test.values if isinstance(value, str)), None)
        return f"{name!r} holds numbers, and is compared with {wrong!r}; write a number" if wrong is not None else ""
    if test.bounds:
        sign, bound = next(iter(test.bounds.items()))
        return (
            f"{name!r} is declared as {columns[name].kind}, which has no order, and is asked for {sign} {bound:g}; list its "
            "values, or declare it numeric"
        )
    return ""


def _is_number(column: Column) -> bool:
    return column.kind == "numeric" or (column.kind == "label" and not column.classes)
