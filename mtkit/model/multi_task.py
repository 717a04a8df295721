"""The multi-task model: encode, correlate, heads, and one training step over several row tables."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from mtkit.backend import keras, tf
from mtkit.errors import StrategyError
from mtkit.feed.batch import Batch
from mtkit.feed.interface import Feed, table_of
from mtkit.layers.training_step import Pass, TaskLoss, step_of
from mtkit.model.auxiliary import auxiliary_losses, penalized, weighted
from mtkit.model.forward import Forward
from mtkit.model.hiding import Hiding, without_ids
from mtkit.model.non_finite import StepsSinceNonFinite
from mtkit.model.private_parts import private_weights
from mtkit.model.settling import Settling
from mtkit.model.train_loop import train_function
from mtkit.recipe.plan import Plan
from mtkit.runtime.collectives import global_sum, replicas
from mtkit.runtime.optimizers import learning_rate_factors
from mtkit.runtime.part_scopes import BALANCE, BETWEEN, DATA, OPTIMIZER, computing
from mtkit.schema import Address

_METRICS = "metrics belong to the recipe: set them there, and measure them with mtkit.callbacks.EpochMetric"
_WEIGHTS = "weights belong to task heads: set the `weight` of a task"
#: Arguments of Keras that such a model has no use for, and what to do instead.
_INSTEAD = {
    "loss": "losses belong to task heads: set a head's options (`weight`, ...)",
    **dict.fromkeys(("metrics", "weighted_metrics"), _METRICS),
    **dict.fromkeys(("loss_weights", "class_weight", "sample_weight"), _WEIGHTS),
}


def _refuse_idle(method: str, given: Mapping[str, Any]) -> None:
    """Refuses arguments that would have no effect."""
    for name, instead in _INSTEAD.items():
        if given.get(name) is not None:
            raise ValueError(f"{instead} instead of {method}({name}=...)")


@dataclass(frozen=True)
class Layers:
    """The layers of a model by name.

    Attributes:
        encoders: embedding -> layer.
        inputs: embedding -> the addresses that its layer is called with.
        correlations: correlation -> embedding -> layer.
        heads: task -> layer.
        balancer: combines the losses of the tasks, or makes the gradients of a step.
    """

    encoders: Mapping[str, Any]
    inputs: Mapping[str, tuple[Address, ...]]
    correlations: Mapping[str, Mapping[str, Any]]
    heads: Mapping[str, Any]
    balancer: Any


class MultiTaskModel(keras.Model):
    """Tasks that train together on shared parameters.

    All steps take a dictionary row table -> row numbers (int64 `[batch]`, -1 = no row); the columns are gathered on the
    device. How the losses of the tasks become one gradient is the matter of the training step, which the balancer is or
    is called by.

    Args:
        plan: who reads what.
        layers: the layers by name.
        feed: where columns come from.
        seed: of what heads draw.
        hide: what rows of a training step do not know; default: nothing is hidden.
    """

    def __init__(self, plan: Plan, layers: Layers, feed: Feed, seed: int = 0, hide: Hiding | None = None) -> None:
        # Losses are added up in float32, whatever the layers compute in.
        super().__init__(name="multi_task", dtype="float32")
        self.plan = plan
        self.inputs_of = layers.inputs
        self.encoders = dict(layers.encoders)
        self.correlations = {name: dict(by_embedding) for name, by_embedding in layers.correlations.items()}
        self.heads = dict(layers.heads)
        self.balancer = layers.balancer
        self.step = step_of(self.balancer)
        self.feed, self.seed, self.hide = feed, seed, hide or Hiding()
        self.trackers: dict[str, Any] = {}
        self.alarms: dict[str, Any] = {}
        self._watch([*self.heads, *penalized(self.encoders)])
        self.resting: frozenset[str] = frozenset()
        self.train_function: Any = None

    def call(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> dict[str, tf.Tensor]:
        """Per-task losses summed over rows, for rows by table; builds every variable."""
        found = self.run(self.gather(inputs), training)
        self._watch(found.auxiliary)
        return {name: loss.total for name, loss in found.losses.items()}

    def build_balancer(self) -> None:
        """Makes the variables of the balancer, before optimizers are told which there are.

        Raises:
            WiringError: it is a training step that makes variables in `build`, which nothing calls.
        """
        self.step.prepare(list(self.heads))

    def _watch(self, losses: Iterable[str]) -> None:
        """Makes what follows losses over an epoch, of those that nothing follows yet."""
        for name in losses:
            if name not in self.trackers:
                self.trackers[name] = keras.metrics.Mean(name=f"{name}_loss")
                self.alarms[name] = StepsSinceNonFinite(f"{name}_alarm")

    def gather(self, rows: Mapping[str, tf.Tensor]) -> dict[str, Batch]:
        """Row table -> batch, for row table (or its `evaluation_of`) -> row numbers."""
        return {table_of(name): self.feed.batch(name, numbers) for name, numbers in rows.items()}

    def stream(self, task: str) -> tf.Tensor:
        """The seed of what a task draws in a step, int64 `[2]`: by the seed, the task, and how many updates there were."""
        digest = hashlib.blake2b(f"{self.seed}:{task}".encode(), digest_size=7).digest()
        optimizer = getattr(self, "optimizer", None)
        updates = tf.zeros([], tf.int64) if optimizer is None else tf.cast(optimizer.iterations, tf.int64)
        return tf.stack([tf.constant(int.from_bytes(digest, "big"), tf.int64), updates])

    def rest(self, tasks: frozenset[str]) -> None:
        """From now on these tasks do not train, nor do weights that no other task trains: they stay as they are."""
        if tasks != self.resting:
            self.resting = tasks
            self.train_function = None

    def run(self, batches: Mapping[str, Batch], training: bool) -> Pass:
        """One forward pass: losses and weights row by row of the tasks whose row tables are there, and what goes with them.

        In training, without the tasks that rest.
        """
        forward, resting = Forward(self, training), self.resting if training else frozenset()
        if training and self.hide.shares:
            batches = without_ids(batches, self.hide, self.plan, forward.drawing("hide"))
        tasks = {
            name: spec.rows for name, spec in self.plan.tasks.items() if spec.rows in batches and name not in resting
        }
        losses = {name: TaskLoss(*forward.losses(name, batches[rows])) for name, rows in tasks.items()}
        auxiliary = auxiliary_losses(forward, batches, tasks, self.losses)
        whole, own = forward.cut()
        beside = weighted(self.plan, auxiliary)
        return Pass(losses, (*whole, *own), beside, auxiliary, whole)

    def compile(self, optimizer: Any = "adam", loss: Any = None, metrics: Any = None, **options: Any) -> None:
        """Configures training. Losses, their weights and metrics belong to the task heads and the recipe.

        If layers compute in float16, the loss is scaled so that small gradients do not vanish.

        Raises:
            ValueError: an argument was given that would have no effect (`loss`, `metrics`, `loss_weights`,
                `weighted_metrics`), or a layer asks for a learning rate of its own and the optimizer has none.
            StrategyError: `jit_compile` is set, and there are several replicas, rows with lists, or layers that cannot be
                compiled.
        """
        _refuse_idle("compile", options | {"loss": loss, "metrics": metrics})
        for name in ("loss_weights", "weighted_metrics"):
            options.pop(name, None)
        if options.get("jit_compile"):
            self._require_compilable()
        if self._one_by_one():
            options["steps_per_execution"] = 1
        optimizer = keras.optimizers.get(optimizer)
        scales = isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer)
        if not scales and any(layer.compute_dtype == "float16" for layer in self._flatten_layers()):
            optimizer = keras.mixed_precision.LossScaleOptimizer(optimizer)
        self._scale_rates(getattr(optimizer, "inner_optimizer", optimizer))
        super().compile(optimizer=optimizer, **options)

    def _scale_rates(self, optimizer: Any) -> None:
        factors, decays = learning_rate_factors(self), []
        for name, spec in self.plan.tasks.items():
            if spec.learning_rate_factor != 1 or spec.weight_decay is not None:
                own = private_weights(self, name)
                factors += [(weight, spec.learning_rate_factor) for weight in own]
                decays += [(weight, spec.weight_decay) for weight in own if spec.weight_decay is not None]
        if not factors and not decays:
            return
        if not hasattr(optimizer, "scale_rates"):
            weight = (factors or decays)[0][0]
            raise ValueError(
                f"{weight.name} has a learning rate, or a weight decay, of its own, which {type(optimizer).__name__} of Keras "
                "cannot follow; compile with an optimizer of mtkit.runtime.optimizers: OPTIMIZERS['adam'](learning_rate)"
            )
        optimizer.scale_rates(factors)
        optimizer.set_decays(decays)

    def _require_compilable(self) -> None:
        count = self.distribute_strategy.num_replicas_in_sync
        lists = sorted(name for name in {spec.rows for spec in self.plan.tasks.values()} if self.feed.has_lists(name))
        layers = sorted(layer.name for layer in self._flatten_layers() if not getattr(layer, "compilable", True))
        reasons = [f"this strategy has {count}"] * (count > 1)
        reasons += [f"rows of {', '.join(lists)} have lists, or lie in sequences"] * bool(lists)
        reasons += [f"shapes in {', '.join(layers)} depend on values"] * bool(layers)
        reasons += ["rows are read from files"] * self.feed.streamed
        if reasons:
            raise StrategyError(
                "train.jit_compile: XLA compiles the training step for one replica and for rows of one shape only, but "
                f"{reasons[0]}; set jit_compile = false"
            )

    def fit(self, x: Any = None, *, callbacks: Any = None, **options: Any) -> Any:
        """Keras' `fit`, without what would have no effect: the weights of rows lie in their tables.

        After each epoch, before callbacks are told of it, heads that ask for it see their training rows (`Head.settle`), and
        the training step is told (`TrainingStep.epoch_ended`).

        Raises:
            ValueError: `class_weight` or `sample_weight` was given.
        """
        _refuse_idle("fit", options)
        first = [keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: self.step.epoch_ended())]
        if any(head.settles for head in self.heads.values()):
            first.append(Settling(self))
        return super().fit(x, callbacks=[*first, *tf.nest.flatten(callbacks or [])], **options)

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
        """One mean loss per task, and of each loss beside those of the tasks."""
        return list(self.trackers.values())

    def make_train_function(self, force: bool = False) -> Any:
        """What Keras calls to train: its own function where steps are no compiled loop, else one that is traced once."""
        if self.run_eagerly or self._one_by_one():
            return super().make_train_function(force)
        if force or self.train_function is None:
            self.train_function = train_function(self)
            self.train_tf_function = self.train_function
        return self.train_function

    def _one_by_one(self) -> bool:
        """Whether a call does one step: those in one compiled loop overtake one another, and workers mix them up."""
        return isinstance(self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy)

    def train_step(self, data: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """One step on the rows of each table."""
        with computing(DATA):
            batches = self.gather(data)
        return self.train_on(batches)

    def train_on(self, batches: Mapping[str, Batch]) -> dict[str, tf.Tensor]:
        """One step on gathered batches."""
        run = partial(self._run_in_step, batches)
        with computing(BALANCE):
            found, gradients = self.step.gradients(run, self)
        pairs = zip(gradients, self.trainable_variables, strict=True)
        with computing(OPTIMIZER):
            self.optimizer.apply_gradients([(g, variable) for g, variable in pairs if g is not None])
        with computing(BALANCE):
            self.step.updated(found, run, self)
        with computing(BETWEEN):
            return self._track(found)

    def _run_in_step(self, batches: Mapping[str, Batch]) -> Pass:
        with computing(BETWEEN):
            return self.run(batches, training=True)

    def test_step(self, data: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Losses on the rows of each table."""
        return self._track(self.run(self.gather(data), training=False))

    def predict_step(self, data: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Task -> probabilities `[rows]` or `[rows, classes]`, or scores of the catalog `[rows, items]`.

        Of the tasks that are evaluated on the given tables.
        """
        forward, batches, outputs = Forward(self), self.gather(data), {}
        for name, head in self.heads.items():
            batch = batches.get(self.plan.rows_of(name))
            if batch is not None and (answers := head.answers(forward.task(name, batch))) is not None:
                outputs[name] = answers
        return outputs

    def shares(self, losses: Mapping[str, TaskLoss]) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """This replica's shares of the weighted task losses, (Σ w loss) / Σ w over the global batch, and which have labels."""
        shares, present = {}, {}
        for name, loss in losses.items():
            weight = global_sum(loss.weight)
            shares[name] = self.plan.tasks[name].weight * tf.math.divide_no_nan(loss.total, weight)
            present[name] = tf.cast(weight > 0, tf.float32)
        return shares, present

    def scaled(self, objective: tf.Tensor) -> tf.Tensor:
        """The objective, scaled where the optimizer scales losses."""
        scale = getattr(self.optimizer, "get_scaled_loss", None)
        return objective if scale is None else scale(objective)

    def unscaled(self, gradients: Sequence[Any]) -> Sequence[Any]:
        """The gradients of a scaled objective as they are."""
        unscale = getattr(self.optimizer, "get_unscaled_gradients", None)
        return gradients if unscale is None else unscale(gradients)

    def _track(self, found: Pass) -> dict[str, tf.Tensor]:
        for name, loss in found.losses.items():
            weight = loss.weight
            mean = tf.math.divide_no_nan(loss.total, weight)
            self.trackers[name].update_state(mean, sample_weight=weight)
            self.alarms[name].update_state(mean)
        for name, share in found.auxiliary.items():
            if name in self.trackers:
                self.trackers[name].update_state(share * replicas())
                self.alarms[name].update_state(share)
        return {metric.name: metric.result() for metric in self.metrics}
