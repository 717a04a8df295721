"""Who reads what in a model: the connections between encoders, correlations and tasks, without TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mtkit.spec import Correlation, Encoder, PredictionTask, RetrievalTask, SelfSupervisedTask, TaskHead

PREDICTION = "task."


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
        """The entity on whose static features alone the embedding depends; None if it depends on anything else."""
        scope, *others = sorted({address.partition(".")[0] for address in self._addresses(embedding)})
        return None if others or scope in ("context", "history") else scope

    def _addresses(self, embedding: str) -> tuple[str, ...]:
        if embedding in self.encoders:
            return self.encoders[embedding].reads
        return tuple(address for name in self.on(embedding) for address in self._addresses(name))

    def features(self, task: str) -> tuple[str, ...]:
        """Addresses on which the predictions of a prediction task depend, each once."""
        spec = self.tasks[task]
        assert isinstance(spec, PredictionTask)
        return tuple(dict.fromkeys(address for name in self._inputs(spec) for address in self._addresses(name)))

    def rows_of(self, task: str) -> str:
        """The row table on which a task is evaluated."""
        spec = self.tasks[task]
        return (spec.evaluate or spec.rows) if isinstance(spec, RetrievalTask) else spec.rows

    def reads(self, task: str) -> dict[str, list[tuple[str, str]]]:
        """Row table -> (key of the task, embedding) for every embedding that the task needs of the table's rows."""
        spec = self.tasks[task]
        if isinstance(spec, PredictionTask):
            return {spec.rows: [("inputs", name) for name in self._inputs(spec)]}
        if isinstance(spec, SelfSupervisedTask):
            return {spec.rows: [("encoder", spec.encoder)]}
        assert isinstance(spec, RetrievalTask)
        query = [("query", name) for name in spec.query]
        in_batch = [("candidate", name) for name in spec.candidate] if spec.form == "batch" else []
        return {self.rows_of(task): query, spec.rows: [*query, *in_batch]}

    def _inputs(self, spec: PredictionTask) -> list[str]:
        """Embeddings that a prediction needs, those of the predictions that it reads included."""
        names: list[str] = []
        for name in spec.inputs:
            other = self.tasks.get(name.removeprefix(PREDICTION)) if name.startswith(PREDICTION) else None
            names += self._inputs(other) if isinstance(other, PredictionTask) else [name]
        return names

    def candidate_entity(self, task: str) -> str:
        """The entity that a retrieval task ranks."""
        spec = self.tasks[task]
        assert isinstance(spec, RetrievalTask)
        entity = self.entity(spec.candidate[0])
        assert entity is not None
        return entity

    def whole_entities(self) -> frozenset[str]:
        """Entities of which a training step encodes every row: candidates of catalog heads, and content of histories."""
        content = {name for encoder in self.encoders.values() for name in encoder.content}
        ranked = {self.candidate_entity(name) for name, task in self.tasks.items() if task.form == "catalog"}
        return frozenset(ranked | {entity for name in content if (entity := self.entity(name))})

    def whole_embeddings(self) -> frozenset[str]:
        """Embeddings that a training step computes for every row of their entity.

        They are all of whole entities, but with an encoder that has a `whole_limit` only those that must be whole.
        """
        whole, needed = self.whole_entities(), self.needed_whole()
        pairs = (name for name, spec in self.correlations.items() if spec.apply == "pair")
        return frozenset(
            name
            for name in (*self.encoders, *pairs)
            if self.entity(name) in whole and (name in needed or not any(map(self.limited, self.members(name))))
        )

    def needed_whole(self) -> frozenset[str]:
        """Embeddings of which a catalog head or a history needs every row."""
        candidates = (name for task in self.retrievals().values() if task.form == "catalog" for name in task.candidate)
        return frozenset((*candidates, *(name for encoder in self.encoders.values() for name in encoder.content)))

    def members(self, embedding: str) -> tuple[str, ...]:
        """The encoders that an embedding consists of."""
        if embedding in self.encoders:
            return (embedding,)
        return tuple(member for name in self.on(embedding) for member in self.members(name))

    def embedding(self) -> tuple[str, ...]:
        """The encoders whose embeddings a task needs; a self-supervised task trains one without."""
        reads = (read for task in self.tasks for names in self.reads(task).values() for read in names)
        needed = {name for key, name in reads if key != "encoder"} | self.needed_whole()
        members = {member for name in needed for member in self.members(name)}
        return tuple(name for name in self.encoders if name in members)

    def limited(self, encoder: str) -> bool:
        """Whether a training step can encode only so many rows by this encoder of an entity."""
        return self.encoders[encoder].whole_limit is not None and self.entity(encoder) is not None

    def predictions(self) -> dict[str, PredictionTask]:
        """The tasks that predict a label of their row."""
        return {name: spec for name, spec in self.tasks.items() if isinstance(spec, PredictionTask)}

    def retrievals(self) -> dict[str, RetrievalTask]:
        """The tasks that rank a catalog."""
        return {name: spec for name, spec in self.tasks.items() if isinstance(spec, RetrievalTask)}
