"""The multi-task model: encode, correlate, heads, and one training step over several row tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mtkit.backend import keras, tf
from mtkit.data.store import DeviceData
from mtkit.distribute import gather_rolled, global_sum, replicas
from mtkit.errors import StrategyError
from mtkit.heads import Candidates, PredictionHead, RetrievalHead
from mtkit.layers.finite import StepsSinceNonFinite
from mtkit.optimizers import learning_rate_factors
from mtkit.plan import PREDICTION, Plan
from mtkit.spec import PredictionTask, RetrievalTask, SelfSupervisedTask

Batch = Mapping[str, tf.Tensor]

EVAL = "/eval"
"""Ends the name of a table of evaluation rows, beside the training rows of the same table."""


@dataclass(frozen=True)
class Layers:
    """The layers of a model by name.

    Attributes:
        encoders: embedding -> layer.
        inputs: embedding -> the addresses that its layer is called with.
        correlations: correlation -> embedding -> layer.
        heads: task -> layer.
        balancer: combines the losses of the tasks.
    """

    encoders: Mapping[str, Any]
    inputs: Mapping[str, tuple[str, ...]]
    correlations: Mapping[str, Mapping[str, Any]]
    heads: Mapping[str, Any]
    balancer: Any


class MultiTaskModel(keras.Model):
    """Tasks that train together on shared parameters.

    All steps take a dictionary row table -> row numbers (int64 `[batch]`, -1 = no row); the columns are gathered on the
    device. A training step adds up (Σ w loss) / Σ w per task over the global batch and lets the balancer combine them.

    Args:
        plan: who reads what.
        layers: the layers by name.
        data: entity and row tables on the device.
    """

    def __init__(self, plan: Plan, layers: Layers, data: DeviceData) -> None:
        # Losses are added up in float32, whatever the layers compute in.
        super().__init__(name="multi_task", dtype="float32")
        self.plan = plan
        self.inputs_of = layers.inputs
        self.encoders = dict(layers.encoders)
        self.correlations = {name: dict(by_embedding) for name, by_embedding in layers.correlations.items()}
        self.heads = dict(layers.heads)
        self.balancer = layers.balancer
        self.data = data
        self.trackers = {name: keras.metrics.Mean(name=f"{name}_loss") for name in self.heads}
        self.alarms = {name: StepsSinceNonFinite(f"{name}_alarm") for name in self.heads}

    def call(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> dict[str, tf.Tensor]:
        """Per-task losses summed over rows, for rows by table; builds every variable."""
        return {name: total for name, (total, _) in self.task_losses(self.gather(inputs), training).items()}

    def gather(self, rows: Mapping[str, tf.Tensor]) -> dict[str, Batch]:
        """Row table -> batch, for row table (of evaluation: `TABLE/eval`) -> row numbers."""
        return {key.removesuffix(EVAL): self.data.rows[key].gather(numbers) for key, numbers in rows.items()}

    def task_losses(self, batches: Mapping[str, Batch], training: bool) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
        """Task -> (Σ w loss over local rows, Σ w over local rows), for the tasks whose row tables are there."""
        forward = Forward(self, training)
        tasks = {name: spec.rows for name, spec in self.plan.tasks.items() if spec.rows in batches}
        return {name: forward.loss(name, batches[rows]) for name, rows in tasks.items()}

    def compile(self, optimizer: Any = "adam", loss: Any = None, **options: Any) -> None:
        """Configures training. Losses belong to the task heads.

        If layers compute in float16, the loss is scaled so that small gradients do not vanish.

        Raises:
            ValueError: `loss` was given, or a layer asks for a learning rate of its own and the optimizer has none.
            StrategyError: `jit_compile` is set, and there are several replicas, rows with lists, or layers that cannot be
                compiled.
        """
        if loss is not None:
            raise ValueError(
                "losses belong to task heads: set a head's options (`weight`, ...) instead of compile(loss=...)"
            )
        if options.get("jit_compile"):
            self._require_compilable()
        if isinstance(self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
            # Steps in one compiled loop overtake one another, and workers gather what belongs to different steps.
            options["steps_per_execution"] = 1
        optimizer = keras.optimizers.get(optimizer)
        scales = isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer)
        if not scales and any(layer.compute_dtype == "float16" for layer in self._flatten_layers()):
            optimizer = keras.mixed_precision.LossScaleOptimizer(optimizer)
        self._scale_rates(getattr(optimizer, "inner_optimizer", optimizer))
        super().compile(optimizer=optimizer, **options)

    def _scale_rates(self, optimizer: Any) -> None:
        factors = learning_rate_factors(self)
        if not factors:
            return
        if not hasattr(optimizer, "scale_rates"):
            raise ValueError(
                f"{factors[0][0].name} has a learning rate of its own, which {type(optimizer).__name__} of Keras cannot "
                "follow; compile with an optimizer of mtkit.optimizers: OPTIMIZERS['adam'](learning_rate)"
            )
        optimizer.scale_rates(factors)

    def _require_compilable(self) -> None:
        count = self.distribute_strategy.num_replicas_in_sync
        lists = sorted(name for name in {spec.rows for spec in self.plan.tasks.values()} if self.data.rows[name].ragged)
        layers = sorted(layer.name for layer in self._flatten_layers() if not getattr(layer, "compilable", True))
        reasons = [f"this strategy has {count}"] * (count > 1)
        reasons += [f"rows of {', '.join(lists)} have lists"] * bool(lists)
        reasons += [f"shapes in {', '.join(layers)} depend on values"] * bool(layers)
        if reasons:
            raise StrategyError(
                "train.jit_compile: XLA compiles the training step for one replica and for rows of one shape only, but "
                f"{reasons[0]}; set jit_compile = false"
            )

    def save(self, *_arguments: Any, **_options: Any) -> None:
        """Refuses: a Keras file holds neither the recipe nor the tables that the model reads.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            "a Keras file cannot hold the recipe and the data that this model is made of: keep its weights with "
            "save_weights(...) and make it again with mtkit.build, or export it for serving with "
            "pipeline.recipe.export.export(pipeline, directory); for callbacks, save_weights_only=True"
        )

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """One mean loss per task."""
        return list(self.trackers.values())

    def train_step(self, data: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """One step on the rows of each table."""
        return self.train_on(self.gather(data))

    def train_on(self, batches: Mapping[str, Batch]) -> dict[str, tf.Tensor]:
        """One step on gathered batches."""
        with tf.GradientTape() as tape:
            losses = self.task_losses(batches, training=True)
            objective = self._objective(losses)
            scaled = self._scaled(objective)
        gradients = tape.gradient(scaled, self.trainable_variables)
        self.optimizer.apply_gradients(zip(self._unscaled(gradients), self.trainable_variables, strict=True))
        return self._track(losses)

    def test_step(self, data: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Losses on the rows of each table."""
        return self._track(self.task_losses(self.gather(data), training=False))

    def predict_step(self, data: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Task -> probabilities `[rows]` or `[rows, classes]`, or scores of the catalog `[rows, items]`.

        Of the tasks that are evaluated on the given tables.
        """
        forward, batches, outputs = Forward(self), self.gather(data), {}
        for name, spec in self.plan.tasks.items():
            batch = batches.get(self.plan.rows_of(name))
            if batch is not None and isinstance(spec, PredictionTask):
                outputs[name] = forward.prediction(name, batch)
            elif batch is not None and isinstance(spec, RetrievalTask):
                outputs[name] = self.heads[name].score(forward.query(name, batch), forward.catalog(name), batch)
        return outputs

    def _objective(self, losses: Mapping[str, tuple[tf.Tensor, tf.Tensor]]) -> tf.Tensor:
        """This replica's share of the scalar to minimize: shares and gradients add up over replicas."""
        shares, present = {}, {}
        for name, (total, local_weight) in losses.items():
            weight = global_sum(local_weight)
            shares[name] = self.plan.tasks[name].weight * tf.math.divide_no_nan(total, weight)
            present[name] = tf.cast(weight > 0, tf.float32)
        combined = self.balancer(shares, present=present)
        return combined + tf.add_n([tf.constant(0.0), *self.losses]) / replicas()

    def _scaled(self, objective: tf.Tensor) -> tf.Tensor:
        scale = getattr(self.optimizer, "get_scaled_loss", None)
        return objective if scale is None else scale(objective)

    def _unscaled(self, gradients: Sequence[Any]) -> Sequence[Any]:
        unscale = getattr(self.optimizer, "get_unscaled_gradients", None)
        return gradients if unscale is None else unscale(gradients)

    def _track(self, losses: Mapping[str, tuple[tf.Tensor, tf.Tensor]]) -> dict[str, tf.Tensor]:
        for name, (total, weight) in losses.items():
            mean = tf.math.divide_no_nan(total, weight)
            self.trackers[name].update_state(mean, sample_weight=weight)
            self.alarms[name].update_state(mean)
        return {metric.name: metric.result() for metric in self.metrics}


def encode_limited(model: MultiTaskModel) -> dict[str, tf.Tensor]:
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
        model: MultiTaskModel,
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
        self._prepared: dict[str, Mapping[str, tf.Tensor]] = {}

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

    def _content(self, embedding: str) -> Mapping[str, tf.Tensor]:
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
