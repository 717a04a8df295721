"""One forward pass of a model, computing what its tables and tasks share once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from mtkit.backend import tf
from mtkit.feed.device_tables import DeviceData
from mtkit.heads.base import Candidates, PredictionHead, RetrievalHead
from mtkit.recipe.model_graph import PREDICTION, Plan
from mtkit.runtime.distribute import gather_rolled
from mtkit.spec import PredictionTask, RetrievalTask, SelfSupervisedTask

Batch = Mapping[str, tf.Tensor]


class Network(Protocol):
    """What a pass goes through; a `MultiTaskModel` is one.

    Attributes:
        plan: who reads what.
        inputs_of: embedding -> the addresses that its layer is called with.
        encoders: embedding -> layer.
        correlations: correlation -> embedding -> layer.
        heads: task -> layer.
        data: entity and row tables on the device.
    """

    plan: Plan
    inputs_of: Mapping[str, tuple[str, ...]]
    encoders: Mapping[str, Any]
    correlations: Mapping[str, Mapping[str, Any]]
    heads: Mapping[str, Any]
    data: DeviceData


def encode_limited(model: Network) -> dict[str, tf.Tensor]:
    """The outputs for all rows of their entity of encoders that have a `whole_limit`: by encoder, to be looked up."""
    forward = Forward(model)
    return {name: forward.encoded_entity(name) for name in model.plan.embedding() if model.plan.limited(name)}


class Forward:
    """One forward pass: what was computed for a whole entity is computed once and shared by all tables and tasks.

    Args:
        model: the model.
        training: whether dropout is on.
        whole: embeddings of which all rows are computed, rows of batches being looked up in the result.
        encoded: outputs of `encoded_entity` that are known already, in which rows of batches are looked up.
    """

    def __init__(
        self,
        model: Network,
        training: bool = False,
        whole: frozenset[str] | None = None,
        encoded: Mapping[str, tf.Tensor] | None = None,
    ) -> None:
        self.model = model
        self.plan = model.plan
        self.training = training
        self.whole = model.plan.whole_embeddings() if whole is None else whole
        self._encoded = dict(encoded or {})
        self._states: dict[str, tf.Tensor] = {}
        self._of_batch: dict[tuple[str, int], tf.Tensor] = {}
        self._prepared: dict[str, dict[str, tf.Tensor]] = {}

    def loss(self, task: str, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """Σ w loss and Σ w of a task over the batch's rows."""
        spec, head = self.plan.tasks[task], self.model.heads[task]
        if isinstance(spec, RetrievalTask):
            weights = batch["row.weight"]
            losses = head.loss(self.query(task, batch), self._candidates(task, batch), batch, training=self.training)
        elif isinstance(spec, SelfSupervisedTask):
            losses, weights = head(*self.read(task, batch), training=self.training)
            weights *= batch["row.weight"]
        else:
            assert isinstance(spec, PredictionTask)
            weights = batch[f"weight.{spec.label}"]
            labels = batch[f"label.{spec.label}"]
            labels = tf.where(weights > 0, labels, tf.zeros_like(labels))
            losses = head.loss(self.outputs(task, batch), labels)
        # Rows of weight 0 may hold anything, and a product would let their nan through.
        losses = tf.where(weights > 0, tf.cast(losses, tf.float32), 0.0)
        return tf.reduce_sum(weights * losses), tf.reduce_sum(weights)

    def outputs(self, task: str, batch: Batch) -> tf.Tensor:
        """Logits of a prediction task on the batch's rows."""
        spec = self.plan.tasks[task]
        assert isinstance(spec, PredictionTask)
        view = {}
        for name in spec.inputs:
            if name.startswith(PREDICTION):
                prediction = self.prediction(name.removeprefix(PREDICTION), batch)
                view[name] = tf.stop_gradient(prediction) if spec.stop_gradient else prediction
            else:
                view[name] = self._of_task(self.states(name, batch), task)
        return self.model.heads[task](view, training=self.training)

    def prediction(self, task: str, batch: Batch) -> tf.Tensor:
        """Probabilities of a prediction task on the batch's rows."""
        head: PredictionHead = self.model.heads[task]
        return head.predict(self.outputs(task, batch))

    def read(self, task: str, batch: Batch) -> tuple[dict[str, tf.Tensor], tf.Tensor, Any]:
        """What a self-supervised head gets of the batch's rows: what its encoder reads, ids, and the encoder."""
        spec = self.plan.tasks[task]
        assert isinstance(spec, SelfSupervisedTask)
        entity = self.plan.entity(spec.encoder)
        assert entity is not None
        return self._inputs(spec.encoder, batch), batch[entity], self.model.encoders[spec.encoder]

    def query(self, task: str, batch: Batch) -> tf.Tensor:
        """Query embeddings of a retrieval task, `[rows, dim]`."""
        head: RetrievalHead = self.model.heads[task]
        spec = self.plan.tasks[task]
        assert isinstance(spec, RetrievalTask)
        view = {name: self._of_task(self.states(name, batch), task) for name in spec.query}
        return head.query(view, training=self.training)

    def catalog(self, task: str) -> tf.Tensor:
        """Candidate embeddings of every item, row i = item i."""
        spec = self.plan.tasks[task]
        assert isinstance(spec, RetrievalTask)
        view = {name: self._of_task(self.entity_states(name), task) for name in spec.candidate}
        ids = tf.range(self.model.data.entities[self.plan.candidate_entity(task)].rows)
        return self.model.heads[task].candidate(view, ids, training=self.training)

    def states(self, embedding: str, batch: Batch) -> tf.Tensor:
        """An embedding after all correlations on the batch's rows: `[rows, dim]` or `[rows, tasks, dim]`."""
        entity = self.plan.entity(embedding)
        if entity is not None and embedding in self.whole:
            return tf.gather(self.entity_states(embedding), batch[entity])
        key = (embedding, id(batch))
        if key not in self._of_batch:
            self._of_batch[key] = self._through(embedding, lambda name: self._encode(name, batch))
        return self._of_batch[key]

    def entity_states(self, embedding: str) -> tf.Tensor:
        """An embedding of one entity after all correlations, for all rows of the entity."""
        if embedding not in self._states:
            self._states[embedding] = self._through(embedding, self.encoded_entity)
        return self._states[embedding]

    def encoded_entity(self, embedding: str) -> tf.Tensor:
        """An encoder's output for all rows of its entity, before correlations: `[entity rows, dim]`."""
        if embedding not in self._encoded:
            entity = self.plan.entity(embedding)
            assert entity is not None
            ids = tf.range(self.model.data.entities[entity].rows)
            self._encoded[embedding] = self._encode(embedding, {entity: ids})
        return self._encoded[embedding]

    def _candidates(self, task: str, batch: Batch) -> Candidates:
        entity, spec = self.plan.candidate_entity(task), self.plan.tasks[task]
        assert isinstance(spec, RetrievalTask)
        if spec.form == "catalog":
            embeddings = self.catalog(task)
            ids = tf.range(tf.shape(embeddings)[0])
            return Candidates(embeddings, ids, tf.cast(ids > 0, tf.float32))
        view = {name: self._of_task(self.states(name, batch), task) for name in spec.candidate}
        embeddings = self.model.heads[task].candidate(view, batch[entity], training=self.training)
        shares = tf.gather(self.model.data.rows[spec.rows].shares[entity], batch[entity])
        return Candidates(*map(gather_rolled, (embeddings, batch[entity], batch["row.weight"], shares)))

    def _through(self, embedding: str, encode: Callable[[str], tf.Tensor], until: str | None = None) -> tf.Tensor:
        """The embedding after the correlations that come before `until`."""
        names = list(self.plan.correlations)
        if embedding in self.plan.encoders:
            state, begin = encode(embedding), 0
        else:
            members = [self._through(name, encode, embedding) for name in self.plan.on(embedding)]
            parts = _by_task(members)
            joined = tf.concat(parts, axis=-1) if self.plan.correlations[embedding].joined else parts
            state = self.model.correlations[embedding][embedding](joined, training=self.training)
            begin = names.index(embedding) + 1
        end = len(names) if until is None else names.index(until)
        for name in names[begin:end]:
            layer = self.model.correlations[name].get(embedding)
            state = state if layer is None else layer(state, training=self.training)
        return state

    def _encode(self, embedding: str, batch: Batch) -> tf.Tensor:
        entity = self.plan.entity(embedding)
        if (
            entity is not None
            and embedding in self._encoded
            and batch.keys().isdisjoint(self.model.inputs_of[embedding])
        ):
            return tf.gather(self._encoded[embedding], batch[entity])
        inputs = self._inputs(embedding, batch)
        return self.model.encoders[embedding](inputs | self._content(embedding), training=self.training)

    def _content(self, embedding: str) -> dict[str, tf.Tensor]:
        """What an encoder reads of a whole entity, prepared once for all of its calls if it can do so."""
        if embedding not in self._prepared:
            names = self.plan.encoders[embedding].content
            content = {f"catalog.{name}": self.encoded_entity(name) for name in names}
            prepare = getattr(self.model.encoders[embedding], "prepare", None)
            self._prepared[embedding] = prepare(content) if prepare else content
        return self._prepared[embedding]

    def _inputs(self, embedding: str, batch: Batch) -> dict[str, tf.Tensor]:
        """What an encoder reads of the batch's rows."""
        inputs: dict[str, tf.Tensor] = {}
        for address in self.model.inputs_of[embedding]:
            inputs |= self._feature(address, embedding, batch)
        return inputs

    def _feature(self, address: str, embedding: str, batch: Batch) -> dict[str, tf.Tensor]:
        scope, _, column = address.partition(".")
        if scope == "history":
            assert self.model.data.events is not None
            length = self.model.encoders[embedding].length
            return self.model.data.events.last(batch["history"], batch["time"], length)
        if scope == "context":
            return {address: batch[address]}
        if column == "id":
            return {address: batch[scope]}
        return {address: self.model.data.entities[scope].gather(column, batch[scope])}

    def _of_task(self, state: tf.Tensor, task: str) -> tf.Tensor:
        return state if state.shape.rank == 2 else state[:, list(self.plan.tasks).index(task)]


def _by_task(states: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """The states with an axis of tasks, if one of them has it."""
    tasks = next((state.shape[1] for state in states if state.shape.rank == 3), None)
    if tasks is None:
        return list(states)
    return [s if s.shape.rank == 3 else tf.repeat(s[:, None], tasks, axis=1) for s in states]
