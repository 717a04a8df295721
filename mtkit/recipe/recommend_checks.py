"""What does not fit of lists that are made in two stages, by declarations alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mtkit.errors import nearest
from mtkit.recipe.condition_checks import unfit_columns
from mtkit.recipe.plan import Plan
from mtkit.recipe.settings import Recommend
from mtkit.schema import CONTEXT, HISTORY, KNOWN, Address, Schema
from mtkit.spec import RowStatistics

Found = tuple[tuple[str | int, ...], str]
"""Where in the section, as keys, and what is wrong there."""


def unfit_lists(
    settings: Recommend, plan: Plan, statistics: Mapping[str, RowStatistics], schema: Schema, main: str | None
) -> Iterator[Found]:
    """What of a section does not fit a recipe that is right without it.

    Args:
        settings: the section.
        plan: who reads what.
        statistics: name -> statistics of the past, `known.NAME`.
        schema: the columns.
        main: the task by which validation chooses.
    """
    able = [name for name, spec in plan.rankings().items() if spec.recommends]
    if settings.task is not None and settings.task not in able:
        yield ("task",), f"no retrieval task is called {settings.task!r}; {nearest(settings.task, able)}"
        return
    retrieval = plan.recommending(settings.task or main)
    if retrieval is None:
        yield (), "there is no retrieval task that could hand candidates on; leave this section out"
        return
    for key, given in (("utility", settings.utility), ("floors", settings.floors)):
        for name in given:
            if message := _unfit_task(name, key, retrieval, plan, statistics, schema):
                yield (key, name), message
    yield from _unfit_columns(settings, schema, plan.candidate_entity(retrieval))
    yield from _unfit_bounds(settings, schema, plan.candidate_entity(retrieval))


def _unfit_task(
    name: str, key: str, retrieval: str, plan: Plan, statistics: Mapping[str, RowStatistics], schema: Schema
) -> str:
    """Why a task cannot order the candidates; empty if it can."""
    able = {task: spec for task, spec in plan.predictions().items() if not spec.multi_label}
    if name == retrieval and key == "utility":
        return ""
    if name not in able:
        what = "is the retrieval task, whose scores have no floor" if name == retrieval else "predicts no single value"
        what = what if name in plan.tasks else "is no task"
        return f"{name!r} {what}; {nearest(name, able)}"
    brought = {address for address in plan.features(retrieval) if address.scope == CONTEXT}
    lacking = sorted(
        set(_needed(name, plan, statistics)) - brought - _of_pairs(name, retrieval, plan, statistics, schema)
    )
    if lacking:
        return (
            f"{name!r} depends on {', '.join(lacking)}, which is not known of a user and a candidate: a request for a list "
            f"brings what {retrieval!r} reads; leave the task out of this section, or let it read other embeddings"
        )
    return ""


def _needed(task: str, plan: Plan, statistics: Mapping[str, RowStatistics]) -> Iterator[Address]:
    """On what a prediction depends, statistics of the past by their keys."""
    for address in plan.features(task):
        if address.scope == KNOWN:
            yield from (part for key in statistics[address.column].keys for part in key)
        else:
            yield address


def _of_pairs(
    task: str, retrieval: str, plan: Plan, statistics: Mapping[str, RowStatistics], schema: Schema
) -> set[Address]:
    """Of what a prediction depends on, what a user and a candidate have."""
    scopes = {next(iter(schema.roles)), plan.candidate_entity(retrieval), HISTORY}
    return {address for address in _needed(task, plan, statistics) if address.scope in scopes}


def _unfit_bounds(settings: Recommend, schema: Schema, item: str) -> Iterator[Found]:
    """Columns that cannot bound one another."""
    user = next(iter(schema.roles))
    for name, bound in settings.suitability.items():
        for scope, column in ((item, name), (user, bound)):
            known = [other for other, declared in schema.columns(scope).items() if declared.kind == "numeric"]
            if column not in known:
                yield ("suitability", name), f"{scope}s have no column of numbers {column!r}; {nearest(column, known)}"


def _unfit_columns(settings: Recommend, schema: Schema, item: str) -> Iterator[Found]:
    """Columns by which items are chosen, and that they do not have."""
    columns = schema.columns(item)
    if settings.where:
        yield from ((("where",), message) for message in unfit_columns(settings.where, columns, f"{item}s"))
    known = [name for name, column in columns.items() if column.kind == "categorical" and not column.listed]
    for index, name in enumerate(settings.filters):
        if name not in known:
            yield ("filters", index), f"{item}s have no categorical column {name!r}; {nearest(name, known)}"
