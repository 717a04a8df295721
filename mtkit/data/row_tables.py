"""Row tables of a recipe on one cut of the data, checked against what its tasks need; no TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from mtkit.data.catalogs import make_fold
from mtkit.errors import RecipeError, nearest
from mtkit.recipe.loader import Recipe
from mtkit.recipe.model_graph import Plan
from mtkit.recipe.static_checks import embeddings
from mtkit.recipe.toml_positions import KeyPath
from mtkit.spec import Cut, Rows
from mtkit.types import Dataset, Fold, Part, RowTable

Tables = Mapping[str, Mapping[Part, RowTable]]
"""Row table -> part -> its rows."""


def make_tables(recipe: Recipe, plan: Plan, dataset: Dataset, cut: Cut) -> tuple[Fold, Tables]:
    """The fold of a cut, and the rows of every row table on it.

    Raises:
        DataError: the data do not fit the recipe.
        RecipeError: a task asks for something that its row table does not have.
    """
    fold = _fold(recipe, dataset, cut)
    tables = {name: _row_tables(name, rows, fold) for name, rows in recipe.rows.items()}
    _check_rows(recipe, plan, fold, tables)
    return fold, tables


def populations(tables: Tables) -> dict[str, dict[Part, dict[str, Any]]]:
    """Row table -> part -> how many rows it has, and what they are."""
    return {
        name: {part: {"rows": len(table), "population": table.note} for part, table in parts.items()}
        for name, parts in tables.items()
    }


def _fold(recipe: Recipe, dataset: Dataset, cut: Cut) -> Fold:
    catalogs = recipe.data.catalog
    minima = {name: catalog.min_count for name, catalog in catalogs.items()}
    return make_fold(dataset, cut, minima, {name for name, catalog in catalogs.items() if catalog.unlisted == "drop"})


def _row_tables(name: str, rows: Rows, fold: Fold) -> dict[Part, RowTable]:
    parts: tuple[Part, ...] = ("train", "eval")
    return {part: replace(rows.make(fold, part), name=name) for part in parts}


def _check_rows(recipe: Recipe, plan: Plan, fold: Fold, tables: Tables) -> None:
    """Refuses tasks whose row tables do not have what they need."""
    problems = []
    for name, prediction in plan.predictions().items():
        table = tables[prediction.rows]["train"]
        if message := _unfit_label(table, prediction.label, numeric=prediction.numeric):
            problems.append(recipe.problem(("task", name, "label"), message))
    for name in plan.retrievals():
        rows = plan.rows_of(name)
        if tables[rows]["eval"].targets is None:
            message = f"row table {rows!r} has no targets to evaluate on; set `evaluate` to one that has (`windows`)"
            problems.append(recipe.problem(("task", name, "rows"), message))
    problems += [recipe.problem(*missing) for missing in _missing_columns(recipe, plan, tables)]
    problems += [recipe.problem(*large) for large in _too_many_rows(plan, fold)]
    if problems:
        raise RecipeError(problems)


def _missing_columns(recipe: Recipe, plan: Plan, tables: Tables) -> Iterator[tuple[KeyPath, str]]:
    """Where a task reads an embedding of something that the rows do not have: (path, message)."""
    addresses = embeddings(recipe)
    for task in plan.tasks:
        for table, names in plan.reads(task).items():
            rows = tables[table]["train"]
            for key, name in names:
                if lacking := sorted(a for a in addresses[name] if not _has(rows, a)):
                    message = f"{name!r} depends on {', '.join(lacking)}, which row table {table!r} does not have"
                    yield ("task", task, key), message


def _too_many_rows(plan: Plan, fold: Fold) -> Iterator[tuple[KeyPath, str]]:
    """Encoders of which a step needs more rows than they can encode: (path, message)."""
    for name in dict.fromkeys(member for whole in plan.needed_whole() for member in plan.members(whole)):
        entity, limit = plan.entity(name), plan.encoders[name].whole_limit
        if entity is not None and limit is not None and (rows := len(fold.entities[entity])) > limit:
            message = (
                f"every step needs it for all {rows:,} rows of {entity}, and it can encode {limit:,} at most: rank with "
                f"a head whose candidates come from the batch, freeze it, or raise data.catalog.{entity}.min_count"
            )
            yield ("encoder", name, "use"), message


def _has(table: RowTable, address: str) -> bool:
    scope, _, column = address.partition(".")
    if scope == "history":
        return len(table.history) > 0
    return column in table.context if scope == "context" else scope in table.ids


def _unfit_label(table: RowTable, label: str, *, numeric: bool) -> str:
    """Why no task can learn a label of the table; empty if one can."""
    if label not in table.labels:
        return f"row table {table.name!r} has no label {label!r}; {nearest(label, table.labels)}"
    values = np.unique(table.labels[label][table.weights[label] > 0])
    known = f"label {label!r} of the training rows of {table.name!r}"
    if not len(values):
        return f"{known} is null in all {len(table):,}; expected some with a value"
    classes = table.classes.get(label, ())
    if numeric and classes:
        return f"{known} has the classes {', '.join(classes[:3])} and so on; expected numbers"
    if not numeric and not classes and (other := values[(values != 0) & (values != 1)]).size:
        return (
            f"{known} has the value {other[0]:g}; expected 0 or 1, a column declared with several classes, or a head of "
            "numbers (`regression`)"
        )
    if len(values) == 1:
        value = repr(classes[int(values[0])]) if classes else f"{values[0]:g}"
        return f"{known} is {value} in all that have one; expected at least two values to tell apart"
    return ""
