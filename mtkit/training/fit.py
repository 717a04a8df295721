"""Training of a pipeline: steps, checkpoints, and what is told of them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mtkit.backend import keras, tf
from mtkit.errors import RunError
from mtkit.feed.step_rows import Rate, training_rows
from mtkit.model.assembly import Pipeline
from mtkit.model.non_finite import not_finite
from mtkit.runtime.collectives import least
from mtkit.runtime.optimizers import make_optimizer, steps_at_full_rate
from mtkit.training.call_size import steps_of_a_call
from mtkit.training.checkpoints import Checkpoints
from mtkit.training.interrupt import Signals
from mtkit.training.judging import VALIDATION, Course, Validation
from mtkit.training.movement import Movement
from mtkit.training.schedule import Schedule

SAVE_SECONDS = 60.0
"""A checkpoint is kept at the end of each epoch, and within an epoch when the last one is that old."""


STREAMED_AHEAD = 16
"""Steps whose rows are read from files ahead."""

SEEN = 0.95
"""Of the rows of a table: if training sees less, that is said."""


class Training:
    """A fit of a pipeline that can be taken up again where it was saved, with the same result.

    Args:
        pipeline: what to train.
        checkpoints: directory of the checkpoints; None = keep none.
        warn: is told when a checkpoint cannot be used, and when the first epoch hardly moved the weights.
        save_seconds: how old the last checkpoint may get.
        validates: whether tasks are measured on the pipeline's evaluation rows after each epoch, which then decides what
            `train.stop` says; otherwise nothing stops training early but what is repeated.
        repeats: the schedule of another fold's training, which is repeated.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        checkpoints: Path | None = None,
        warn: Callable[[str], None] = print,
        save_seconds: float = SAVE_SECONDS,
        *,
        validates: bool = False,
        repeats: Schedule | None = None,
    ) -> None:
        self.pipeline, self.warn = pipeline, warn
        # Workers save together; their clocks would not agree on more than the ends of epochs.
        self.save_seconds = math.inf if pipeline.strategy.cluster_resolver else save_seconds
        settings = pipeline.recipe.train.model_copy(update={"learning_rate": pipeline.learning_rate()})
        self.steps_per_epoch = pipeline.steps_per_epoch()
        model = pipeline.model
        self.steps_per_call = min(settings.steps_per_execution or steps_of_a_call(pipeline), self.steps_per_epoch)
        with pipeline.strategy.scope():
            model.compile(
                make_optimizer(settings, self.steps_per_epoch * settings.most_epochs),
                steps_per_execution=self.steps_per_call,
                jit_compile=settings.jit_compile,
            )
            model.optimizer.build(model.trainable_variables)
            # The optimizer's count will not do: it leaves out steps whose scaled gradients overflowed.
            self._step = tf.Variable(0, trainable=False, dtype=tf.int64, name="step")
            self.generators = _generators(model)
            self.course = Course(pipeline, repeats, validated=validates)
            checkpoint = tf.train.Checkpoint(
                model=model,
                optimizer=model.optimizer,
                step=self._step,
                generators=self.generators,
                course=self.course,
            )
        self._validates = validates
        self.validation_seconds = 0.0
        self._checkpoints = checkpoints and Checkpoints(checkpoint, checkpoints, warn)

    @cached_property
    def validation(self) -> Validation | None:
        """What measures the tasks after each epoch, where something does; made when it is needed, for it looks at all events."""
        train = self.pipeline.recipe.train
        return Validation(self.pipeline, train.validation_rows) if self._validates else None

    @property
    def step(self) -> int:
        """Steps that are done."""
        return int(self._step.numpy())

    @step.setter
    def step(self, value: int) -> None:
        self._step.assign(value)

    @property
    def epoch(self) -> int:
        """Epochs that are complete."""
        return self.step // self.steps_per_epoch

    @property
    def epochs(self) -> int:
        """How many epochs there will be, as far as it is known."""
        return self.course.schedule(self.epoch).epochs

    @property
    def steps(self) -> int:
        """How many steps there will be, as far as it is known."""
        return self.steps_per_epoch * self.epochs

    @property
    def rates(self) -> dict[str, Rate]:
        """How the row tables of tasks that still train are consumed now."""
        tasks = self.pipeline.plan.tasks
        used = {spec.rows for name, spec in tasks.items() if name not in self.pipeline.model.resting}
        return {name: rate for name, rate in self._all_rates(self.epoch).items() if name in used}

    def _all_rates(self, epoch: int) -> dict[str, Rate]:
        """How all row tables are consumed after a number of epochs: as stated, or as validation has it, step by step."""
        stated = self.pipeline.rates()
        rates, schedule = stated, self.course.schedule(epoch)
        for number in range(2, epoch + 1) if schedule.rules.learned else ():
            shares = schedule.shares(number)
            asked = sum(rate.batch_size * shares[name] for name, rate in stated.items())
            scale = sum(rate.batch_size for rate in stated.values()) / asked
            batches = {name: max(1, round(rate.batch_size * shares[name] * scale)) for name, rate in stated.items()}
            rates = {name: rate.then(batches[name], number * self.steps_per_epoch) for name, rate in rates.items()}
        return rates

    def passes(self) -> dict[str, float]:
        """Row table -> passes over it, as far as it is known how many steps there will be."""
        schedule, found = self.course.schedule(self.epoch), dict.fromkeys(self.pipeline.rates(), 0.0)
        for epoch in range(schedule.epochs):
            resting, rates = schedule.resting(epoch), self._all_rates(min(epoch, self.epoch))
            for name in {spec.rows for task, spec in self.pipeline.plan.tasks.items() if task not in resting}:
                found[name] += self.steps_per_epoch / rates[name].steps
        return found

    def judged(self) -> dict[str, str]:
        """Task -> key of the figure by which validation judges it; empty where nothing is measured."""
        return {task: judge.key for task, judge in self.validation.judges.items()} if self.validation else {}

    def too_few(self) -> list[str]:
        """What to say of tables of which training does not see every row."""
        return [
            f"training sees {share:.0%} of the rows of {name}, in {self.steps} steps; raise rows.{name}.batch_size or "
            "train.epochs"
            for name, share in self.passes().items()
            if share < SEEN
        ]

    def restore(self) -> int:
        """Takes up the last good checkpoint, if there is one; returns the number of steps that are done.

        Raises:
            RunError: several workers have no checkpoint of the same step, or what it holds is of another model or not finite.
        """
        if self._checkpoints:
            self._checkpoints.restore()
            # A worker may have been stopped before it kept what the others did.
            common = least(self.step, self.pipeline.strategy)
            if common < self.step:
                self._checkpoints.restore(until=common)
            if least(-abs(self.step - common), self.pipeline.strategy) < 0:
                raise RunError(
                    f"the workers have no checkpoint of the same step: this one has {self.step}, another {common}; start "
                    "anew in another --run-dir"
                )
            self._check_finite()
            self.pipeline.model.rest(self.course.schedule(self.epoch).resting(self.epoch))
        return self.step

    def save(self) -> None:
        """Keeps a checkpoint.

        Raises:
            RunError: it could not be written, or the weights are not finite.
        """
        self._check_finite()
        if self._checkpoints:
            self._checkpoints.save(self.step)

    def _check_finite(self) -> None:
        if name := not_finite(self.pipeline.model):
            raise RunError(_diverged(f"the weights {name}", "are not finite", self.step, self))

    def fit(self, callbacks: Sequence[Any] = (), signals: Signals | None = None) -> None:
        """Trains the remaining steps, saving after each epoch and each minute.

        Args:
            callbacks: Keras callbacks. An epoch that is taken up in its middle begins and ends like any other, with
                `params["steps"]` that remain of it.
            signals: where a wish to stop comes from; it is met at the end of a compiled block, after saving.

        Raises:
            RunError: a loss is not finite, or a checkpoint could not be written.
            Interrupted: it was asked to stop.
        """
        signals = signals or Signals()
        if self.step == 0:
            callbacks = [_Moved(self), *callbacks]
        with signals.deferred():
            if rest := -self.step % self.steps_per_epoch:
                # Keras forgets the epoch's losses so far when it begins the rest of it.
                self._fit(self.epoch + 1, rest, [_Assign(self._losses()), *callbacks], signals)
            while self.step < self.steps:  # a change of the tasks that train ends a fit of Keras
                self._fit(self.epochs, self.steps_per_epoch, callbacks, signals)

    def _fit(self, until: int, steps: int, callbacks: Sequence[Any], signals: Signals) -> None:
        epochs = until - self.epoch
        rows = training_rows(
            self._all_rates(self.epoch),
            self.pipeline.recipe.seed,
            self.step,
            epochs * steps,
            self.pipeline.strategy,
            self.rates,
            *((STREAMED_AHEAD, feed.read) if (feed := self.pipeline.model.feed).streamed else (self.steps_per_call,)),
        )
        self.pipeline.model.fit(
            rows,
            epochs=until,
            initial_epoch=self.epoch,
            steps_per_epoch=steps,
            verbose=0,
            callbacks=[_Count(self), _EndOfEpoch(self, signals), *callbacks, _Keep(self, signals)],
        )

    def _losses(self) -> list[tuple[Any, np.ndarray]]:
        """The variables behind the epoch's mean losses, and their values."""
        return [(v, v.numpy()) for tracker in self.pipeline.model.trackers.values() for v in tracker.variables]


def _generators(model: keras.Model) -> list[tf.random.Generator]:
    """The generators of dropout layers, which Keras keeps out of checkpoints."""
    found = []
    for layer in model._flatten_layers():  # noqa: SLF001 - the public `layers` is not recursive
        random = getattr(layer, "_random_generator", None)
        if random is not None and random._rng_type == random.RNG_STATEFUL:  # noqa: SLF001 - Keras has no other way
            random._maybe_init()  # noqa: SLF001
            found.append(random._generator)  # noqa: SLF001
    return found


def _diverged(what: str, how: str, step: int, training: Training) -> str:
    epoch = (step - 1) // training.steps_per_epoch + 1
    return (
        f"{what} {how} at step {step} of {training.steps} (epoch {epoch}); try a smaller train.learning_rate, or "
        "train.clip_norm"
    )


class _Assign(keras.callbacks.Callback):
    """Gives variables back the values that they had before the first epoch began."""

    def __init__(self, values: Sequence[tuple[Any, np.ndarray]]) -> None:
        super().__init__()
        self.values = values

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        for variable, value in self.values:
            variable.assign(value)


class _Count(keras.callbacks.Callback):
    """Counts steps, and stops at the first block with a loss that is not finite."""

    def __init__(self, training: Training) -> None:
        super().__init__()
        self.training = training
        self._begin = 0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self._begin = self.training.step

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        self.training.step = self._begin + batch + 1
        if not np.isfinite([float(value) for value in (logs or {}).values()]).all():
            raise RunError(self._message())

    def _message(self) -> str:
        replicas = self.training.pipeline.strategy.num_replicas_in_sync
        since = {name: float(alarm.result()) for name, alarm in self.model.alarms.items()}
        # One replica may see it a step before the others.
        first = max(since.values())
        tasks = ", ".join(name for name, count in since.items() if count == first)
        step = self.training.step - int(np.ceil(first / replicas)) + 1
        return _diverged(f"the loss of task {tasks}", "is not finite", step, self.training)


class _EndOfEpoch(keras.callbacks.Callback):
    """Measures the tasks, puts their figures into the logs, and does what follows from them."""

    def __init__(self, training: Training, signals: Signals) -> None:
        super().__init__()
        self.training, self.signals = training, signals

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        training, before = self.training, (self.model.resting, self.training.rates)
        if training.validation is not None:
            begin = time.perf_counter()
            with self.signals.allowed():
                figures = training.validation.measured()
            training.validation_seconds = time.perf_counter() - begin
            training.course.judge(epoch + 1, figures)
            if logs is not None:
                logs |= {f"{VALIDATION}{key}": value for key, value in figures.items()}
        training.course.end(epoch + 1)
        if (self.model.resting, training.rates) != before or training.epoch == training.epochs:
            self.model.stop_training = True


class _Moved(keras.callbacks.Callback):
    """Says after the first epoch if the weights are where they were."""

    def __init__(self, training: Training) -> None:
        super().__init__()
        self.training, self.movement = training, Movement(training.pipeline.model)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        settings = self.training.pipeline.recipe.train
        of_all, of_first = (
            steps_at_full_rate(settings, steps) for steps in (self.training.steps, self.training.steps_per_epoch)
        )
        if epoch == 0 and (message := self.movement.warning(settings.most_epochs, of_all / of_first)):
            self.training.warn(message)


class _Keep(keras.callbacks.Callback):
    """Saves after each epoch, when the last checkpoint is old, and before it stops for a signal."""

    def __init__(self, training: Training, signals: Signals) -> None:
        super().__init__()
        self.training, self.signals = training, signals
        self._saved = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        if self.training.step % self.training.steps_per_epoch == 0:
            return  # the end of the epoch saves, once it is on record
        old = time.monotonic() - self._saved > self.training.save_seconds
        if old or self.signals.pending:
            self._save()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self._save()

    def _save(self) -> None:
        self.training.save()
        self.signals.raise_pending()
        self._saved = time.monotonic()


class EpochLog(keras.callbacks.Callback):
    """Hands each finished epoch's numbers to a function.

    Args:
        training: the fit.
        report: receives epoch (from 1), losses of the tasks that trained, figures of validation, and seconds and rows per
            second since the epoch began or was taken up.
    """

    def __init__(self, training: Training, report: Callable[[dict[str, float]], None]) -> None:
        super().__init__()
        self.training, self.report = training, report
        self._rows_per_step = 0.0
        self._resting: frozenset[str] = frozenset()
        self._begin = 0.0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Starts the clock."""
        self._begin = time.perf_counter()
        rates = self.training.rates
        self._rows_per_step = sum(self.training.pipeline.rows_of(rate, name) for name, rate in rates.items())
        self._resting = self.model.resting

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Reports the epoch."""
        seconds = time.perf_counter() - self._begin - self.training.validation_seconds
        rows = self._rows_per_step * self.params["steps"]
        numbers = {"epoch": float(epoch + 1), "seconds": seconds, "rows_per_second": rows / seconds}
        trackers = self.model.trackers
        idle = {trackers[task].name for task in self._resting}
        # What a correlation compares of tasks is not there where one of them has left.
        idle |= {of.name for name, of in trackers.items() if name not in self.model.heads and not of.count.numpy()}
        self.report(numbers | {name: float(value) for name, value in (logs or {}).items() if name not in idle})
