"""One forward pass of a model, computing what its tables and tasks share once."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from mtkit.backend import tf
from mtkit.errors import WiringError
from mtkit.feed.batch import Batch
from mtkit.feed.interface import Feed, Past
from mtkit.heads.base import Tensors
from mtkit.layers.draws import integers
from mtkit.layers.task_states import TaskStates, states_of
from mtkit.model.contracts import calling, require, rows_of
from mtkit.model.hiding import Hiding, Parts, replaced
from mtkit.model.lanes import Lane, beginning, by_task, last_in_common
from mtkit.recipe.plan import Plan
from mtkit.runtime.collectives import global_sum
from mtkit.runtime.part_scopes import DATA, computing
from mtkit.schema import KNOWN, Address
from mtkit.spec import TaskHead, output_of, prediction_of

_PARTS = 1 << 24
"""How many numbers there are in [0, 1) of which some are drawn: those that a float32 tells apart."""


class Network(Protocol):
    """What a pass goes through; a `MultiTaskModel` is one.

    Attributes:
        plan: who reads what.
        inputs_of: embedding -> the addresses that its layer is called with.
        encoders: embedding -> layer.
        correlations: correlation -> embedding -> layer.
        heads: task -> layer.
        feed: where columns come from.
        jit_compile: whether XLA compiles training steps; None before that is known.
        step: what makes the gradients of a training step.
        hide: what rows of a training step do not know.
    """

    plan: Plan
    inputs_of: Mapping[str, tuple[Address, ...]]
    encoders: Mapping[str, Any]
    correlations: Mapping[str, Mapping[str, Any]]
    heads: Mapping[str, Any]
    feed: Feed
    jit_compile: bool | None
    step: Any
    hide: Hiding

    def stream(self, task: str) -> tf.Tensor:
        """The seed of what a task draws in a step, int64 `[2]`."""


def encode_limited(model: Network) -> dict[str, tf.Tensor]:
    """The outputs for all rows of their entity of encoders that have a `whole_limit`: by encoder, to be looked up."""
    forward = Forward(model)
    return {name: forward.encoded_entity(name) for name in model.plan.embedding_encoders() if model.plan.limited(name)}


class Forward:
    """One forward pass: what was computed for a whole entity is computed once and shared by all tables and tasks.

    Args:
        model: the model.
        training: whether dropout is on.
        whole: embeddings of which all rows are computed, rows of batches being looked up in the result.
        encoded: outputs of `encoded_entity` that are known already, in which rows of batches are looked up.
        prepared: what `content` gave before.
        feed: where columns come from, if not from that of the model.
        watch: is told what each encoder and each correlation gives: its table in the recipe, the tensor, and a function that
            gives what its layer makes in training of the same inputs.
    """

    def __init__(
        self,
        model: Network,
        training: bool = False,
        whole: frozenset[str] | None = None,
        encoded: Mapping[str, tf.Tensor] | None = None,
        prepared: Mapping[str, Tensors] | None = None,
        feed: Feed | None = None,
        watch: Callable[[tuple[str, str], tf.Tensor, Callable[[], tf.Tensor]], None] | None = None,
    ) -> None:
        self.model = model
        self.feed = model.feed if feed is None else feed
        self.plan = model.plan
        self.training = training
        self.whole = model.plan.whole_embeddings() if whole is None else whole
        self.watch = watch
        self._encoded = dict(encoded or {})
        self._whole_lanes: dict[str, Lane] = {}
        self._of_batch: dict[tuple[str, int], Lane] = {}
        self._prepared = dict(prepared or {})
        self._of_rows: dict[tuple[str, int], tf.Tensor] = {}
        self._penalties: dict[str, list[tuple[tf.Tensor, tf.Tensor]]] = {}
        self._entered: dict[str, tuple[str, tf.TensorShape]] = {}
        self._apart: dict[Any, list[tf.Tensor]] = {}
        self._parts = Parts(model.hide if training else Hiding(), self.drawing("hide part"))

    def heads_in_training(self) -> Forward:
        """A pass in which heads train, on the embeddings that this one has."""
        heads = Forward(self.model, training=True, whole=self.whole, prepared=self._prepared, feed=self.feed)
        heads._encoded, heads._whole_lanes, heads._of_batch = self._encoded, self._whole_lanes, self._of_batch
        heads._of_rows = self._of_rows
        return heads

    @contextlib.contextmanager
    def _calling(self, place: tuple[str, str], spec: Any, given: Tensors | None = None) -> Iterator[None]:
        """A call into the layer of a component."""
        with self._computing(".".join(place)), calling(place, spec, given):
            yield

    def _computing(self, part: str) -> contextlib.AbstractContextManager[Any]:
        """Operations of a part of a training step."""
        return computing(part) if self.training else contextlib.nullcontext()

    def task(self, name: str, batch: Batch) -> RowsOfTask:
        """The pass as one task sees it on a batch's rows."""
        return RowsOfTask(self, name, batch)

    def losses(self, task: str, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """Losses and weights of a task on the batch's rows, float32 `[rows]` each; 0 where the weight is 0."""
        place, spec, head = ("task", task), self.plan.tasks[task], self.model.heads[task]
        with self._calling(place, spec):
            losses, weights = head.losses(self.task(task, batch))
        for what, values in (("losses", losses), ("weights", weights)):
            require(place, what, values, (rows_of(batch),), head)
        weights = tf.cast(weights, tf.float32) * batch.present
        if (scale := batch.scale(spec.scales)) is not None:
            weights *= scale
        # Rows of weight 0 may hold anything, and a product would let their nan through.
        return tf.where(weights > 0, tf.cast(losses, tf.float32), 0.0), weights

    def cut(self) -> tuple[tuple[tf.Tensor, ...], tuple[tf.Tensor, ...]]:
        """The last tensors that tasks have in common, of the embeddings of this pass that depend on what several read.

        Those of all rows of an entity, and those of rows of batches.
        """
        return self._cut_of(self._whole_lanes.items()), self._cut_of(
            (n, lane) for (n, _), lane in self._of_batch.items()
        )

    def _cut_of(self, lanes: Iterable[tuple[str, Lane]]) -> tuple[tf.Tensor, ...]:
        tensors = [tensor for name, lane in lanes if self.plan.is_shared(name) for tensor in lane.cut]
        return tuple({id(tensor): tensor for tensor in tensors}.values())

    def penalties(self) -> dict[str, tf.Tensor]:
        """Encoder -> this replica's share of what rows cost it: the mean over the rows that it was called with."""
        return {name: mean_share(of_encoder) for name, of_encoder in self._penalties.items()}

    def _penalize(self, encoder: str, inputs: Tensors, batch: Batch) -> None:
        penalties = getattr(self.model.encoders[encoder], "penalties", None)
        if penalties is None:
            return
        with self._calling(("encoder", encoder), self.plan.encoders[encoder], inputs):
            values = penalties(inputs)
        if values is None:
            return
        require(("encoder", encoder), "penalties", values, (rows_of(batch),), self.model.encoders[encoder])
        there = tf.ones_like(values) if batch.present is None else batch.present
        found = tf.reduce_sum(tf.where(there > 0, values, 0.0)), tf.reduce_sum(there)
        self._penalties.setdefault(encoder, []).append(found)

    def states(self, embedding: str, batch: Batch) -> tf.Tensor:
        """An embedding after all correlations on the batch's rows: `[rows, dim]` or `[rows, tasks, dim]`."""
        return self.lane(embedding, batch).own

    def lane(self, embedding: str, batch: Batch) -> Lane:
        """An embedding after all correlations on the batch's rows."""
        entity = self.plan.entity(embedding)
        if entity is not None and embedding in self.whole:
            lane = self.entity_lane(embedding)
            return lane._replace(own=tf.gather(lane.own, batch.ids[entity]))
        key = (embedding, id(batch))
        if key not in self._of_batch:
            self._of_batch[key] = self._through(embedding, batch, lambda name: self._encode(name, batch))
        return self._of_batch[key]

    def state(self, task: str, embedding: str, batch: Batch) -> tf.Tensor:
        """An embedding after all correlations on the batch's rows, for one task: `[rows, dim]`."""
        entity = self.plan.entity(embedding)
        if entity is not None and embedding in self.whole:
            return tf.gather(self.of_task(task, self.entity_lane(embedding)), batch.ids[entity])
        return self.of_task(task, self.lane(embedding, batch))

    def of_task(self, task: str, lane: Lane) -> tf.Tensor:
        """The state of a lane for one task, `[rows, dim]`."""
        if lane.own.shape.rank == 2:
            return lane.own
        # All tasks are taken apart at once: the gradient of a slice would be as large as all of them.
        if (key := lane.own.ref()) not in self._apart:
            self._apart[key] = tf.unstack(lane.own, axis=1)
        return self._apart[key][lane.tasks.index(task)]

    def entity_lane(self, embedding: str) -> Lane:
        """An embedding of one entity after all correlations, for all rows of the entity."""
        if embedding not in self._whole_lanes:
            self._whole_lanes[embedding] = self._through(embedding, self._rows_of(embedding), self.encoded_entity)
        return self._whole_lanes[embedding]

    def encoded_entity(self, embedding: str) -> tf.Tensor:
        """An encoder's output for all rows of its entity, before correlations: `[entity rows, dim]`."""
        if embedding not in self._encoded:
            self._encoded[embedding] = self._encode(embedding, self._rows_of(embedding))
        return self._encoded[embedding]

    def _rows_of(self, embedding: str) -> Batch:
        """All rows of the entity that an embedding is of."""
        entity = self.plan.entity(embedding)
        assert entity is not None, f"{embedding} is of no entity alone"
        return Batch(ids={entity: self.entity_ids(entity)})

    def entity_ids(self, entity: str) -> tf.Tensor:
        """The ids of all rows of an entity, int32."""
        return tf.range(self.feed.entity_rows(entity))

    def inputs(self, encoder: str, batch: Batch) -> dict[str, tf.Tensor]:
        """What an encoder reads of the batch's rows."""
        with self._computing(DATA):
            return self._read(encoder, batch)

    def _read(self, encoder: str, batch: Batch) -> dict[str, tf.Tensor]:
        inputs: dict[str, tf.Tensor] = {}
        spec = self.plan.encoders[encoder]
        draw = self.drawing(encoder) if self.training else None
        past = Past(spec.history_length, spec.history_where, spec.neighborhood, draw)
        for address in self.model.inputs_of[encoder]:
            columns = self.feed.feature(address, batch, past)
            for hidden in self._parts.of(encoder, address, batch):
                nobody = Batch({address.scope: tf.zeros([1], tf.int32)})
                columns = replaced(columns, self.feed.feature(address, nobody, past), hidden)
            inputs |= columns
        augment = getattr(self.model.encoders[encoder], "augment", None)
        return augment(inputs, draw) if draw and augment else inputs

    def drawing(self, what: str) -> Callable[[str, tf.Tensor], tf.Tensor]:
        """What draws numbers in [0, 1) of a shape for names, by the seed, `what`, and how many updates there were."""
        return functools.partial(self._draw, what)

    def _draw(self, of: str, name: str, shape: tf.Tensor) -> tf.Tensor:
        """Numbers in [0, 1), by the seed, who draws, the name, and how many updates there were."""
        words = integers(
            self.model.stream(f"{of}/{name}"),
            tf.reduce_prod(shape),
            0,
            _PARTS,
            compiled=bool(self.model.jit_compile),
        )
        return tf.reshape(tf.cast(words, tf.float32) / _PARTS, shape)

    def _through(
        self, embedding: str, batch: Batch, encode: Callable[[str], tf.Tensor], until: str | None = None
    ) -> Lane:
        """The embedding of a batch's rows after the correlations that come before `until`."""
        names = list(self.plan.correlations)
        if embedding in self.plan.encoders:
            lane, begin = beginning(encode(embedding)), 0
        else:
            lane, begin = self._joined(embedding, batch, encode), names.index(embedding) + 1
        end = len(names) if until is None else names.index(until)
        for name in names[begin:end]:
            if embedding in self.model.correlations[name]:
                lane = self._correlated(name, embedding, lane)
        return lane

    def _correlated(self, correlation: str, embedding: str, lane: Lane) -> Lane:
        tasks = self.plan.tasks_of(correlation, embedding)
        entering = lane.of(tasks)
        if self.plan.correlations[correlation].share:
            self._require_alike(correlation, embedding, entering.shape[1:])
        if not self.plan.correlations[correlation].takes_shared:
            output = self._apply(correlation, embedding, entering)
            return Lane(output.own, tasks, output.shared, output.cut or last_in_common(output.own, (entering,)))
        # Tensors of their own: one of the two may have been made of the other.
        entering, shared = tf.identity(entering), None if lane.shared is None else tf.identity(lane.shared)
        output = self._apply(correlation, embedding, entering, shared=shared)
        read = (entering,) if shared is None else (entering, shared)
        return Lane(output.own, tasks, output.shared, output.cut or last_in_common(output.own, read))

    def _apply(self, correlation: str, embedding: str, inputs: Any, **beside: Any) -> TaskStates:
        """What the layer of a correlation makes of its inputs."""
        layer, parts = self.model.correlations[correlation][embedding], self.training and self.model.step.parts
        place, spec = ("correlation", correlation), self.plan.correlations[correlation]
        with self._calling(place, spec, beside.get("features")):
            states = states_of(layer, inputs, parts, training=self.training, **beside)
        self._require_states(place, states, inputs, layer, len(self.plan.tasks_of(correlation, embedding)))
        if self.watch:
            self.watch(place, states.own, lambda: states_of(layer, inputs, False, training=True, **beside).own)
        if states.apart:
            self._apart[states.own.ref()] = list(states.apart)
        return states

    @staticmethod
    def _require_states(place: tuple[str, str], states: TaskStates, inputs: Any, layer: Any, tasks: int) -> None:
        """Refuses states of other rows than those that a correlation was called with, or of another number of tasks."""
        rows = tf.nest.flatten(inputs)[0].shape[0]
        several = getattr(getattr(states.own, "shape", None), "rank", 3) != 2
        what = "one state for all tasks or one for each" if several else "one state for all tasks"
        require(place, what, states.own, (rows, tasks, None) if several else (rows, None), layer)

    def _require_alike(self, correlation: str, embedding: str, shape: tf.TensorShape) -> None:
        """Refuses an embedding of another shape than one that went through the same layer."""
        other, first = self._entered.setdefault(correlation, (embedding, shape))
        if shape != first:
            raise WiringError(
                f"correlation.{correlation}: share = true is one layer for all embeddings of `on`, but {other!r} comes as "
                f"{_shown(first)} and {embedding!r} as {_shown(shape)}; make them alike (`dim` of encoders), name other "
                "embeddings in `on`, or set share = false"
            )

    def _joined(self, pair: str, batch: Batch, encode: Callable[[str], tf.Tensor]) -> Lane:
        """What a correlation makes of the embeddings that it joins."""
        tasks, spec = self.plan.tasks_of(pair, pair), self.plan.correlations[pair]
        members = by_task([self._through(name, batch, encode, pair).of(tasks) for name in self.plan.on(pair)])
        joined = tf.concat(members, axis=-1) if spec.joined else members
        beside: dict[str, Any] = {}
        if spec.features:
            beside["features"] = self._features(spec.features, batch)
        output = self._apply(pair, pair, joined, **beside)
        return Lane(output.own, tasks, output.shared, output.cut or last_in_common(output.own, members))

    def _features(self, addresses: Sequence[Address], batch: Batch) -> dict[str, tf.Tensor]:
        """Features of a batch's rows that are of no past."""
        found: dict[str, tf.Tensor] = {}
        for address in addresses:
            found |= self.feed.feature(address, batch, Past(0))
        return found

    def _encode(self, embedding: str, batch: Batch) -> tf.Tensor:
        entity = self.plan.entity(embedding)
        if (
            entity is not None
            and embedding in self._encoded
            and batch.given.keys().isdisjoint(self.model.inputs_of[embedding])
        ):
            return tf.gather(self._encoded[embedding], batch.ids[entity])
        if batch.sequences is not None and self.plan.encoders[embedding].reads_sequences:
            return self._encode_sequences(embedding, batch)
        if batch.repeats and not self._differs(embedding, batch, batch.repeats.batch):
            return tf.repeat(self._encode(embedding, batch.repeats.batch), batch.repeats.times, axis=0)
        if self.training:
            return self._encode_rows(embedding, batch)
        # Batches that repeat these rows may ask again.
        if (key := (embedding, id(batch))) not in self._of_rows:
            self._of_rows[key] = self._encode_rows(embedding, batch)
        return self._of_rows[key]

    def _differs(self, embedding: str, batch: Batch, repeated: Batch) -> bool:
        """Whether an encoder reads of the rows what those that they repeat do not have."""
        own = {*(batch.ids.keys() - repeated.ids.keys()), KNOWN}
        return any(address.scope in own for address in self.model.inputs_of[embedding])

    def _encode_rows(self, embedding: str, batch: Batch) -> tf.Tensor:
        inputs = self.inputs(embedding, batch)
        inputs |= self.content(embedding)
        layer, spec = self.model.encoders[embedding], self.plan.encoders[embedding]
        with self._calling(("encoder", embedding), spec, inputs):
            encoded = layer(inputs, training=self.training)
        require(("encoder", embedding), "embeddings", encoded, (rows_of(batch), spec.width), layer)
        if self.watch:
            self.watch(("encoder", embedding), encoded, lambda: layer(inputs, training=True))
        if self.training:
            self._penalize(embedding, inputs, batch)
        return encoded

    def _encode_sequences(self, embedding: str, batch: Batch) -> tf.Tensor:
        """The same as for each row alone, by an encoder that reads each sequence once."""
        sequences, later = batch.of_sequences()
        inputs = self.inputs(embedding, sequences)
        inputs |= self.content(embedding)
        length = self.plan.encoders[embedding].history_length
        # Rows that are not there, behind those of sequences on several replicas, would be anywhere.
        place = tf.clip_by_value(length - 1 - later, 0, length - 1)
        assert batch.sequences is not None
        layer, spec = self.model.encoders[embedding], self.plan.encoders[embedding]
        with self._calling(("encoder", embedding), spec, inputs):
            encoded = layer.at(inputs, batch.sequences.number, place, training=self.training)
        require(("encoder", embedding), "embeddings (`at`)", encoded, (rows_of(batch), spec.width), layer)
        return encoded

    def content(self, embedding: str) -> Tensors:
        """What an encoder reads of whole entities, prepared once for all of its calls if it can do so."""
        if embedding not in self._prepared:
            names = self.plan.encoders[embedding].content
            content = {f"catalog.{name}": self.encoded_entity(name) for name in names}
            prepare = getattr(self.model.encoders[embedding], "prepare", None)
            self._prepared[embedding] = prepare(content) if prepare else content
        return self._prepared[embedding]


class RowsOfTask:
    """A pass as one task sees it on the rows of a batch: a `mtkit.heads.TaskPass`."""

    def __init__(self, forward: Forward, task: str, batch: Batch) -> None:
        self._forward, self._task = forward, task
        self.spec: TaskHead = forward.plan.tasks[task]
        self.batch, self.training = batch, forward.training
        self.compiled = forward.training and bool(forward.model.jit_compile)

    def beside(self, task: str) -> RowsOfTask:
        """The same pass on the same rows, as another task sees it."""
        return self._forward.task(task, self.batch)

    def embeddings(self, names: Sequence[str]) -> dict[str, tf.Tensor]:
        """Name -> `[rows, dim]`, in the state of the task; for `task.NAME`, what that task hands on, as other names say."""
        return {name: self._embedding(name) for name in names}

    def _embedding(self, name: str) -> tf.Tensor:
        if other := prediction_of(name):
            head = self._forward.model.heads[other]
            outputs = {"prediction": head.handed_on, "logits": head.logits, "state": head.state}
            return outputs[output_of(name)](self.beside(other))
        return self._forward.state(self._task, name, self.batch)

    def catalog(self, names: Sequence[str]) -> dict[str, tf.Tensor]:
        """Name -> `[entity rows, dim]` for every row of the embedding's entity."""
        return {name: self._forward.of_task(self._task, self._forward.entity_lane(name)) for name in names}

    def entity(self, name: str) -> str:
        """The entity, or role, on which alone an embedding depends."""
        entity = self._forward.plan.entity(name)
        assert entity is not None, f"{name} is of no entity alone"
        return entity

    def catalog_ids(self, name: str) -> tf.Tensor:
        """The ids of all rows of an embedding's entity, int32."""
        return self._forward.entity_ids(self.entity(name))

    def of_ids(self, names: Sequence[str], ids: tf.Tensor) -> dict[str, tf.Tensor]:
        """Name -> `[n, dim]` for rows of the embedding's entity."""
        batch = Batch(ids={self.entity(names[0]): ids})
        return {name: self._forward.state(self._task, name, batch) for name in names}

    def share(self, role: str, ids: tf.Tensor) -> tf.Tensor:
        """How frequent ids are among the training rows of the task, or among their targets."""
        return self._forward.feed.share(self.spec.rows, role, ids)

    def cumulative(self, role: str, power: float) -> tf.Tensor:
        """Shares of all ids among the training rows to a power, added up."""
        return self._forward.feed.cumulative(self.spec.rows, role, power)

    def stream(self) -> tf.Tensor:
        """The seed of what the task draws in a step."""
        return self._forward.model.stream(self._task)

    def encoder(self, name: str) -> tuple[dict[str, tf.Tensor], Any]:
        """What an encoder's layer is called with for the rows, and the layer itself."""
        return self._forward.inputs(name, self.batch), self._forward.model.encoders[name]


def _shown(shape: tf.TensorShape) -> str:
    """What a state of a row is, for messages."""
    return f"{shape[-1]} numbers" if shape.rank == 1 else f"{shape[-1]} numbers for each of {shape[0]} tasks"


def mean_share(sums: Sequence[tuple[tf.Tensor, tf.Tensor]]) -> tf.Tensor:
    """This replica's share of a mean over rows, of sums over some of them and how many these are."""
    totals, counts = map(tf.add_n, zip(*sums, strict=True))
    return tf.math.divide_no_nan(totals, global_sum(counts))
