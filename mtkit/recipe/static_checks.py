"""Whether the parts of a recipe fit together, as far as declarations tell: no data, no tensors."""

from __future__ import annotations

import graphlib
from collections.abc import Collection, Iterator, Mapping
from typing import Protocol

from mtkit.errors import nearest
from mtkit.recipe.settings import By, Data, Evaluate, Train
from mtkit.recipe.source_text import Mistake
from mtkit.schema import ColumnKind, Schema
from mtkit.spec import (
    ContentBaseline,
    Correlation,
    Encoder,
    Exporter,
    PredictionTask,
    Preprocessor,
    RetrievalTask,
    Rows,
    SelfSupervisedTask,
    Split,
    TaskHead,
)

_TASK = "task."


class Parts(Protocol):
    """A recipe, or what could be made of one: None stands for a part that is named but not valid."""

    @property
    def data(self) -> Data | None:
        """Section `data`."""

    @property
    def rows(self) -> Mapping[str, Rows | None]:
        """Section `rows`."""

    @property
    def preprocess(self) -> Mapping[str, Preprocessor | None]:
        """Section `preprocess`."""

    @property
    def encoder(self) -> Mapping[str, Encoder | None]:
        """Section `encoder`."""

    @property
    def correlation(self) -> Mapping[str, Correlation | None]:
        """Section `correlation`."""

    @property
    def task(self) -> Mapping[str, TaskHead | None]:
        """Section `task`."""

    @property
    def export(self) -> Exporter | None:
        """Section `export`."""

    @property
    def train(self) -> Train | None:
        """Section `train`."""

    @property
    def evaluate(self) -> Evaluate | None:
        """Section `evaluate`."""


def check_wiring(parts: Parts) -> list[Mistake]:
    """What does not fit: names that do not exist, features that are labels, cycles, towers that are not factorized."""
    schema = parts.data.source.schema() if parts.data else None
    mistakes = [*_contents(parts), *_correlations(parts), *_tasks(parts), *_task_cycle(parts), *_settings(parts)]
    if parts.data and schema:
        mistakes += [*_addresses(parts, schema), *_entities(parts, parts.data, schema), *_factorized(parts, schema)]
        mistakes += [*_measured(parts, schema), *_divided(parts.data.split, schema)]
    return mistakes


def embeddings(parts: Parts) -> dict[str, frozenset[str]]:
    """Every named embedding -> addresses of the row that it depends on.

    What an encoder takes from whole catalogs (`content`) is the same for every row and is not counted.
    """
    reads = {name: frozenset(encoder.reads if encoder else ()) for name, encoder in parts.encoder.items()}
    for name, correlation in parts.correlation.items():
        if name not in reads and (correlation is None or correlation.apply == "pair"):
            on = (correlation and correlation.on) or tuple(reads)
            reads[name] = frozenset().union(*(reads.get(n, frozenset()) for n in on))
    return reads


def _scope(address: str) -> str:
    return address.partition(".")[0]


def _addresses(parts: Parts, schema: Schema) -> Iterator[Mistake]:
    owner: dict[str, str] = {}
    for name, preprocessor in parts.preprocess.items():
        for index, address in enumerate(preprocessor.columns if preprocessor else ()):
            path = ("preprocess", name, "columns", index)
            if message := _not_a_feature(address, schema):
                yield Mistake(path, message)
            elif address in owner:
                yield Mistake(path, f"{address} has a preprocessor already, preprocess.{owner[address]}")
            owner.setdefault(address, name)
    for name, encoder in parts.encoder.items():
        for index, address in enumerate(encoder.reads if encoder else ()):
            message = _not_a_feature(address, schema) or _of_another_kind(address, schema, encoder)
            if message:
                yield Mistake(("encoder", name, "reads", index), message)


def _of_another_kind(address: str, schema: Schema, encoder: Encoder | None) -> str:
    """Why an encoder cannot read a feature; empty if it can."""
    kind, kinds = schema.features()[address].kind, encoder.reads_kinds if encoder else ()
    if not kinds or kind in kinds:
        return ""
    return f"{address} is declared as {kind}; this encoder reads columns of kind {' or '.join(kinds)}"


def _not_a_feature(address: str, schema: Schema) -> str:
    """Why an address cannot be read; empty if it can."""
    features = schema.features()
    if address in features:
        return ""
    scope, name = address.split(".", 1)
    columns = schema.interactions if scope == "context" else schema.entities.get(scope, {})
    if name in columns and columns[name].kind == "label":
        return f"{address} is label {name!r}, and cannot be a feature"
    for label, column in columns.items():
        if name in column.sources:
            return f"{address} is a source of label {label!r}, and cannot be a feature"
    if name in columns:
        return f"{address} is declared as {columns[name].kind}, which no encoder reads here"
    return f"no feature is called {address!r}; {nearest(address, features)}"


def _measured(parts: Parts, schema: Schema) -> Iterator[Mistake]:
    """Columns by which `evaluate` slices, and what it compares items by."""
    if not parts.evaluate:
        return
    kinds: tuple[ColumnKind, ...] = ("categorical", "numeric", "label")
    known = {
        f"{entity}.{name}" for entity in schema.entities for kind in kinds for name in schema.of_kind(kind, entity)
    }
    known |= {address for address in schema.features() if _scope(address) == "context"}
    for index, asked in enumerate(parts.evaluate.slices):
        if isinstance(asked, By) and asked.by not in known:
            yield Mistake(
                ("evaluate", "slices", index), f"no column is called {asked.by!r}; {nearest(asked.by, known)}"
            )
    of_entities = {f"{entity}.{name}" for entity, columns in schema.entities.items() for name in columns}
    asking = [("metrics", index, metric.reads) for index, metric in enumerate(parts.evaluate.metrics.values())]
    asking += [
        ("baselines", index, baseline.reads)
        for index, baseline in enumerate(parts.evaluate.baselines.values())
        if isinstance(baseline, ContentBaseline)
    ]
    for key, index, names in asking:
        for name in names:
            message = _no_column(name, of_entities) if "." in name else _not_compared(name, parts, schema)
            if message:
                yield Mistake(("evaluate", key, index), message)


def _no_column(address: str, known: Collection[str]) -> str:
    return "" if address in known else f"no entity has a column {address!r}; {nearest(address, known)}"


def _not_compared(name: str, parts: Parts, schema: Schema) -> str:
    """Why items cannot be compared by the vectors of an encoder; empty if they can."""
    if name not in parts.encoder:
        return f"no encoder is called {name!r}; {nearest(name, parts.encoder)}"
    encoder, item = parts.encoder[name], schema.roles[1:2]
    if encoder is None or {_scope(address) for address in encoder.reads} == set(item):
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


def _entities(parts: Parts, data: Data, schema: Schema) -> Iterator[Mistake]:
    for entity in data.catalog:
        if entity not in schema.entities:
            yield Mistake(
                ("data", "catalog", entity), f"the data have no such entity; {nearest(entity, schema.entities)}"
            )
    for name, head in parts.task.items():
        if isinstance(head, PredictionTask) and "." in head.label:
            known = [f"{entity}.{c}" for entity in schema.entities for c in schema.of_kind("label", entity)]
            if head.label not in known:
                message = f"no entity has a label {head.label!r}; {nearest(head.label, known)}"
                yield Mistake(("task", name, "label"), message)


def _contents(parts: Parts) -> Iterator[Mistake]:
    graph: dict[str, tuple[str, ...]] = {}
    for name, encoder in parts.encoder.items():
        graph[name] = encoder.content if encoder else ()
        for content in graph[name]:
            path = ("encoder", name, _key_of(encoder, content))
            if content not in parts.encoder:
                yield Mistake(path, f"no encoder is called {content!r}; {nearest(content, parts.encoder)}")
            elif (other := parts.encoder[content]) and len(scopes := {_scope(a) for a in other.reads}) > 1:
                message = f"{content!r} has no catalog: it reads {' and '.join(sorted(scopes))}; expected one entity"
                yield Mistake(path, message)
    if cycle := _cycle(graph):
        path = ("encoder", cycle[0], _key_of(parts.encoder[cycle[0]], cycle[1]))
        yield Mistake(path, f"encoders need one another: {' -> '.join(cycle)}")


def _key_of(encoder: Encoder | None, value: str) -> str:
    """The key of an encoder's table that has a value, alone or in a list; `content` if none has it as it is."""
    return next(
        (key for key, held in encoder or () if value in (held if isinstance(held, tuple) else (held,))), "content"
    )


def _cycle(graph: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Names along a cycle, each reading the next, the first again at the end; empty if there is none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(reversed(error.args[1]))
    return []


def _correlations(parts: Parts) -> Iterator[Mistake]:
    known = list(parts.encoder)
    for name, correlation in parts.correlation.items():
        for index, embedding in enumerate(correlation.on if correlation else ()):
            if embedding not in known:
                message = f"no embedding before it is called {embedding!r}; {nearest(embedding, known)}"
                yield Mistake(("correlation", name, "on", index), message)
        if correlation is None or correlation.apply == "pair":
            if name in known:
                yield Mistake(
                    ("correlation", name), f"an encoder is called {name!r} too; a pair needs a name of its own"
                )
            known.append(name)


def _tasks(parts: Parts) -> Iterator[Mistake]:
    known = embeddings(parts)
    for name, head in parts.task.items():
        if head and head.rows not in parts.rows:
            yield Mistake(
                ("task", name, "rows"), f"no row table is called {head.rows!r}; {nearest(head.rows, parts.rows)}"
            )
        if isinstance(head, RetrievalTask):
            yield from _unknown(("task", name, "query"), head.query, known)
            yield from _unknown(("task", name, "candidate"), head.candidate, known)
            if head.evaluate and head.evaluate not in parts.rows:
                message = f"no row table is called {head.evaluate!r}; {nearest(head.evaluate, parts.rows)}"
                yield Mistake(("task", name, "evaluate"), message)
        elif isinstance(head, PredictionTask):
            predictions = {
                _TASK + t: frozenset[str]()
                for t, h in parts.task.items()
                if not isinstance(h, RetrievalTask | SelfSupervisedTask)
            }
            yield from _unknown(("task", name, "inputs"), head.inputs, known | predictions)
        elif isinstance(head, SelfSupervisedTask) and (message := _not_trained(head, parts)):
            yield Mistake(("task", name, "encoder"), message)


def _not_trained(head: SelfSupervisedTask, parts: Parts) -> str:
    """Why a head cannot train the encoder that it names; empty if it can."""
    if head.encoder not in parts.encoder:
        return f"no encoder is called {head.encoder!r}; {nearest(head.encoder, parts.encoder)}"
    encoder = parts.encoder[head.encoder]
    if encoder is None:
        return ""
    scopes = sorted({_scope(address) for address in encoder.reads})
    if len(scopes) > 1 or scopes[0] in ("context", "history"):
        return f"{head.encoder!r} reads {' and '.join(scopes)}; expected an encoder of one entity"
    return head.refusal(encoder)


def _unknown(path: tuple[str, ...], names: tuple[str, ...], known: Mapping[str, frozenset[str]]) -> Iterator[Mistake]:
    for index, name in enumerate(names):
        if name not in known:
            what = "task that predicts for each row" if name.startswith(_TASK) else "embedding"
            yield Mistake((*path, index), f"no {what} is called {name!r}; {nearest(name, known)}")


def _task_cycle(parts: Parts) -> Iterator[Mistake]:
    graph = {
        name: tuple(i.removeprefix(_TASK) for i in head.inputs if i.startswith(_TASK))
        for name, head in parts.task.items()
        if isinstance(head, PredictionTask)
    }
    if cycle := _cycle(graph):
        yield Mistake(("task", cycle[0], "inputs"), f"tasks read one another: {' -> '.join(cycle)}")


def _factorized(parts: Parts, schema: Schema) -> Iterator[Mistake]:
    known = embeddings(parts)
    for name, head in parts.task.items():
        if not isinstance(head, RetrievalTask):
            continue
        candidate = {n: _with_content(n, parts, known) for n in head.candidate}
        scopes = {_scope(a) for addresses in candidate.values() for a in addresses}
        if len(scopes) > 1 or not scopes <= schema.entities.keys():
            read = "; ".join(f"{n!r} depends on {', '.join(sorted(a))}" for n, a in candidate.items())
            message = f"a candidate must depend on the features of one entity and nothing else, but {read}"
            yield Mistake(("task", name, "candidate"), message)
            continue
        for index, embedding in enumerate(head.query):
            if of_candidate := sorted(a for a in known.get(embedding, ()) if _scope(a) in scopes):
                message = (
                    f"a query must not depend on the candidate of the row, but {embedding!r} depends on "
                    f"{', '.join(of_candidate)}; items of the past are read by history.{_scope(of_candidate[0])}"
                )
                yield Mistake(("task", name, "query", index), message)


def _with_content(name: str, parts: Parts, known: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """Addresses that an embedding depends on, those of the catalogs it needs included."""
    pending, seen = [name], set[str]()
    while pending:
        if (current := pending.pop()) in seen:
            continue
        seen.add(current)
        if encoder := parts.encoder.get(current):
            pending += encoder.content
        elif (pair := parts.correlation.get(current)) and pair.apply == "pair":
            pending += pair.on or tuple(parts.encoder)
    return frozenset().union(*(known.get(n, frozenset()) for n in seen))


def _settings(parts: Parts) -> Iterator[Mistake]:
    if parts.export and (message := parts.export.refusal(parts.encoder)):
        yield Mistake(("export",), message)
    if parts.train and (name := parts.train.epoch_of) and name not in parts.rows:
        yield Mistake(("train", "epoch_of"), f"no row table is called {name!r}; {nearest(name, parts.rows)}")
    evaluate = parts.evaluate
    if evaluate and evaluate.main and None not in parts.task.values():
        keys = [key for name, head in parts.task.items() if head for key in evaluate.keys(name, head)]
        if evaluate.main not in keys:
            message = f"no metric of the recipe has the key {evaluate.main!r}; {nearest(evaluate.main, keys)}"
            yield Mistake(("evaluate", "main"), message)
