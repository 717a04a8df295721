"""Whether the parts of a recipe fit together, as far as declarations tell: no data, no tensors."""

from __future__ import annotations

import graphlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args

from mtkit.conditions import Where, where_fields, where_lists
from mtkit.errors import nearest
from mtkit.recipe.condition_checks import unfit
from mtkit.recipe.hide_checks import unfit_hiding
from mtkit.recipe.past_checks import unfit_pasts
from mtkit.recipe.plan import Plan
from mtkit.recipe.recommend_checks import unfit_lists
from mtkit.recipe.row_checks import unfit_rows
from mtkit.recipe.search_settings import Search, unfit_search
from mtkit.recipe.settings import By, Data, Evaluate, Expect, NamedEvents, Recommend, Train
from mtkit.recipe.source_text import Mistake
from mtkit.recipe.toml_positions import KeyPath
from mtkit.recipe.width_checks import unfit_widths
from mtkit.schema import CONTEXT, HISTORY, KNOWN, TASK, Address, ColumnKind, Schema
from mtkit.spec import (
    Balancer,
    Callback,
    Cleaner,
    ContentBaseline,
    Correlation,
    Encoder,
    Exporter,
    GroupPreprocessor,
    Preprocessor,
    Rows,
    RowStatistics,
    Spec,
    Split,
    TaskHead,
    TaskMistake,
    prediction_of,
)
from mtkit.spec.heads import Output
from mtkit.types import MetricKey


@dataclass
class Draft:
    """The sections of a recipe, or what could be made of them: None stands for a part that is named but not valid."""

    data: Data | None
    clean: Mapping[str, Cleaner | None]
    events: Mapping[str, NamedEvents | None]
    rows: Mapping[str, Rows | None]
    preprocess: Mapping[str, Preprocessor | None]
    encoder: Mapping[str, Encoder | None]
    correlation: Mapping[str, Correlation | None]
    task: Mapping[str, TaskHead | None]
    balance: Balancer | None
    train: Train | None
    evaluate: Evaluate | None
    recommend: Recommend | None
    search: Search | None
    expect: Expect | None
    export: Exporter | None
    callback: Mapping[str, Callback | None]
    hook: Mapping[str, Any]


def check_wiring(draft: Draft) -> list[Mistake]:
    """What does not fit: names that do not exist, features that are labels, cycles, and what heads say of themselves."""
    schema = with_known(draft.data.source.schema(), draft.preprocess) if draft.data else None
    mistakes = [
        *_contents(draft),
        *_correlations(draft),
        *_tasks(draft, schema),
        *_task_cycle(draft),
        *_queries(draft),
        *_settings(draft),
        *_searched(draft),
        *_expected(draft),
    ]
    if draft.data and schema:
        mistakes += [*_addresses(draft, schema), *_beside_pairs(draft, schema), *_pasts(draft, schema)]
        mistakes += [*_catalogs(draft.data, schema), *_measured(draft, schema), *_divided(draft.data.split, schema)]
        mistakes += _conditions(draft, schema)
        mistakes += [
            Mistake(("rows", name, *path), message)
            for name, rows in draft.rows.items()
            for path, message in (rows.mistakes(schema) if rows else ())
        ]
        hiding = unfit_hiding(draft.train.hide if draft.train else (), draft.encoder, draft.rows, draft.task, schema)
        mistakes += [Mistake(("train", "hide", what), message) for what, message in hiding]
    return mistakes or [*unfit_widths(draft.encoder, draft.correlation, draft.task), *_lists(draft, schema)]


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


def with_known(schema: Schema, preprocessors: Mapping[str, Preprocessor | None]) -> Schema:
    """The schema with what preprocessors make: of what was known before rows, and of groups of columns.

    What one makes that is not valid is not known; so it makes all that it might.
    """
    names = (name for name, spec in preprocessors.items() if spec is None or isinstance(spec, RowStatistics))
    groups: dict[Address, tuple[Address, ...]] = {}
    for name, spec in preprocessors.items():
        if isinstance(spec, GroupPreprocessor):
            groups[spec.made(name)] = spec.columns
        elif spec is None:
            groups |= dict.fromkeys((Address.of(scope, name) for scope in (CONTEXT, *schema.scopes)), ())
    # A name that a column has is a mistake of its own.
    groups = {address: of for address, of in groups.items() if address not in schema.features()}
    return schema.model_copy(update={"known": tuple(names), "groups": groups})


def embeddings(
    encoders: Mapping[str, Encoder | None], correlations: Mapping[str, Correlation | None]
) -> dict[str, frozenset[Address]]:
    """Every named embedding -> addresses of the row that it depends on.

    What an encoder takes from whole catalogs (`content`) is the same for every row and is not counted.
    """
    reads = {name: frozenset(map(Address, encoder.reads if encoder else ())) for name, encoder in encoders.items()}
    for name, correlation in correlations.items():
        if name not in reads and (correlation is None or correlation.apply == "pair"):
            on = (correlation and correlation.on) or tuple(reads)
            own = map(Address, correlation.features if correlation else ())
            reads[name] = frozenset(own).union(*(reads.get(n, frozenset()) for n in on))
    return reads


def _addresses(draft: Draft, schema: Schema) -> Iterator[Mistake]:
    owner: dict[str, str] = {}
    for name, preprocessor in draft.preprocess.items():
        if isinstance(preprocessor, RowStatistics):
            yield from (Mistake(("preprocess", name, *path), text) for path, text in _statistics(preprocessor, schema))
            continue
        if isinstance(preprocessor, GroupPreprocessor):
            yield from (Mistake(("preprocess", name, *path), text) for path, text in _group(name, preprocessor, schema))
            continue
        for index, address in enumerate(map(Address, preprocessor.columns if preprocessor else ())):
            path = ("preprocess", name, "columns", index)
            message = _not_preprocessed(address, preprocessor, schema)
            if message:
                yield Mistake(path, message)
            elif address in owner:
                yield Mistake(path, f"{address} has a preprocessor already, preprocess.{owner[address]}")
            owner.setdefault(address, name)
    for name, encoder in draft.encoder.items():
        for index, address in enumerate(map(Address, encoder.reads if encoder else ())):
            kinds = encoder.reads_kinds if encoder else ()
            message = _not_a_feature(address, schema) or _of_another_kind(address, schema, kinds, "this encoder reads")
            if message:
                yield Mistake(("encoder", name, "reads", index), message)


def _beside_pairs(draft: Draft, schema: Schema) -> Iterator[Mistake]:
    """Features of the row that correlations cannot read."""
    for name, correlation in draft.correlation.items():
        for address in map(Address, correlation.features if correlation else ()):
            if message := _not_of_pair(address, correlation, schema):
                yield Mistake(("correlation", name, _key_of(correlation, address, "use")), message)


def _not_of_pair(address: Address, spec: Correlation | None, schema: Schema) -> str:
    """Why a correlation cannot read a feature of the row; empty if it can."""
    if message := _not_a_feature(address, schema):
        return message
    if address.scope in (HISTORY, KNOWN):
        return f"{address} is no column of the row or of its entities, which a correlation reads"
    kinds = spec.features_kinds if spec else ()
    return _of_another_kind(address, schema, kinds, "this correlation reads")


def _statistics(spec: RowStatistics, schema: Schema) -> Iterator[tuple[KeyPath, str]]:
    """What does not fit of a preprocessor that looks at the past by keys: (path, message)."""
    for address in dict.fromkeys(address for key in spec.keys for address in key):
        message = _not_preprocessed(address, spec, schema)
        if not message and address.scope in (HISTORY, KNOWN):
            message = (
                f"{address} is no single value that events have, too; expected ids, or columns of entities or rows"
            )
        if message:
            yield (_key_of(spec, address, "together"),), message
    yield from spec.mistakes(schema)


def _group(name: str, spec: GroupPreprocessor, schema: Schema) -> Iterator[tuple[KeyPath, str]]:
    """What does not fit of a preprocessor of several columns: (path, message)."""
    made = spec.made(name)
    if made.column in ("id", *schema.columns(made.scope)):
        yield (
            (),
            f"what it makes would be called {made}, as a column of the data is; give the preprocessor another name",
        )
    for index, address in enumerate(spec.columns):
        if message := _not_preprocessed(address, spec, schema):
            yield ("columns", index), message


def _not_preprocessed(address: Address, spec: Preprocessor | None, schema: Schema) -> str:
    """Why a preprocessor does not apply to an address; empty if it does."""
    kinds = spec.column_kinds if spec else ()
    if schema.groups.get(address):
        return f"{address} is made by preprocess.{address.column}; expected columns of the data"
    return _not_a_feature(address, schema) or _of_another_kind(address, schema, kinds, "this preprocessor is for")


def _of_another_kind(address: Address, schema: Schema, kinds: Collection[ColumnKind], what: str) -> str:
    """Why a component does not take a feature; empty if it does."""
    kind = schema.features()[address].kind
    if not kinds or kind in kinds:
        return ""
    return f"{address} is declared as {kind}; {what} columns of kind {' or '.join(kinds)}"


def _not_a_feature(address: Address, schema: Schema) -> str:
    """Why an address cannot be read; empty if it can."""
    features = schema.features()
    if address in features:
        return ""
    past, name = address.scope == HISTORY, address.column
    columns = schema.interactions if past else schema.columns(address.scope)
    if past and name in columns and (message := schema.not_of_past(name)):
        return message
    if name in columns and columns[name].kind in ("label", "weight"):
        what = f"label {name!r}" if columns[name].kind == "label" else "a weight: it says what a row counts"
        return f"{address} is {what}, and cannot be a feature"
    for label, column in columns.items():
        if name in column.sources:
            return f"{address} is a source of label {label!r}, and cannot be a feature"
    if name in columns:
        return f"{address} is declared as {columns[name].kind}, which no encoder reads here"
    return f"no feature is called {address!r}; {nearest(address, features)}"


def _measured(draft: Draft, schema: Schema) -> Iterator[Mistake]:
    """Columns by which `evaluate` slices, and what it compares items by."""
    if not draft.evaluate:
        return
    kinds: tuple[ColumnKind, ...] = ("categorical", "numeric", "list", "label")
    known = {
        Address.of(scope, name)
        for scope, entity in schema.scopes.items()
        for kind in kinds
        for name in schema.of_kind(kind, entity)
    }
    known |= {a for a in schema.features() if a.scope == CONTEXT and a not in schema.groups}
    for index, asked in enumerate(draft.evaluate.slices):
        if isinstance(asked, By) and asked.by not in known:
            yield Mistake(
                ("evaluate", "slices", index), f"no column is called {asked.by!r}; {nearest(asked.by, known)}"
            )
    of_entities = {Address.of(scope, name) for scope in schema.scopes for name in schema.columns(scope)}
    asking = [("metrics", index, metric.reads) for index, metric in enumerate(draft.evaluate.metrics.values())]
    asking += [
        ("baselines", index, baseline.reads)
        for index, baseline in enumerate(draft.evaluate.baselines.values())
        if isinstance(baseline, ContentBaseline)
    ]
    for key, index, names in asking:
        for name in names:
            message = _no_column(name, of_entities) if Address(name).scope else _not_compared(name, draft, schema)
            if message:
                yield Mistake(("evaluate", key, index), message)


def _no_column(address: str, known: Collection[str]) -> str:
    return "" if address in known else f"no entity has a column {address!r}; {nearest(address, known)}"


def _not_compared(name: str, draft: Draft, schema: Schema) -> str:
    """Why items cannot be compared by the vectors of an encoder; empty if they can."""
    if name not in draft.encoder:
        return f"no encoder is called {name!r}; {nearest(name, draft.encoder)}"
    encoder, item = draft.encoder[name], list(schema.roles)[1:2]
    if encoder is None or {Address(address).scope for address in encoder.reads} == set(item):
        return ""
    return f"{name!r} reads {', '.join(encoder.reads)}; expected an encoder of what is ranked, {' '.join(item) or 'nothing'}"


def _divided(split: Split, schema: Schema) -> Iterator[Mistake]:
    """Columns by which a split divides the interactions."""
    known = schema.of_kind("categorical")
    for name in split.reads:
        if name not in known:
            column = schema.interactions.get(name)
            found = f"is declared as {column.kind}" if column else "is not there"
            message = f"expected a categorical column of the interactions, but {name!r} {found}; {nearest(name, known)}"
            yield Mistake(("data", "split"), message)


def conditions(draft: Draft) -> Iterator[tuple[KeyPath, Where]]:
    """Every condition of a recipe, by its place."""
    places: list[tuple[KeyPath, Any]] = [
        ((section, name), spec)
        for section in ("clean", "events", "rows", "encoder", "task")
        for name, spec in getattr(draft, section).items()
    ]
    catalogs = draft.data.catalog if draft.data else {}
    places += [(("data", "catalog", name), catalog) for name, catalog in catalogs.items()]
    baselines = draft.evaluate.baselines.values() if draft.evaluate else ()
    places += [(("evaluate", "baselines", index), baseline) for index, baseline in enumerate(baselines)]
    for path, spec in places:
        for key in where_fields(type(spec)) if spec else ():
            if where := getattr(spec, key):
                yield (*path, key), where
        for key in where_lists(type(spec)) if spec else ():
            yield from (((*path, key, index), where) for index, where in enumerate(getattr(spec, key)))


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


def _contents(draft: Draft) -> Iterator[Mistake]:
    graph: dict[str, tuple[str, ...]] = {}
    for name, encoder in draft.encoder.items():
        graph[name] = encoder.content if encoder else ()
        for content in graph[name]:
            path = ("encoder", name, _key_of(encoder, content, "content"))
            if content not in draft.encoder:
                yield Mistake(path, f"no encoder is called {content!r}; {nearest(content, draft.encoder)}")
            elif (other := draft.encoder[content]) and len(scopes := {Address(a).scope for a in other.reads}) > 1:
                message = f"{content!r} has no catalog: it reads {' and '.join(sorted(scopes))}; expected one entity"
                yield Mistake(path, message)
    if cycle := _cycle(graph):
        path = ("encoder", cycle[0], _key_of(draft.encoder[cycle[0]], cycle[1], "content"))
        yield Mistake(path, f"encoders need one another: {' -> '.join(cycle)}")


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
                yield Mistake(("encoder", name, _key_of(encoder, content, "content")), message)


def _key_of(spec: Spec | None, value: str, default: str) -> str:
    """The key of a component's table that has a value, alone or in a list; the default if none has it as it is."""
    return next((key for key, held in spec or () if value in (held if isinstance(held, tuple) else (held,))), default)


def _cycle(graph: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Names along a cycle, each reading the next, the first again at the end; empty if there is none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(reversed(error.args[1]))
    return []


def _correlations(draft: Draft) -> Iterator[Mistake]:
    known = list(draft.encoder)
    for name, correlation in draft.correlation.items():
        for index, embedding in enumerate(correlation.on if correlation else ()):
            if embedding not in known:
                message = f"no embedding before it is called {embedding!r}; {nearest(embedding, known)}"
                yield Mistake(("correlation", name, "on", index), message)
        for path, message in correlation.mistakes(draft.task) if correlation else ():
            yield Mistake(("correlation", name, *path), message)
        if correlation is None or correlation.apply == "pair":
            if name in known:
                yield Mistake(
                    ("correlation", name), f"an encoder is called {name!r} too; a pair needs a name of its own"
                )
            known.append(name)


def _tasks(draft: Draft, schema: Schema | None) -> Iterator[Mistake]:
    wiring = _Wiring(draft, schema)
    for name, head in draft.task.items():
        if head is None:
            continue
        found = [*_rows_of(head, draft.rows), *_names_of(head, wiring), *head.mistakes(name, wiring)]
        if schema and not found:
            found = [*unfit_rows(head, draft.rows, schema, wiring.embeddings)]
        if schema and head.weight_by and (message := schema.not_weighing(head.weight_by)):
            found.append((("weight_by",), message))
        yield from (Mistake(("task", name, *path), message) for path, message in found)


@dataclass(frozen=True)
class _Wiring:
    """What heads may ask of a draft."""

    draft: Draft
    schema: Schema | None

    @property
    def encoder(self) -> Mapping[str, Encoder | None]:
        return self.draft.encoder

    @property
    def task(self) -> Mapping[str, TaskHead | None]:
        return self.draft.task

    @cached_property
    def embeddings(self) -> Mapping[str, frozenset[Address]]:
        return embeddings(self.draft.encoder, self.draft.correlation)

    @property
    def predictions(self) -> list[str]:
        """What heads may read of tasks that predict for each row; of one that is not valid, that is not known."""
        found: list[str] = []
        for name, head in self.draft.task.items():
            if head is None or head.predicts:
                outputs = get_args(Output) if head is None else head.hands_on
                found += [f"{TASK}.{name}" + (f"/{output}" if output != "prediction" else "") for output in outputs]
        return found

    def depends(self, embedding: str, *, content: bool = False) -> frozenset[Address]:
        names = _with_content(embedding, self.draft) if content else {embedding}
        read = frozenset().union(*(self.embeddings.get(name, frozenset()) for name in names))
        statistics = [self.draft.preprocess.get(address.column) for address in read if address.scope == KNOWN]
        return read.union(*(key for spec in statistics if isinstance(spec, RowStatistics) for key in spec.keys))


def _with_content(name: str, draft: Draft) -> set[str]:
    """An embedding, its members, and those of whose catalogs they need."""
    pending, seen = [name], set[str]()
    while pending:
        if (current := pending.pop()) in seen:
            continue
        seen.add(current)
        if encoder := draft.encoder.get(current):
            pending += encoder.content
        elif (pair := draft.correlation.get(current)) and pair.apply == "pair":
            pending += pair.on or tuple(draft.encoder)
    return seen


def _rows_of(head: TaskHead, rows: Mapping[str, Rows | None]) -> Iterator[TaskMistake]:
    for name in dict.fromkeys((head.rows, head.evaluated_on)):
        if name not in rows:
            yield (_key_of(head, name, "rows"),), f"no row table is called {name!r}; {nearest(name, rows)}"


def _names_of(head: TaskHead, wiring: _Wiring) -> Iterator[TaskMistake]:
    """Names that a head reads and that nothing has."""
    embeddings = [*wiring.embeddings, *(wiring.predictions if head.reads_predictions else ())]
    for key, name, embedded in dict.fromkeys((read.key, read.name, read.embedded) for read in head.reads()):
        known = embeddings if embedded else list(wiring.encoder)
        if name in known:
            continue
        given = getattr(head, key, None)
        path = (key, given.index(name)) if isinstance(given, tuple) and name in given else (key,)
        what = "task that predicts for each row" if prediction_of(name) else "embedding"
        yield path, f"no {what if embedded else 'encoder'} is called {name!r}; {nearest(name, known)}"


def _task_cycle(draft: Draft) -> Iterator[Mistake]:
    graph = {
        name: tuple(task for read in head.reads() if (task := prediction_of(read.name)))
        for name, head in draft.task.items()
        if head
    }
    if cycle := _cycle(graph):
        key = next(read.key for read in _head(draft, cycle[0]).reads() if prediction_of(read.name))
        yield Mistake(("task", cycle[0], key), f"tasks read one another: {' -> '.join(cycle)}")


def _queries(draft: Draft) -> Iterator[Mistake]:
    """Tasks that ask for other queries than one before them on the same rows, or than the sequences that these come in."""
    first: dict[str, tuple[str, str]] = {}
    for name, head in draft.task.items():
        if head is None or head.query_by is None:
            continue
        rows = draft.rows.get(head.rows)
        if rows is not None and rows.sequence_length:
            message = f"rows of {head.rows!r} come together in sequences, not by query; name a table of single rows"
            yield Mistake(("task", name, "rows"), message)
        other, by = first.setdefault(head.rows, (name, head.query_by))
        if head.query_by != by:
            message = (
                f"task.{other} has queries of the rows of {head.rows!r} by {by or 'who acts'!r}, by which they come together; "
                "give both the same, or each a row table of its own"
            )
            yield Mistake(("task", name, "by"), message)


def _head(draft: Draft, name: str) -> TaskHead:
    head = draft.task[name]
    assert head is not None
    return head


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
