"""Exact evaluation of a model outside the training step: full-catalog rankings, and predictions."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from mtkit.backend import tf
from mtkit.errors import ModelWarning
from mtkit.evaluation.metrics import RankingProtocol
from mtkit.evaluation.user_sums import Measured
from mtkit.feed.batch import Batch
from mtkit.feed.interface import evaluation_of
from mtkit.heads.base import TaskPass, Tensors
from mtkit.heads.retrieval import RetrievalHead
from mtkit.model.assembly import Pipeline
from mtkit.model.forward import Forward, encode_limited
from mtkit.model.multi_task import MultiTaskModel
from mtkit.model.non_finite import not_finite, warn_of_weights
from mtkit.spec import PredictionMetric, TaskHead
from mtkit.types import Watch, unwatched

PREDICTION_BLOCKS = 4
"""Rows predicted at once, in blocks of the ranking protocol: a prediction is small beside a row of the catalog."""


def evaluate(
    pipeline: Pipeline,
    protocol: RankingProtocol | None = None,
    metrics: Mapping[str, PredictionMetric] | None = None,
    tasks: Collection[str] = (),
    answers: dict[str, np.ndarray] | None = None,
    watch: Watch = unwatched,
) -> Measured:
    """Metric key -> value on the pipeline's evaluation rows.

    Args:
        pipeline: the model and its rows.
        protocol: how rankings are judged; default: as the recipe says.
        metrics: name -> metric of predictions; default: those of the recipe.
        tasks: what is measured; empty = every task.
        answers: receives task -> what its head answers for each row, of tasks that predict a label.
        watch: shows how many tasks are done.

    Warns:
        ModelWarning: weights are not finite, or all 0, or predictions are not finite.
    """
    warn_of_weights(pipeline.model)
    protocol = pipeline.protocol() if protocol is None else protocol
    metrics = pipeline.recipe.evaluate.prediction_metrics if metrics is None else metrics
    asked = [task for task in pipeline.plan.tasks if not tasks or task in tasks]
    with watch("evaluation, tasks", len(asked)) as advance:
        return Evaluator(pipeline, dict.fromkeys(asked, protocol), metrics).measured(answers, advance)


def item_vectors(pipeline: Pipeline, task: str) -> np.ndarray:
    """What the items of a retrieval task are like, as its head has them, float32 `[items, n]`."""
    evaluator = Evaluator(pipeline, {task: pipeline.protocol()}, {})
    head: RetrievalHead = pipeline.model.heads[task]
    return np.asarray(evaluator.whole(task, lambda rows: head.alike(head.catalog(rows))))


class Evaluator:
    """Measures the model of a pipeline as it is, as often as it is asked; what is traced serves all times.

    Args:
        pipeline: the model and its rows.
        protocols: task -> how its rankings are judged, for the tasks that are measured.
        metrics: name -> metric of predictions.
        sample: at most this many rows of a table are looked at, evenly spread over it; None = all.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        protocols: Mapping[str, RankingProtocol],
        metrics: Mapping[str, PredictionMetric],
        sample: int | None = None,
    ) -> None:
        self.pipeline, self.protocols, self.metrics, self.sample = pipeline, protocols, metrics, sample
        self.model: MultiTaskModel = pipeline.model
        self.encoded: dict[str, tf.Tensor] = {}
        self._answers: dict[str, np.ndarray] = {}
        self._traced: dict[Any, Any] = {}

    @cached_property
    def _encode(self) -> Any:
        # Concrete, as what `traced` makes: TensorFlow warns of a function that many evaluators make.
        return tf.function(lambda: encode_limited(self.model), autograph=False).get_concrete_function()

    def measured(
        self, answers: dict[str, np.ndarray] | None = None, advance: Callable[[int], None] | None = None
    ) -> Measured:
        """Metric key -> value of all tasks.

        Args:
            answers: receives task -> what its head answers for the rows, of those that predict.
            advance: is told of each task that is measured.
        """
        self.encoded, self._answers = self._encode(), {} if answers is None else answers
        measured = Measured()
        for task in self.protocols:
            measured |= self.model.heads[task].evaluate(RowsToEvaluate(self, task))
            if advance:
                advance(1)
        return measured

    def whole(self, task: str, function: Callable[[TaskPass], Any]) -> Any:
        """A function of what does not depend on rows, for a model as it is now."""
        self.encoded = self._encode()
        return RowsToEvaluate(self, task).whole(function)

    def rows(self, table: str) -> np.ndarray:
        """The numbers of the evaluation rows of a table that are looked at, int64, ascending."""
        size = self.model.feed.size(evaluation_of(table))
        if self.sample is None or size <= self.sample:
            return np.arange(size)
        return np.unique(np.linspace(0, size - 1, self.sample).astype(np.int64))

    def answers(self, task: str) -> np.ndarray:
        """What a task that predicts says of every row; with it, all on the same rows are asked."""
        if task not in self._answers:
            table = self.pipeline.plan.rows_of(task)
            predicting = self.pipeline.plan.predictions()
            beside = [name for name in self.protocols if name in predicting and predicting[name].evaluated_on == table]
            found = self._answers_on(table, tuple(dict.fromkeys((*beside, task))))
            _warn_of_predictions(self.model, found)
            self._answers |= found
        return self._answers[task]

    def _answers_on(self, table: str, tasks: tuple[str, ...]) -> dict[str, np.ndarray]:
        name = evaluation_of(table)

        def answers(numbers: tf.Tensor, encoded: Tensors) -> dict[str, tf.Tensor]:
            batch, forward = self.model.feed.batch(name, numbers), Forward(self.model, encoded=encoded)
            return {task: self.model.heads[task].answers(forward.task(task, batch)) for task in tasks}

        traced = self.traced((table, tasks), answers)
        size = self.protocols[tasks[0]].block * PREDICTION_BLOCKS
        found = [traced(tf.constant(numbers, tf.int64), self.encoded) for numbers in _blocks(self.rows(table), size)]
        return {task: np.concatenate([block[task].numpy() for block in found]) for task in tasks}

    def traced(self, key: Any, function: Callable[..., Any], given: Sequence[tf.TensorSpec] = ()) -> Any:
        """A function of row numbers, `encoded` and what else is given; traced once for a key, however many rows there are."""
        if key not in self._traced:
            encoded = {name: tf.TensorSpec.from_tensor(tensor) for name, tensor in self.encoded.items()}
            signature = [tf.TensorSpec([None], tf.int64), encoded, *given]
            # Concrete, for TensorFlow warns of functions that are made in a loop, and there is one for each task.
            made = tf.function(function, input_signature=signature, autograph=False)
            self._traced[key] = made.get_concrete_function()
        return self._traced[key]


def _blocks(numbers: np.ndarray, size: int) -> list[np.ndarray]:
    """At most `size` of the numbers at once."""
    return [numbers[begin : begin + size] for begin in range(0, len(numbers), size)]


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


class RowsToEvaluate:
    """The evaluation rows of one task: a `mtkit.heads.TaskEvaluation`."""

    def __init__(self, evaluator: Evaluator, task: str) -> None:
        pipeline = evaluator.pipeline
        self._evaluator, self.name = evaluator, task
        self.spec: TaskHead = pipeline.plan.tasks[task]
        self._numbers = evaluator.rows(self.spec.evaluated_on)
        table = pipeline.tables[self.spec.evaluated_on]["eval"].weighed(self.spec.scales)
        self.table = table if len(self._numbers) == len(table) else table.take(self._numbers)
        self.protocol, self.metrics = evaluator.protocols[task], evaluator.metrics
        self.slices = self.protocol.of_rows(self.table)
        self.block = pipeline.rates()[self.spec.rows].batch_size

    def answers(self) -> np.ndarray:
        """What `Head.answers` gives for every row."""
        return self._evaluator.answers(self.name)

    def whole(self, function: Callable[[TaskPass], Any]) -> Any:
        """A function of what does not depend on rows, called once."""
        model, name = self._evaluator.model, self.name

        def called(rows: tf.Tensor, encoded: Tensors) -> Any:  # noqa: ARG001 - one signature serves all
            return function(Forward(model, encoded=encoded).task(name, Batch({})))

        traced = self._evaluator.traced((name, function), called)
        return traced(tf.zeros([0], tf.int64), self._evaluator.encoded)

    def of_rows(
        self, function: Callable[..., Any], *, training_rows: bool = False, given: Sequence[tf.TensorSpec] = ()
    ) -> Callable[..., Any]:
        """A function of a pass as one of row numbers int64 `[n]`, traced once, however many there are."""
        model, task = self._evaluator.model, self.name
        table = self.spec.rows if training_rows else evaluation_of(self.spec.evaluated_on)

        def called(numbers: tf.Tensor, encoded: Tensors, *more: tf.Tensor) -> Any:
            forward = Forward(model, whole=frozenset(), encoded=encoded)
            return function(forward.task(task, model.feed.batch(table, numbers)), *more)

        traced = self._evaluator.traced((task, training_rows, function), called, given)

        def of(numbers: np.ndarray, *more: Any) -> Any:
            rows = numbers if training_rows else self._numbers[numbers]
            return traced(tf.constant(rows, tf.int64), self._evaluator.encoded, *map(tf.convert_to_tensor, more))

        return of

    def blocks(self, *, training_rows: bool = False) -> Sequence[np.ndarray]:
        """The numbers of all rows, `block` at most at once."""
        size = self._evaluator.model.feed.size(self.spec.rows) if training_rows else len(self._numbers)
        return _blocks(np.arange(size), self.block)
