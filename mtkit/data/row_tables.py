"""The row tables of a recipe made on one cut of the data, and checked against what its tasks need; no TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mtkit.data.asked_rows import PARTS, asked_columns, make_rows
from mtkit.data.catalogs import make_fold
from mtkit.data.feature_scopes import scope_of
from mtkit.data.memory import check_memory
from mtkit.data.prepared import check_fits
from mtkit.data.prepared_rows import read_fold, read_tables
from mtkit.data.queries import with_queries
from mtkit.data.weights import masked, repeated, unfit, weighed
from mtkit.errors import RecipeError
from mtkit.recipe.drafts import embeddings, with_known
from mtkit.recipe.loader import Recipe
from mtkit.recipe.plan import Plan
from mtkit.recipe.toml_positions import KeyPath
from mtkit.spec import Cut, RetrievalTask, Rows, TaskHead
from mtkit.spec.heads import mask_name
from mtkit.types import Dataset, Fold, Part, RowTable

Tables = Mapping[str, Mapping[Part, RowTable]]
"""Row table -> part -> its rows."""


def make_tables(
    recipe: Recipe, dataset: Dataset, cut: Cut, numbered: Mapping[str, np.ndarray] | None = None
) -> tuple[Fold, Tables]:
    """The fold of a cut, and the rows of every row table on it, without a model.

    Args:
        recipe: the resolved recipe.
        dataset: the raw tables.
        cut: what is known and what is to be predicted.
        numbered: entity -> ids that have their numbers, as of `make_fold`.

    Raises:
        DataError: the data do not fit the recipe, or the machine.
        RecipeError: a task asks for something that its row table does not have.
    """
    return rows_of(recipe, dataset, cut, numbered, model=False)


def rows_of(
    recipe: Recipe, dataset: Dataset, cut: Cut, numbered: Mapping[str, np.ndarray] | None = None, *, model: bool
) -> tuple[Fold, dict[str, dict[Part, RowTable]]]:
    """As `make_tables`; those of prepared data are read. `model` is that of `tables_of`."""
    if dataset.prepared is None:
        fold = fold_of(recipe, dataset, cut, numbered)
        return fold, tables_of(recipe, fold, model=model)
    check_fits(recipe, dataset.prepared)
    directory = dataset.prepared / cut.name
    fold = read_fold(directory, with_known(dataset.schema, recipe.preprocess))
    tables = read_tables(directory, recipe.rows, fold)
    check_rows(recipe, fold, tables)
    return fold, tables


def features_of(directory: Path, cut: Cut) -> Path:
    """Where the features of prepared data lie, as of a cut."""
    return directory / cut.name / "features"


def tables_of(recipe: Recipe, fold: Fold, *, model: bool) -> dict[str, dict[Part, RowTable]]:
    """The rows of every row table on a fold; none is made where it is plain that they cannot fit.

    Args:
        recipe: the resolved recipe.
        fold: what is known, and what is to be predicted.
        model: whether a model is held in the same memory.

    Raises:
        DataError: the data do not fit the recipe, or the machine.
        RecipeError: a task asks for something that its row table does not have.
    """
    check_memory(recipe, fold, model=model)
    asked = asked_columns(recipe)
    tables = {
        name: {part: make_rows(name, rows, fold, part, asked[name, part]) for part in PARTS}
        for name, rows in recipe.rows.items()
    }
    for name, parts in tables.items():
        tables[name] = {part: _with_statistics(recipe, fold, table) for part, table in parts.items()}
    for name, parts in tables.items():
        tables[name] = {part: _of_tasks(recipe, fold, table) for part, table in parts.items()}
        heads = [head for head in recipe.plan.tasks.values() if isinstance(head, RetrievalTask) and head.rows == name]
        tables[name]["train"] = repeated(tables[name]["train"], {head.repeats for head in heads if head.repeats < 1})
    for name, parts in tables.items():
        asked_queries = recipe.plan.queries(name)
        tables[name] = {part: with_queries(fold, table, asked_queries) for part, table in parts.items()}
    check_rows(recipe, fold, tables)
    return _weighed(recipe, fold, tables)


def some_rows(recipe: Recipe, fold: Fold, name: str, rows: Rows, part: Part) -> RowTable:
    """The rows of a part of a table that a part of all events makes; without what only all of them tell.

    Args:
        recipe: the resolved recipe.
        fold: has those events.
        name: of the table.
        rows: what makes it.
        part: the part.

    Raises:
        NoRowsError: these events make none.
    """
    table = _of_tasks(recipe, fold, make_rows(name, rows, fold, part, asked_columns(recipe)[name, part]))
    return weighed(fold, table, _weights_asked(recipe, name))


def _of_tasks(recipe: Recipe, fold: Fold, table: RowTable) -> RowTable:
    """The table with labels as its tasks have them, and with which of its rows there are for them."""
    for spec in recipe.plan.predictions().values():
        if spec.rows == table.name:
            if len(spec.labels) > 1:
                table = _with_joined(table, spec.predicts, spec.labels)
            names = table.classes.get(spec.predicts, ())
            table = _renumbered(table, spec.predicts, tuple(spec.in_order(names)))
    wheres = [head.of_rows for head in recipe.plan.tasks.values() if head.of_rows and head.rows == table.name]
    return masked(fold, table, wheres)


def _weights_asked(recipe: Recipe, name: str) -> set[str]:
    """The columns by which tasks weigh the rows of a table."""
    heads = recipe.plan.tasks.values()
    return {head.weight_by for head in heads if head.weight_by and name in (head.rows, head.evaluated_on)}


def _with_statistics(recipe: Recipe, fold: Fold, table: RowTable) -> RowTable:
    """The table with what preprocessors make of what was known before its rows, where its tasks read that and it can be told."""
    found: dict[str, np.ndarray] = {}
    for name in sorted(recipe.plan.statistics(table.name)):
        spec = recipe.statistics[name]
        addresses = [address for key in spec.keys for address in key]
        if len(table.known) and all(scope_of(address).is_in(table, address.column) for address in addresses):
            found[name] = spec.of_rows(fold, table)
    return replace(table, statistics=found)


def _with_joined(table: RowTable, name: str, labels: Sequence[str]) -> RowTable:
    """The table with several binary labels as one, each a class; rows that lack one of them have weight 0.

    Where labels are not there, or not binary, the table stays as it is: the task says so.
    """
    if any(label not in table.labels or label in table.classes for label in labels):
        return table
    values = np.stack([table.labels[label] for label in labels], axis=1)
    weights = np.min([table.weights[label] for label in labels], axis=0)
    return replace(
        table,
        labels={**table.labels, name: values},
        weights={**table.weights, name: weights},
        classes={**table.classes, name: tuple(labels)},
    )


def _renumbered(table: RowTable, label: str, order: tuple[str, ...]) -> RowTable:
    """The table with the classes of a label, one in a row, numbered in this order."""
    names = table.classes.get(label, ())
    if order == names:
        return table
    place = np.array([order.index(name) for name in names], np.int32)
    return replace(
        table,
        labels={**table.labels, label: place[table.labels[label]]},
        classes={**table.classes, label: order},
    )


def populations(tables: Tables) -> dict[str, dict[Part, dict[str, Any]]]:
    """Row table -> part -> how many rows it has, and what they are."""
    return {
        name: {part: {"rows": len(table), "population": table.note} for part, table in parts.items()}
        for name, parts in tables.items()
    }


def left_out(fold: Fold, tables: Tables) -> dict[str, Any]:
    """Interactions that are no events, and rows that are not there: reason -> how many; rows by table, too."""
    rows = {
        name: {f"{part}: {why}": count for part, table in parts.items() for why, count in table.left_out.items()}
        for name, parts in tables.items()
    }
    return {"interactions": dict(fold.dropped), "rows": {name: found for name, found in rows.items() if found}}


def fold_of(recipe: Recipe, dataset: Dataset, cut: Cut, numbered: Mapping[str, np.ndarray] | None = None) -> Fold:
    """The fold of a cut, with the catalogs of the recipe; arguments and errors are those of `make_tables`."""
    catalogs = recipe.data.catalog
    minima = {name: catalog.min_count for name, catalog in catalogs.items()}
    unlisted = {name for name, catalog in catalogs.items() if catalog.unlisted != "refuse"}
    unknown = {name for name, catalog in catalogs.items() if catalog.unlisted == "unknown"}
    counting = {name: catalog.where for name, catalog in catalogs.items() if catalog.where}
    fold = make_fold(dataset, cut, minima, unlisted, numbered, counting, unknown)
    return replace(fold, schema=with_known(fold.schema, recipe.preprocess))


def check_rows(recipe: Recipe, fold: Fold, tables: Tables) -> None:
    """Refuses tasks whose row tables do not have what they need.

    Raises:
        RecipeError: there are such tasks.
    """
    plan = recipe.plan
    found: list[tuple[KeyPath, str]] = [
        (("task", name, *path), message)
        for name, head in plan.tasks.items()
        for path, message in head.unfit(_seen(tables, head))
    ]
    found += [*_missing_features(recipe, plan, fold, tables), *_too_many_rows(plan, fold)]
    _refuse(recipe, found or [*_missing_columns(plan, tables)])


def _seen(tables: Tables, head: TaskHead) -> Tables:
    """The tables as a head sees them that leaves out rows."""
    if head.of_rows is None:
        return tables
    mask = mask_name(head.of_rows)
    return {**tables, head.rows: {part: table.weighed([mask]) for part, table in tables[head.rows].items()}}


def _weighed(recipe: Recipe, fold: Fold, tables: Tables) -> dict[str, dict[Part, RowTable]]:
    """The tables with what their rows count for the tasks that train or are evaluated on them."""
    heads, found = recipe.plan.tasks, dict[str, dict[Part, RowTable]]()
    for name, parts in tables.items():
        asked = _weights_asked(recipe, name)
        found[name] = {part: weighed(fold, parts[part], asked) for part in PARTS}
    wrong = [(("task", name, *path), text) for name, head in heads.items() for path, text in unfit(fold, head, found)]
    _refuse(recipe, wrong)
    return found


def _refuse(recipe: Recipe, found: Sequence[tuple[KeyPath, str]]) -> None:
    if found:
        raise RecipeError([recipe.problem(path, message) for path, message in found])


def _missing_columns(plan: Plan, tables: Tables) -> Iterator[tuple[KeyPath, str]]:
    """Where a head reads a column that its rows do not have: (path, message)."""
    for name, head in plan.tasks.items():
        parts: tuple[tuple[Part, str], ...] = (("train", head.rows), ("eval", head.evaluated_on))
        for part, rows in parts:
            table = tables[rows][part]
            if lacking := sorted(set(head.columns(part)) - table.columns()):
                message = (
                    f"it reads {', '.join(lacking)} of its rows, which row table {rows!r} does not have; it has "
                    f"{', '.join(sorted(table.columns())) or 'no such columns'}"
                )
                yield ("task", name, "rows"), message
                break


def _missing_features(recipe: Recipe, plan: Plan, fold: Fold, tables: Tables) -> Iterator[tuple[KeyPath, str]]:
    """Where a task reads an embedding of something that the rows do not have: (path, message)."""
    addresses = embeddings(recipe.encoder, recipe.correlation)
    for task in plan.tasks:
        for table, names in plan.reads(task).items():
            rows = tables[table]["train"]
            for key, name in names:
                read = [part for address in addresses[name] for part in fold.schema.parts(address)]
                if lacking := sorted(a for a in read if not scope_of(a).is_in(rows, a.column)):
                    message = f"{name!r} depends on {', '.join(lacking)}, which row table {table!r} does not have"
                    yield ("task", task, key), message


def _too_many_rows(plan: Plan, fold: Fold) -> Iterator[tuple[KeyPath, str]]:
    """Encoders of which a step needs more rows than they can encode: (path, message)."""
    for name in dict.fromkeys(member for whole in plan.needed_whole() for member in plan.members(whole)):
        entity, limit = plan.entity(name), plan.encoders[name].whole_limit
        if entity is not None and limit is not None and (rows := len(fold.catalog(entity))) > limit:
            message = (
                f"every step needs it for all {rows:,} rows of {entity}, and it can encode {limit:,} at most: rank with "
                f"a head whose candidates come from the batch, freeze it, or raise data.catalog.{entity}.min_count"
            )
            yield ("encoder", name, "use"), message
