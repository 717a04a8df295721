"""Who reads what in a model: the connections between encoders, correlations and tasks, without TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from mtkit.schema import KNOWN, SCOPES, Address
from mtkit.spec import Correlation, Encoder, Read, TaskHead, prediction_of
from mtkit.types import Part


@dataclass(frozen=True)
class Plan:
    """The components of a model by name, in recipe order.

    Attributes:
        encoders: embedding name -> spec.
        correlations: name -> spec, in the order of application.
        tasks: task name -> spec.
    """

    encoders: Mapping[str, Encoder]
    correlations: Mapping[str, Correlation]
    tasks: Mapping[str, TaskHead]

    def on(self, correlation: str) -> tuple[str, ...]:
        """The embeddings that a correlation works on: those it names, or all that there are before it."""
        spec = self.correlations[correlation]
        if spec.on:
            return spec.on
        before = list(self.correlations)[: list(self.correlations).index(correlation)]
        return (*self.encoders, *(name for name in before if self.correlations[name].apply == "pair"))

    def entity(self, embedding: str) -> str | None:
        """The entity, or role, on whose static features alone the embedding depends; None if it depends on anything else."""
        scope, *others = sorted({address.scope for address in self._addresses(embedding)})
        return None if others or scope in SCOPES else scope

    def _addresses(self, embedding: str) -> tuple[Address, ...]:
        if embedding in self.encoders:
            return tuple(map(Address, self.encoders[embedding].reads))
        members = (address for name in self.on(embedding) for address in self._addresses(name))
        return (*members, *map(Address, self.correlations[embedding].features))

    def addresses(self) -> tuple[Address, ...]:
        """All features that are read, by encoders and by pairs, each once."""
        read = (
            *(spec.reads for spec in self.encoders.values()),
            *(spec.features for spec in self.correlations.values()),
        )
        return tuple(dict.fromkeys(Address(address) for addresses in read for address in addresses))

    def beside(self, task: str) -> tuple[Address, ...]:
        """Features that pairs read beside the embeddings that they join, on the way to what a task reads."""
        pairs = (spec for name, spec in self.correlations.items() if spec.apply == "pair" and name in self.within(task))
        return tuple(dict.fromkeys(Address(address) for spec in pairs for address in spec.features))

    def features(self, task: str) -> tuple[Address, ...]:
        """Addresses on which what a task says of a row depends, each once."""
        names = dict.fromkeys(name for reads in self.reads(task).values() for _, name in reads)
        return tuple(dict.fromkeys(address for name in names for address in self._addresses(name)))

    def rows_of(self, task: str) -> str:
        """The row table on which a task is evaluated."""
        return self.tasks[task].evaluated_on

    def reads(self, task: str) -> dict[str, list[tuple[str, str]]]:
        """Row table -> (key of the task, embedding) for every embedding that the task needs of the table's rows.

        Those of the predictions that it reads are included.
        """
        tables: dict[str, list[tuple[str, str]]] = {}
        for read in self._expanded(task):
            if read.rows:
                tables.setdefault(read.rows, []).append((read.key, read.name))
        return tables

    def _expanded(self, task: str) -> Iterator[Read]:
        """What a task reads, embeddings of the predictions that it reads in their place."""
        for read in self.tasks[task].reads():
            if other := prediction_of(read.name):
                yield from (replace(inner, key=read.key, rows=read.rows) for inner in self._expanded(other))
            else:
                yield read

    def encoders_of(self, task: str) -> tuple[str, ...]:
        """The encoders that a task reads, itself or through the predictions of other tasks, each once."""
        return tuple(dict.fromkeys(member for read in self._expanded(task) for member in self.members(read.name)))

    def with_read(self, tasks: Sequence[str]) -> tuple[str, ...]:
        """The tasks, and those whose predictions they read."""
        read = [other for task in tasks for one in self.tasks[task].reads() if (other := prediction_of(one.name))]
        return tuple(dict.fromkeys((*tasks, *(self.with_read(read) if read else ()))))

    def within(self, task: str) -> frozenset[str]:
        """The embeddings that a task reads, those that pairs join, and the encoders that others need."""
        read = frozenset(one.name for one in self._expanded(task))
        return read.union(*map(self._within, read), *map(self._depends, read))

    def embeddings_of(self, task: str) -> tuple[str, ...]:
        """The embeddings that a task reads, each once."""
        return tuple(dict.fromkeys(read.name for read in self._expanded(task) if read.embedded))

    def readers(self, embedding: str) -> tuple[str, ...]:
        """The tasks that read an embedding, itself or as a part of another."""
        return tuple(
            task
            for task in self.tasks
            if any(embedding == name or embedding in self._within(name) for name in self.embeddings_of(task))
        )

    def trained_by(self, encoder: str) -> tuple[str, ...]:
        """The tasks that read an encoder, in whatever way."""
        return tuple(
            task
            for task in self.tasks
            if encoder in {*self.encoders_of(task)}.union(*map(self._depends, self.embeddings_of(task)))
        )

    def is_shared(self, embedding: str) -> bool:
        """Whether several tasks read an encoder on which an embedding depends, as its member or its content."""
        reads = [frozenset().union(*map(self._depends, self.embeddings_of(task))) for task in self.tasks]
        return any(sum(encoder in of_task for of_task in reads) > 1 for encoder in self._depends(embedding))

    def _depends(self, embedding: str) -> frozenset[str]:
        """The encoders that an embedding consists of, and those that these read."""
        members = self.members(embedding)
        content = (name for member in members for name in self.encoders[member].content)
        return frozenset(members).union(*map(self._depends, content))

    def _within(self, embedding: str) -> frozenset[str]:
        """The embeddings that a pair joins, and those that these join."""
        if embedding in self.encoders:
            return frozenset()
        return frozenset(name for member in self.on(embedding) for name in (member, *self._within(member)))

    def tasks_of(self, correlation: str, embedding: str) -> tuple[str, ...]:
        """The tasks that a correlation runs for on an embedding: all, or those that read it; empty = it has no layer there."""
        before = list(self.correlations)[: list(self.correlations).index(correlation) + 1]
        within = {embedding, *self._within(embedding)}
        on = (self.correlations[name] for name in before if not within.isdisjoint(self.targets(name)))
        return self.readers(embedding) if any(spec.tasks == "reading" for spec in on) else tuple(self.tasks)

    def targets(self, correlation: str) -> tuple[str, ...]:
        """The embeddings that a correlation has a layer for: its own, or each that it works on."""
        return (correlation,) if self.correlations[correlation].apply == "pair" else self.on(correlation)

    def columns(self, table: str, part: Part) -> frozenset[str]:
        """Columns that heads read of the rows of a table that train, or that are evaluated."""
        of_part = {name: spec.rows if part == "train" else spec.evaluated_on for name, spec in self.tasks.items()}
        return frozenset(
            column for name, rows in of_part.items() if rows == table for column in self.tasks[name].columns(part)
        )

    def queries(self, table: str) -> tuple[str, ...]:
        """What makes queries of the rows of a table (`TaskHead.query_by`), for tasks that train or are evaluated on it."""
        heads = (spec for spec in self.tasks.values() if table in (spec.rows, spec.evaluated_on))
        return tuple(dict.fromkeys(spec.query_by for spec in heads if spec.query_by is not None))

    def statistics(self, table: str) -> frozenset[str]:
        """Names of the statistics of what was known before (`known.NAME`) that tasks read of the rows of a table."""
        read = {name for task in self.tasks for _, name in self.reads(task).get(table, ())}
        addresses = (address for name in read for address in self._addresses(name))
        return frozenset(address.column for address in addresses if address.scope == KNOWN)

    def candidate_entity(self, task: str) -> str:
        """The entity, or role, that a task ranks."""
        entity = self.entity(self.tasks[task].ranks[0])
        assert entity is not None, "a recipe that was checked says it"
        return entity

    def whole_entities(self) -> frozenset[str]:
        """Entities of which a training step encodes every row: candidates of whole catalogs, and content of histories."""
        return frozenset(entity for name in self.needed_whole() if (entity := self.entity(name)))

    def whole_embeddings(self) -> frozenset[str]:
        """All embeddings of such entities; of encoders with a `whole_limit`, only those that a head or a history requires."""
        whole, needed = self.whole_entities(), self.needed_whole()
        pairs = (name for name, spec in self.correlations.items() if spec.apply == "pair")
        return frozenset(
            name
            for name in (*self.encoders, *pairs)
            if self.entity(name) in whole and (name in needed or not any(map(self.limited, self.members(name))))
        )

    def needed_whole(self) -> frozenset[str]:
        """Embeddings of which a head or a history needs every row in a training step."""
        candidates = (read.name for task in self.tasks for read in self._expanded(task) if read.whole)
        return frozenset((*candidates, *(name for encoder in self.encoders.values() for name in encoder.content)))

    def members(self, embedding: str) -> tuple[str, ...]:
        """The encoders that an embedding consists of."""
        if embedding in self.encoders:
            return (embedding,)
        return tuple(member for name in self.on(embedding) for member in self.members(name))

    def embedding_encoders(self) -> tuple[str, ...]:
        """Encoders whose output some task consumes; self-supervised training alone does not count."""
        reads = (read for task in self.tasks for read in self._expanded(task))
        needed = {read.name for read in reads if read.embedded and (read.rows or read.trains)} | self.needed_whole()
        members = {member for name in needed for member in self.members(name)}
        return tuple(name for name in self.encoders if name in members)

    def limited(self, encoder: str) -> bool:
        """Whether a training step can encode only a limited number of rows by this encoder of an entity."""
        return self.encoders[encoder].whole_limit is not None and self.entity(encoder) is not None

    def predictions(self) -> dict[str, TaskHead]:
        """The tasks that predict a label of their row."""
        return {name: spec for name, spec in self.tasks.items() if spec.predicts}

    def rankings(self) -> dict[str, TaskHead]:
        """The tasks that rank a catalog."""
        return {name: spec for name, spec in self.tasks.items() if spec.ranks}

    def recommending(self, preferred: str | None) -> str | None:
        """The task that answers `recommend`: the preferred one, or else the first that can; None = no task can."""
        able = [name for name, spec in self.rankings().items() if spec.recommends]
        return preferred if preferred in able else next(iter(able), None)
