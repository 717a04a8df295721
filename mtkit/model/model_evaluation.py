"""Exact evaluation of a model outside the training step: full-catalog rankings, and predictions."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from mtkit.backend import tf
from mtkit.errors import ModelWarning
from mtkit.evaluation.metrics import RankingProtocol
from mtkit.evaluation.user_sums import Measured
from mtkit.feed.batch import Batch
from mtkit.feed.interface import evaluation_of
from mtkit.heads.base import TaskPass
from mtkit.model.assembly import Pipeline
from mtkit.model.forward import Forward, encode_limited
from mtkit.model.multi_task import MultiTaskModel
from mtkit.model.non_finite import not_finite, warn_of_weights
from mtkit.spec import PredictionMetric, TaskHead

PREDICTION_BLOCKS = 4
"""Rows predicted at once, in blocks of the ranking protocol: a prediction is small beside a row of the catalog."""


def evaluate(
    pipeline: Pipeline,
    protocol: RankingProtocol | None = None,
    metrics: Mapping[str, PredictionMetric] | None = None,
    tasks: Collection[str] = (),
) -> Measured:
    """Metric key -> value on the pipeline's evaluation rows.

    Args:
        pipeline: the model and its rows.
        protocol: how rankings are judged; default: as the recipe says.
        metrics: name -> metric of predictions; default: those of the recipe.
        tasks: what is measured; empty = every task.

    Warns:
        ModelWarning: weights are not finite, or all 0, or predictions are not finite.
    """
    warn_of_weights(pipeline.model)
    protocol = pipeline.protocol() if protocol is None else protocol
    metrics = pipeline.recipe.evaluate.prediction_metrics if metrics is None else metrics
    asked = [task for task in pipeline.plan.tasks if not tasks or task in tasks]
    rows, measured = _Evaluation(pipeline, protocol, metrics, asked), Measured()
    for task in asked:
        measured |= pipeline.model.heads[task].evaluate(RowsToEvaluate(rows, task))
    return measured


def _of_rows(function: Callable[..., Any], given: Sequence[tf.TensorSpec] = ()) -> Any:
    """A function of row numbers and of what else is given, traced once, however many there are."""
    signature = [tf.TensorSpec([None], tf.int64), *given]
    return tf.function(function, input_signature=signature, autograph=False).get_concrete_function()


def _blocks(rows: int, size: int) -> list[np.ndarray]:
    """The numbers of all rows, at most `size` at once."""
    return [np.arange(begin, min(begin + size, rows)) for begin in range(0, rows, size)]


def _warn_of_predictions(model: MultiTaskModel, answers: Mapping[str, np.ndarray]) -> None:
    """Weights can be finite, and so large that what is computed of them is not; of others, all is said."""
    if not_finite(model):
        return
    for task, values in answers.items():
        if bad := np.count_nonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1)):
            message = (
                f"{bad:,} of {len(values):,} predictions of task {task} are not finite, so its metrics are undefined: training "
                "diverged; try a smaller train.learning_rate, or train.clip_norm"
            )
            warnings.warn(message, ModelWarning, stacklevel=2)


class _Evaluation:
    """What the tasks of one evaluation share."""

    def __init__(
        self,
        pipeline: Pipeline,
        protocol: RankingProtocol,
        metrics: Mapping[str, PredictionMetric],
        tasks: Sequence[str],
    ) -> None:
        self.pipeline, self.protocol, self.metrics, self.tasks = pipeline, protocol, metrics, tasks
        self.model: MultiTaskModel = pipeline.model
        self.encoded = tf.function(lambda: encode_limited(self.model), autograph=False)()
        self._answers: dict[str, np.ndarray] = {}

    def answers(self, task: str) -> np.ndarray:
        """What a task that predicts says of every row; with it, all on the same rows are asked."""
        if task not in self._answers:
            table = self.pipeline.plan.rows_of(task)
            predicting = self.pipeline.plan.predictions()
            beside = [name for name in self.tasks if name in predicting and predicting[name].evaluated_on == table]
            found = self._answers_on(table, list(dict.fromkeys((*beside, task))))
            _warn_of_predictions(self.model, found)
            self._answers |= found
        return self._answers[task]

    def _answers_on(self, table: str, tasks: Sequence[str]) -> dict[str, np.ndarray]:
        name = evaluation_of(table)

        @_of_rows
        def answers(numbers: tf.Tensor) -> dict[str, tf.Tensor]:
            batch = self.model.feed.batch(name, numbers)
            forward = Forward(self.model, encoded=self.encoded)
            return {task: self.model.heads[task].answers(forward.task(task, batch)) for task in tasks}

        blocks = _blocks(self.model.feed.size(name), self.protocol.block * PREDICTION_BLOCKS)
        found = [answers(tf.constant(numbers, tf.int64)) for numbers in blocks]
        return {task: np.concatenate([block[task].numpy() for block in found]) for task in tasks}


class RowsToEvaluate:
    """The evaluation rows of one task: a `mtkit.heads.TaskEvaluation`."""

    def __init__(self, evaluation: _Evaluation, task: str) -> None:
        pipeline = evaluation.pipeline
        self._evaluation, self.name = evaluation, task
        self.spec: TaskHead = pipeline.plan.tasks[task]
        self.table = pipeline.tables[self.spec.evaluated_on]["eval"].weighed(self.spec.scales)
        self.protocol, self.metrics = evaluation.protocol, evaluation.metrics
        self.slices = evaluation.protocol.of_rows(self.table)
        self.block = pipeline.recipe.rows[self.spec.evaluated_on].batch_size

    def answers(self) -> np.ndarray:
        """What `Head.answers` gives for every row."""
        return self._evaluation.answers(self.name)

    def whole(self, function: Callable[[TaskPass], Any]) -> Any:
        """A function of what does not depend on rows, traced and called once."""
        model, encoded = self._evaluation.model, self._evaluation.encoded

        def called() -> Any:
            return function(Forward(model, encoded=encoded).task(self.name, Batch({})))

        return tf.function(called, autograph=False)()

    def of_rows(
        self, function: Callable[..., Any], *, training_rows: bool = False, given: Sequence[tf.TensorSpec] = ()
    ) -> Callable[..., Any]:
        """A function of a pass as one of row numbers int64 `[n]`, traced once, however many there are."""
        model, encoded, name = self._evaluation.model, self._evaluation.encoded, self._rows(training_rows)

        def called(numbers: tf.Tensor, *more: tf.Tensor) -> Any:
            forward = Forward(model, whole=frozenset(), encoded=encoded)
            return function(forward.task(self.name, model.feed.batch(name, numbers)), *more)

        traced = _of_rows(called, given)
        return lambda numbers, *more: traced(tf.constant(numbers, tf.int64), *map(tf.constant, more))

    def blocks(self, *, training_rows: bool = False) -> Sequence[np.ndarray]:
        """The numbers of all rows, `block` at most at once."""
        return _blocks(self._evaluation.model.feed.size(self._rows(training_rows)), self.block)

    def _rows(self, training_rows: bool) -> str:
        return self.spec.rows if training_rows else evaluation_of(self.spec.evaluated_on)
