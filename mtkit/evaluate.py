"""Exact evaluation outside the training step: full-catalog rankings and predictions, slice by slice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mtkit.backend import tf
from mtkit.data.store import RowStore
from mtkit.model import Forward, MultiTaskModel
from mtkit.rank import rank, user_shares
from mtkit.spec import PredictionMetric, PredictionTask, RankingMetric
from mtkit.types import Fold, LabeledRows, Ragged, RowTable

if TYPE_CHECKING:
    from mtkit.pipeline import Pipeline
    from mtkit.sections import Evaluate

Scorer = Callable[[np.ndarray], np.ndarray]
"""From row numbers `[rows]` to scores of the catalog `[rows, items]`."""

PREDICTION_BLOCKS = 4
"""Rows predicted at once, in blocks of the ranking protocol: a prediction is small beside a row of the catalog."""

SLICES = ("new",)
"""Slices of a retrieval task beside all items: `new` = items that are not in the row's own past."""


@dataclass(frozen=True)
class RankingProtocol:
    """How rankings are judged.

    Attributes:
        metrics: name -> metric.
        k: cutoffs.
        slices: slices beside all items.
        block: rows that are scored at once; bounds the memory.
        shares: float64 `[items]`, the share of users who have had each item before the cut; None = not known.
    """

    metrics: Mapping[str, RankingMetric]
    k: Sequence[int]
    slices: Sequence[str]
    block: int
    shares: np.ndarray | None = None

    @classmethod
    def of(cls, settings: Evaluate, fold: Fold) -> RankingProtocol:
        """The protocol of a recipe's section on a fold."""
        item = list(fold.events.ids)[1]
        shares = user_shares(fold.events, fold.cut, len(fold.entities[item]))
        return cls(settings.metrics, settings.k, settings.slices, settings.block, shares)

    def only(self, key: str) -> RankingProtocol:
        """The protocol that measures nothing but `task/[slice/]metric@k`."""
        *slices, metric = key.split("/")[1:]
        name, _, k = metric.partition("@")
        return RankingProtocol({name: self.metrics[name]}, [int(k)], slices, self.block, self.shares)


def rank_metrics(task: str, score: Scorer, table: RowTable, protocol: RankingProtocol) -> dict[str, float]:
    """`task/[slice/]metric@k` -> value, for a scorer of the table's rows.

    Rows without relevant candidates in a slice do not count in that slice.
    """
    assert table.targets is not None
    values = {}
    for name, excluded in _slices(table, protocol.slices).items():
        ranking, _ = rank(score, table.targets, max(protocol.k), excluded, protocol.block, shares=protocol.shares)
        for metric_name, metric in protocol.metrics.items():
            for k in protocol.k:
                values[f"{task}/{name}{metric_name}@{k}"] = metric.value(ranking, k)
    return values


def _slices(table: RowTable, names: Iterable[str]) -> dict[str, Ragged | None]:
    slices: dict[str, Ragged | None] = {"": None}
    for name in names:
        assert name in SLICES
        assert table.own is not None
        slices[f"{name}/"] = Ragged(table.own.offsets, {"item": table.own.values["id"]})
    return slices


def predict_metrics(
    task: str, predictions: np.ndarray, rows: LabeledRows, metrics: Mapping[str, PredictionMetric]
) -> dict[str, float]:
    """`task/metric` -> value, over rows of positive weight, for the metrics that fit the label."""
    form = "binary" if rows.classes == 2 else "classes"
    there = rows.weights > 0
    return {
        f"{task}/{name}": metric.value(rows.labels[there], predictions[there], rows.weights[there])
        for name, metric in metrics.items()
        if form in metric.labels
    }


def labeled(table: RowTable, label: str, columns: Mapping[str, np.ndarray] | None = None) -> LabeledRows:
    """The table's rows with one label, and raw columns for baselines that read them."""
    classes = max(2, len(table.classes.get(label, ())))
    return LabeledRows(columns or {}, table.labels[label], table.weights[label], classes)


def _of_rows(function: Callable[[tf.Tensor], Any]) -> Any:
    """A function of row numbers, traced once, however many there are."""
    signature = [tf.TensorSpec([None], tf.int64)]
    return tf.function(function, input_signature=signature, autograph=False).get_concrete_function()


def model_scorer(model: MultiTaskModel, task: str, rows: RowStore) -> Scorer:
    """Scores of the catalog by a retrieval task; the candidates are embedded once."""
    candidates = tf.function(lambda: Forward(model).catalog(task), autograph=False)()

    @_of_rows
    def score(numbers: tf.Tensor) -> tf.Tensor:
        batch = rows.gather(numbers)
        query = Forward(model, whole=frozenset()).query(task, batch)
        return model.heads[task].score(query, candidates, batch)

    return lambda numbers: np.array(score(tf.constant(numbers, tf.int64)))


def model_predictions(model: MultiTaskModel, tasks: Sequence[str], rows: RowStore, block: int) -> dict[str, np.ndarray]:
    """Task -> probabilities of every row, `[rows]` or `[rows, classes]`."""

    @_of_rows
    def predict(numbers: tf.Tensor) -> dict[str, tf.Tensor]:
        batch = rows.gather(numbers)
        forward = Forward(model)
        return {task: forward.prediction(task, batch) for task in tasks}

    blocks = [
        predict(tf.range(begin, min(begin + block, rows.rows), dtype=tf.int64)) for begin in range(0, rows.rows, block)
    ]
    return {task: np.concatenate([part[task].numpy() for part in blocks]) for task in tasks}


def evaluate(
    pipeline: Pipeline,
    protocol: RankingProtocol | None = None,
    metrics: Mapping[str, PredictionMetric] | None = None,
) -> dict[str, float]:
    """Metric key -> value of every task on the pipeline's evaluation rows.

    Args:
        pipeline: the model and its rows.
        protocol: how rankings are judged; default: as the recipe says.
        metrics: name -> metric of predictions; default: those of the recipe.
    """
    settings = pipeline.recipe.evaluate
    protocol = RankingProtocol.of(settings, pipeline.fold) if protocol is None else protocol
    metrics = settings.prediction_metrics if metrics is None else metrics
    model, plan, values = pipeline.model, pipeline.plan, dict[str, float]()
    predicted = _all_predictions(pipeline, protocol.block * PREDICTION_BLOCKS)
    for task, spec in plan.tasks.items():
        name = plan.rows_of(task)
        table = pipeline.tables[name]["eval"]
        if isinstance(spec, PredictionTask):
            values |= predict_metrics(task, predicted[task], labeled(table, spec.label), metrics)
        else:
            values |= rank_metrics(task, model_scorer(model, task, pipeline.eval_rows[name]), table, protocol)
    return values


def _all_predictions(pipeline: Pipeline, block: int) -> dict[str, np.ndarray]:
    """Probabilities of all prediction tasks; tasks on the same rows share one pass."""
    tasks = pipeline.plan.predictions()
    predicted: dict[str, np.ndarray] = {}
    for name in dict.fromkeys(spec.rows for spec in tasks.values()):
        here = [task for task, spec in tasks.items() if spec.rows == name]
        predicted |= model_predictions(pipeline.model, here, pipeline.eval_rows[name], block)
    return predicted
