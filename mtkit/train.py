"""Training of a pipeline: optimizer, steps, checkpoints, progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mtkit.backend import keras, tf
from mtkit.build import Pipeline
from mtkit.data.stream import Rate, training_rows
from mtkit.optimizers import make_optimizer


def rates(pipeline: Pipeline) -> dict[str, Rate]:
    """How each row table that a task trains on is consumed."""
    used = {spec.rows for spec in pipeline.plan.tasks.values()}
    return {
        name: Rate(pipeline.model.data.rows[name].rows, spec.batch_size)
        for name, spec in pipeline.recipe.rows.items()
        if name in used
    }


class Training:
    """A fit of a pipeline that can be taken up again at the last full epoch.

    Args:
        pipeline: what to train.
        checkpoints: directory of the checkpoints, of which the last two are kept; None = keep none.
    """

    def __init__(self, pipeline: Pipeline, checkpoints: Path | None = None) -> None:
        self.pipeline = pipeline
        settings = pipeline.recipe.train
        self.rates = rates(pipeline)
        self.steps_per_epoch = self.rates[settings.epoch_of].steps
        self.steps = self.steps_per_epoch * settings.epochs
        model = pipeline.model
        with pipeline.strategy.scope():
            model.compile(
                make_optimizer(settings, self.steps),
                steps_per_execution=min(settings.steps_per_execution, self.steps_per_epoch),
                jit_compile=settings.jit_compile,
            )
            model.optimizer.build(model.trainable_variables)
            checkpoint = tf.train.Checkpoint(model=model, optimizer=model.optimizer)
        self.manager = checkpoints and tf.train.CheckpointManager(
            checkpoint, str(checkpoints), max_to_keep=2, checkpoint_name="epoch"
        )

    @property
    def epoch(self) -> int:
        """Epochs that are complete."""
        return int(self.pipeline.model.optimizer.iterations.numpy()) // self.steps_per_epoch

    def restore(self) -> int:
        """Takes up the last checkpoint, if there is one; returns the number of complete epochs."""
        if self.manager:
            self.manager.restore_or_initialize()
        return self.epoch

    def fit(self, callbacks: Sequence[Any] = ()) -> None:
        """Trains the remaining epochs, saving after each."""
        settings = self.pipeline.recipe.train
        first = self.epoch * self.steps_per_epoch
        seed = self.pipeline.recipe.seed
        rows = training_rows(self.rates, seed, first, self.steps - first, self.pipeline.strategy)
        self.pipeline.model.fit(
            rows,
            epochs=settings.epochs,
            initial_epoch=self.epoch,
            steps_per_epoch=self.steps_per_epoch,
            verbose=0,
            callbacks=[*([_SaveEpochs(self.manager)] if self.manager else []), *callbacks],
        )


class _SaveEpochs(keras.callbacks.Callback):
    def __init__(self, manager: tf.train.CheckpointManager) -> None:
        super().__init__()
        self.manager = manager

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self.manager.save(checkpoint_number=epoch + 1)


class EpochLog(keras.callbacks.Callback):
    """Hands each finished epoch's numbers to a function.

    Args:
        rows_per_step: rows that a step sees over all tables.
        report: receives epoch (from 1), losses, seconds and rows per second.
    """

    def __init__(self, rows_per_step: int, report: Callable[[dict[str, float]], None]) -> None:
        super().__init__()
        self.rows_per_step, self.report = rows_per_step, report
        self._begin = 0.0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Starts the clock."""
        self._begin = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Reports the epoch."""
        seconds = time.perf_counter() - self._begin
        rows = self.rows_per_step * self.params["steps"]
        numbers = {"epoch": float(epoch + 1), "seconds": seconds, "rows_per_second": rows / seconds}
        self.report(numbers | {name: float(value) for name, value in (logs or {}).items()})
