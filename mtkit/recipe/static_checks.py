"""Whether the parts of a recipe fit together, as far as declarations tell: no data, no tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mtkit.errors import nearest
from mtkit.recipe.column_checks import unfit_columns
from mtkit.recipe.condition_checks import unfit
from mtkit.recipe.drafts import Draft, conditions, key_of, with_known
from mtkit.recipe.hide_checks import unfit_hiding
from mtkit.recipe.monotone_checks import unfit_directions
from mtkit.recipe.name_checks import DraftWiring, unfit_names
from mtkit.recipe.past_checks import unfit_pasts
from mtkit.recipe.plan import Plan
from mtkit.recipe.recommend_checks import unfit_lists
from mtkit.recipe.search_settings import unfit_search
from mtkit.recipe.settings import Data
from mtkit.recipe.source_text import Mistake
from mtkit.recipe.width_checks import unfit_widths
from mtkit.schema import HISTORY, Address, Schema
from mtkit.spec import RowStatistics
from mtkit.types import MetricKey


def check_wiring(draft: Draft) -> list[Mistake]:
    """What does not fit: names that do not exist, features that are labels, cycles, and what heads say of themselves."""
    schema = with_known(draft.data.source.schema(), draft.preprocess) if draft.data else None
    mistakes = [
        *unfit_names(draft, schema),
        *_settings(draft),
        *_searched(draft),
        *_expected(draft),
    ]
    if draft.data and schema:
        mistakes += [*unfit_columns(draft, schema), *_pasts(draft, schema)]
        mistakes += [*_catalogs(draft.data, schema), *_conditions(draft, schema)]
        mistakes += [
            Mistake(("rows", name, *path), message)
            for name, rows in draft.rows.items()
            for path, message in (rows.mistakes(schema) if rows else ())
        ]
        hiding = unfit_hiding(draft.train.hide if draft.train else (), draft.encoder, draft.rows, draft.task, schema)
        mistakes += [Mistake(("train", "hide", what), message) for what, message in hiding]
    return mistakes or [
        *unfit_widths(draft.encoder, draft.correlation, draft.task),
        *_directions(draft, schema),
        *_lists(draft, schema),
    ]


def _directions(draft: Draft, schema: Schema | None) -> Iterator[Mistake]:
    """What would undo that predictions are held to a direction."""
    if schema:
        depends = DraftWiring(draft, schema).depends
        yield from unfit_directions(draft.encoder, draft.correlation, draft.task, depends, schema)


def _pasts(draft: Draft, schema: Schema) -> Iterator[Mistake]:
    """What pasts cannot know, and encoders that take what they know of its items from the catalog of something else."""
    yield from (Mistake(path, message) for path, message in unfit_pasts(draft.rows, draft.encoder, schema))
    item = [*schema.roles][1:2]
    for name, encoder in draft.encoder.items():
        reads = {Address(address) for address in encoder.reads} if encoder else set()
        entities = {schema.scopes[role] for role in item if Address.of(HISTORY, role) in reads}
        for content in encoder.content if encoder and entities else ():
            other = draft.encoder.get(content)
            found = {Address(address).scope for address in other.reads} if other else set()
            if content != name and len(found) == 1 and {schema.scopes.get(scope, scope) for scope in found} != entities:
                message = f"{content!r} reads columns of {' '.join(found)}; expected an encoder of {' '.join(sorted(entities))}"
                yield Mistake(("encoder", name, key_of(encoder, content, "content")), message)


def _conditions(draft: Draft, schema: Schema) -> Iterator[Mistake]:
    """Conditions that do not fit the columns of the interactions; those with a name are refused where they get it.

    Cleaners have looked at theirs, which are of tables as these are before them.
    """
    named = [events.where for events in draft.events.values() if events]
    for path, where in conditions(draft):
        if path[0] == "clean":
            continue
        if path[0] == "events" or where not in named:
            yield from (Mistake(path, message) for message in unfit(where, schema))
        if path[0] in ("rows", "task") and path[-1] != "past":
            # Whether a row of training is one would be known after the cut only.
            found = {name: message for name in where.columns if (message := schema.known_later(name))}
            yield from (Mistake(path, f"{message}, and rows cannot be chosen by it") for message in found.values())


def _catalogs(data: Data, schema: Schema) -> Iterator[Mistake]:
    for entity in data.catalog:
        if entity not in schema.entities:
            yield Mistake(
                ("data", "catalog", entity), f"the data have no such entity; {nearest(entity, schema.entities)}"
            )


def _settings(draft: Draft) -> Iterator[Mistake]:
    if draft.export and (message := draft.export.refusal(draft.encoder)):
        yield Mistake(("export",), message)
    trained = dict.fromkeys(head.rows for head in draft.task.values() if head)
    if draft.train and (name := draft.train.epoch_of) and name not in trained:
        what = "no task trains on row table" if name in draft.rows else "no row table is called"
        yield Mistake(("train", "epoch_of"), f"{what} {name!r}; {nearest(name, trained)}")
    evaluate = draft.evaluate
    yield from _judged(draft)
    if evaluate and evaluate.main and None not in draft.task.values():
        keys = [key for name, head in draft.task.items() if head for key in evaluate.keys(name, head)]
        if evaluate.main not in keys:
            message = f"no metric of the recipe has the key {evaluate.main!r}; {nearest(evaluate.main, keys)}"
            yield Mistake(("evaluate", "main"), message)


def _judged(draft: Draft) -> Iterator[Mistake]:
    """Figures by which validation is to judge a task, and that are not measured."""
    for name, head in draft.task.items():
        if (
            head
            and draft.evaluate
            and head.judged_by
            and head.judged_by not in (known := head.metric_labels(draft.evaluate))
        ):
            message = f"the task has no metric {head.judged_by!r}; {nearest(head.judged_by, known)}"
            yield Mistake(("task", name, "judged_by"), message)


def _searched(draft: Draft) -> Iterator[Mistake]:
    """What does not fit in `search`."""
    if draft.search and draft.evaluate:
        heads = {name: head for name, head in draft.task.items() if head}
        measured = [key for name, head in heads.items() for key in draft.evaluate.keys(name, head)]
        yield from unfit_search(draft.search, measured)


def _expected(draft: Draft) -> Iterator[Mistake]:
    """Figures that are expected, and that nothing measures; of which slices there are, columns decide."""
    heads = {name: head for name, head in draft.task.items() if head}
    measured = draft.evaluate
    if not (draft.expect and measured and len(heads) == len(draft.task)):
        return
    known = [key for name, head in heads.items() for key in measured.keys(name, head)]
    for key in draft.expect.root:
        found = MetricKey.parse(key)
        if found.task not in heads or found.label not in heads[found.task].metric_labels(measured):
            yield Mistake(("expect", key), f"no figure is called {key!r}; {nearest(key, known)}", of_key=True)


def _lists(draft: Draft, schema: Schema | None) -> Iterator[Mistake]:
    """What does not fit in `recommend`, once all that it speaks of is right."""
    parts: tuple[Mapping[str, Any], ...] = (draft.encoder, draft.correlation, draft.task)
    if not (draft.recommend and draft.evaluate and schema) or any(
        None in of.values() for of in (*parts, draft.preprocess)
    ):
        return
    statistics = {name: spec for name, spec in draft.preprocess.items() if isinstance(spec, RowStatistics)}
    found = unfit_lists(draft.recommend, Plan(*parts), statistics, schema, draft.evaluate.main_task)
    yield from (Mistake(("recommend", *path), message) for path, message in found)
