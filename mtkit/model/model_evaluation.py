"""Exact evaluation of a model outside the training step: full-catalog rankings, and predictions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mtkit.backend import tf
from mtkit.evaluation.metrics import RankingProtocol, Scorer, labeled, own_metrics, predict_metrics, rank_metrics
from mtkit.evaluation.user_sums import MODEL, Measured
from mtkit.feed.device_tables import RowStore
from mtkit.model.forward import Forward, encode_limited
from mtkit.model.multi_task import MultiTaskModel
from mtkit.spec import PredictionMetric, PredictionTask, SelfSupervisedTask

if TYPE_CHECKING:
    from mtkit.model.assembly import Pipeline

PREDICTION_BLOCKS = 4
"""Rows predicted at once, in blocks of the ranking protocol: a prediction is small beside a row of the catalog."""


def _of_rows(function: Callable[[tf.Tensor], Any]) -> Any:
    """A function of row numbers, traced once, however many there are."""
    signature = [tf.TensorSpec([None], tf.int64)]
    return tf.function(function, input_signature=signature, autograph=False).get_concrete_function()


def model_scorer(
    model: MultiTaskModel, task: str, rows: RowStore, encoded: Mapping[str, tf.Tensor] | None = None
) -> Scorer:
    """Scores of the catalog by a retrieval task; the candidates are embedded once.

    Args:
        model: the model.
        task: the retrieval task.
        rows: whose catalogs are scored.
        encoded: encoder -> outputs for all rows of its entity, where they are known.
    """
    candidates = tf.function(lambda: Forward(model, encoded=encoded).catalog(task), autograph=False)()

    @_of_rows
    def score(numbers: tf.Tensor) -> tf.Tensor:
        batch = rows.gather(numbers)
        query = Forward(model, whole=frozenset(), encoded=encoded).query(task, batch)
        return model.heads[task].score(query, candidates, batch)

    return lambda numbers: np.array(score(tf.constant(numbers, tf.int64)))


def model_predictions(
    model: MultiTaskModel,
    tasks: Sequence[str],
    rows: RowStore,
    block: int,
    encoded: Mapping[str, tf.Tensor] | None = None,
) -> dict[str, np.ndarray]:
    """Task -> probabilities of every row, `[rows]` or `[rows, classes]`.

    Args:
        model: the model.
        tasks: prediction tasks on the same rows.
        rows: what is predicted.
        block: rows predicted at once.
        encoded: as for `model_scorer`.
    """

    @_of_rows
    def predict(numbers: tf.Tensor) -> dict[str, tf.Tensor]:
        batch = rows.gather(numbers)
        forward = Forward(model, encoded=encoded)
        return {task: forward.prediction(task, batch) for task in tasks}

    blocks = [predict(numbers) for numbers in _blocks(rows, block)]
    return {task: np.concatenate([part[task].numpy() for part in blocks]) for task in tasks}


def model_means(
    model: MultiTaskModel, task: str, rows: RowStore, block: int
) -> dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """What a self-supervised task measures: metric -> values and weights, float64 `[rows]`, of `model` and of baselines.

    Args:
        model: the model.
        task: the self-supervised task.
        rows: what is measured.
        block: rows measured at once.
    """
    head, train = model.heads[task], model.data.rows[model.plan.tasks[task].rows]

    @_of_rows
    def observe(numbers: tf.Tensor) -> tf.Tensor:
        features, _, encoder = Forward(model).read(task, train.gather(numbers))
        return head.observe(features, encoder)

    observed = tf.add_n([observe(numbers) for numbers in _blocks(train, block)])

    @_of_rows
    def measure(numbers: tf.Tensor) -> Any:
        return head.measure(*Forward(model).read(task, rows.gather(numbers)), observed)

    parts = [tf.nest.map_structure(lambda t: t.numpy(), measure(numbers)) for numbers in _blocks(rows, block)]
    means: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = tf.nest.map_structure(
        lambda *arrays: np.concatenate(arrays).astype(np.float64), *parts
    )
    return means


def _blocks(rows: RowStore, size: int) -> list[tf.Tensor]:
    """The numbers of all rows, at most `size` at once."""
    return [tf.range(begin, min(begin + size, rows.rows), dtype=tf.int64) for begin in range(0, rows.rows, size)]


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
    """
    settings = pipeline.recipe.evaluate
    protocol = pipeline.protocol() if protocol is None else protocol
    metrics = settings.prediction_metrics if metrics is None else metrics
    model, plan, values = pipeline.model, pipeline.plan, Measured()
    encoded = tf.function(lambda: encode_limited(model), autograph=False)()
    asked = {task: spec for task, spec in plan.tasks.items() if not tasks or task in tasks}
    predicting = {task: spec for task, spec in asked.items() if isinstance(spec, PredictionTask)}
    predicted = _all_predictions(pipeline, predicting, protocol.block * PREDICTION_BLOCKS, encoded)
    for task, spec in asked.items():
        name = plan.rows_of(task)
        table = pipeline.tables[name]["eval"]
        if isinstance(spec, PredictionTask):
            rows = labeled(table, spec.label, numeric=spec.numeric)
            values |= predict_metrics(task, predicted[task], rows, metrics, protocol.of_rows(table))
        elif isinstance(spec, SelfSupervisedTask):
            values |= _self_measured(pipeline, task, spec, protocol.of_rows(table))
        else:
            scorer = model_scorer(model, task, pipeline.eval_rows[name], encoded)
            values |= rank_metrics(task, scorer, table, protocol)
    return values


def _self_measured(
    pipeline: Pipeline, task: str, spec: SelfSupervisedTask, slices: Mapping[str, np.ndarray]
) -> Measured:
    """The metrics of a self-supervised task, and of its baselines beside them, in blocks as large as training's."""
    table, block = pipeline.tables[spec.rows]["eval"], pipeline.recipe.rows[spec.rows].batch_size
    means = model_means(pipeline.model, task, pipeline.eval_rows[spec.rows], block)
    measured = {name: own_metrics(task, spec, of, table, slices) for name, of in means.items()}
    found = measured.pop(MODEL)
    found.beside = measured
    return found


def _all_predictions(
    pipeline: Pipeline, tasks: Mapping[str, PredictionTask], block: int, encoded: Mapping[str, tf.Tensor]
) -> dict[str, np.ndarray]:
    """Predictions of several tasks; those on the same rows share one pass."""
    predicted: dict[str, np.ndarray] = {}
    for name in dict.fromkeys(spec.rows for spec in tasks.values()):
        here = [task for task, spec in tasks.items() if spec.rows == name]
        predicted |= model_predictions(pipeline.model, here, pipeline.eval_rows[name], block, encoded)
    return predicted
