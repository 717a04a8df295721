"""Embeddings, row tables and tasks that parts of a recipe name: that they are there, and need nobody who needs them."""

from __future__ import annotations

import graphlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import get_args

from mtkit.errors import nearest
from mtkit.recipe.drafts import Draft, embeddings, key_of
from mtkit.recipe.row_checks import unfit_rows
from mtkit.recipe.source_text import Mistake
from mtkit.schema import KNOWN, TASK, Address, Schema
from mtkit.spec import Encoder, Rows, RowStatistics, TaskHead, TaskMistake, prediction_of
from mtkit.spec.heads import Output


def unfit_names(draft: Draft, schema: Schema | None) -> Iterator[Mistake]:
    """Names that nothing has, cycles, and what correlations and heads say of themselves."""
    yield from _contents(draft)
    yield from _correlations(draft)
    yield from _tasks(draft, schema)
    yield from _task_cycle(draft)
    yield from _queries(draft)


def _contents(draft: Draft) -> Iterator[Mistake]:
    graph: dict[str, tuple[str, ...]] = {}
    for name, encoder in draft.encoder.items():
        graph[name] = encoder.content if encoder else ()
        for content in graph[name]:
            path = ("encoder", name, key_of(encoder, content, "content"))
            if content not in draft.encoder:
                yield Mistake(path, f"no encoder is called {content!r}; {nearest(content, draft.encoder)}")
            elif (other := draft.encoder[content]) and len(scopes := {Address(a).scope for a in other.reads}) > 1:
                message = f"{content!r} has no catalog: it reads {' and '.join(sorted(scopes))}; expected one entity"
                yield Mistake(path, message)
    if cycle := _cycle(graph):
        path = ("encoder", cycle[0], key_of(draft.encoder[cycle[0]], cycle[1], "content"))
        yield Mistake(path, f"encoders need one another: {' -> '.join(cycle)}")


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
    wiring = DraftWiring(draft, schema)
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
class DraftWiring:
    """What heads may ask of a draft."""

    draft: Draft
    schema: Schema | None

    @property
    def encoder(self) -> Mapping[str, Encoder | None]:
        """Encoders by name; None = not valid."""
        return self.draft.encoder

    @property
    def task(self) -> Mapping[str, TaskHead | None]:
        """Heads by name; None = not valid."""
        return self.draft.task

    @cached_property
    def embeddings(self) -> Mapping[str, frozenset[Address]]:
        """Every named embedding -> addresses of the row that it depends on."""
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
        """Addresses of the row that an embedding depends on, and with `content` those of whose catalogs it needs."""
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
            yield (key_of(head, name, "rows"),), f"no row table is called {name!r}; {nearest(name, rows)}"


def _names_of(head: TaskHead, wiring: DraftWiring) -> Iterator[TaskMistake]:
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


def _cycle(graph: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Names along a cycle, each reading the next, the first again at the end; empty if there is none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(reversed(error.args[1]))
    return []
