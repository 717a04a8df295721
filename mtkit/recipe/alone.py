"""A recipe for some of its tasks: what they do not need is left out, as if it had been written so."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from mtkit.errors import Problem, RecipeError, nearest
from mtkit.recipe.edit import Edit
from mtkit.recipe.loader import Recipe, resolve
from mtkit.recipe.plan import Plan
from mtkit.recipe.settings import By
from mtkit.schema import CONTEXT, Address
from mtkit.types import MetricKey


def alone(recipe: Recipe, task: str) -> Recipe:
    """The recipe with one task, and those whose predictions it reads, which train as they did.

    Of row tables, encoders, correlations, metrics, baselines and slices it keeps what these tasks need; correlations that remain
    run for them alone. An epoch is a pass over a table of the task, and validation chooses by a metric of it.

    Args:
        recipe: read from a file.
        task: its name; the new recipe is called `NAME-alone-TASK`.

    Raises:
        RecipeError: there is no such task, or what remains is no recipe, such as one that exports a network of another task.
    """
    if task not in recipe.task:
        raise RecipeError([Problem("--alone", task, f"the recipe has no such task; {nearest(task, recipe.task)}")])
    edit = _reduced(recipe, recipe.plan.with_read([task]))
    _settings(recipe, task, edit)
    return resolve(edit.document())


def of_tasks(recipe: Recipe, tasks: Sequence[str]) -> Recipe:
    """The recipe with some of its tasks, and those whose predictions they read.

    As `alone`, but that an epoch and the metric that chooses are those of the recipe where they are of these tasks, and else of
    the first of them.

    Args:
        recipe: read from a file.
        tasks: their names; the new recipe is called `NAME-of-TASK-TASK`.

    Raises:
        RecipeError: what remains is no recipe.
    """
    kept = recipe.plan.with_read(tasks)
    in_order = [name for name in recipe.task if name in kept]
    edit, evaluate, train = _reduced(recipe, in_order), recipe.evaluate, recipe.train
    edit.set(("name",), "-".join((recipe.name, "of", *in_order)))
    if train.epoch_of not in {recipe.task[name].rows for name in in_order}:
        edit.set(("train", "epoch_of"), recipe.task[in_order[0]].rows)
    if evaluate.main_task not in in_order:
        edit.set(("evaluate", "main"), None)
    return resolve(edit.document())


def bare(recipe: Recipe) -> Recipe:
    """The recipe without what is beside the model: baselines, slices, two-stage lists, hooks, options of the export.

    Slices stay where the metric that chooses is of one.

    Args:
        recipe: read from a file.
    """
    edit = Edit(recipe.document)
    edit.keep("hook", ())
    for section in ("recommend", "expect", "export"):
        edit.set((section,), None)
    edit.set(("evaluate", "baselines"), [])
    if not (recipe.evaluate.main and MetricKey.parse(recipe.evaluate.main).slice):
        edit.set(("evaluate", "slices"), None)
    return resolve(edit.document())


def _reduced(recipe: Recipe, tasks: Sequence[str]) -> Edit:
    """What is left with some tasks, which read no predictions of others."""
    plan, edit = recipe.plan, Edit(recipe.document)
    edit.keep("task", tasks)
    edit.keep("rows", {table for name in tasks for table in (recipe.task[name].rows, recipe.task[name].evaluated_on)})
    edit.keep("encoder", {*_encoders(plan, tasks), *_measures(recipe, tasks, edit)})
    _correlations(recipe, tasks, edit)
    edit.set(("recommend",), None)
    expected = recipe.expect.root if recipe.expect else {}
    kept = {key: interval.model_dump(exclude_none=True) for key, interval in expected.items()}
    edit.set(("expect",), {key: of for key, of in kept.items() if MetricKey.parse(key).task in tasks} or None)
    _slices(recipe, tasks, edit)
    return edit


def _encoders(plan: Plan, tasks: Collection[str]) -> Iterator[str]:
    """The encoders that tasks need."""
    needed = frozenset().union(*map(plan.within, tasks))
    yield from (name for name in plan.encoders if name in needed)


def _correlations(recipe: Recipe, tasks: Sequence[str], edit: Edit) -> None:
    """Leaves those that work on nothing that the tasks read, and in the others what they work on for other tasks."""
    plan, kept = recipe.plan, []
    in_order = [name for name in recipe.task if name in tasks]
    for name, spec in recipe.correlation.items():
        read = [e for e in plan.targets(name) if not set(tasks).isdisjoint(plan.readers(e))]
        if not read:
            continue
        kept.append(name)
        if spec.apply == "each" and spec.on:
            edit.filter(("correlation", name, "on"), lambda _, at, spec=spec, read=read: spec.on[at] in read)
        among = spec.among(in_order)
        for key, value in among.model_dump(mode="json").items():
            if getattr(among, key) != getattr(spec, key):
                edit.set(("correlation", name, key), value)
    edit.keep("correlation", kept)


def _measures(recipe: Recipe, tasks: Collection[str], edit: Edit) -> Iterator[str]:
    """Leaves metrics and baselines that are not of the tasks; the encoders by which the others compare items."""
    evaluate, heads = recipe.evaluate, [recipe.task[name] for name in tasks]
    labels = {label for head in heads for label in head.metric_labels(evaluate)}
    kept = {
        "metrics": [n for n, metric in evaluate.metrics.items() if not labels.isdisjoint(metric.keys(n, evaluate.k))],
        "prediction_metrics": [name for name in evaluate.prediction_metrics if name in labels],
        "baselines": [n for n, b in evaluate.baselines.items() if b.form in {head.baseline_form for head in heads}],
    }
    for key, names in kept.items():
        edit.filter(("evaluate", key), lambda given, _, names=names: _use(given) in names)
        for name in names:
            reads = getattr(getattr(evaluate, key)[name], "reads", ())
            yield from (read for read in reads if not Address(read).scope)


def _use(given: Any) -> str:
    """The name of a metric or a baseline, given alone or with options."""
    return str(given if isinstance(given, str) else given["use"])


def _settings(recipe: Recipe, task: str, edit: Edit) -> None:
    """The pass of an epoch, and what chooses."""
    head, evaluate = recipe.task[task], recipe.evaluate
    edit.set(("name",), f"{recipe.name}-alone-{task}")
    edit.set(("train", "epoch_of"), head.rows)
    if evaluate.main_task != task:
        edit.set(("evaluate", "main"), next(iter(evaluate.keys(task, head)), None))


def _slices(recipe: Recipe, tasks: Sequence[str], edit: Edit) -> None:
    """Leaves slices that no task has."""
    heads, slices = [recipe.task[name] for name in tasks], recipe.evaluate.slices
    of_users = any(recipe.rows[head.evaluated_on].of_share(0.5) is not None for head in heads)
    context = any(not head.ranks for head in heads)
    edit.filter(("evaluate", "slices"), lambda _, at: of_users and (context or not _of_context(slices[at])))


def _of_context(asked: str | By) -> bool:
    """Whether a slice is by a column of interactions, which a list of targets does not have."""
    return isinstance(asked, By) and asked.by.scope == CONTEXT
