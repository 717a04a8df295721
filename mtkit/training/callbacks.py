"""Metrics of a recipe while Keras fits its model."""

from __future__ import annotations

import math
from typing import Any

from mtkit.backend import keras
from mtkit.errors import nearest
from mtkit.model.assembly import Pipeline
from mtkit.model.model_evaluation import Evaluator
from mtkit.types import MetricKey


class EpochMetric(keras.callbacks.Callback):
    """Puts a metric of the pipeline's evaluation rows into the logs of an epoch, as `val_` and its key.

    It is exact, over the full catalog. Callbacks that read it, such as `EarlyStopping("val_next/ndcg@10", mode="max")`,
    come after it.

    Args:
        pipeline: what `mtkit.build` gave; its model is the one that is fitted.
        key: a metric of the recipe, as in `next/ndcg@10`; without slices by columns.
        every: epochs from one measurement to the next, the first epoch being measured; between them, the last value stays.

    Raises:
        ValueError: the recipe has no such metric.
    """

    def __init__(self, pipeline: Pipeline, key: str, every: int = 1) -> None:
        super().__init__()
        settings, tasks = pipeline.recipe.evaluate, pipeline.recipe.task
        known = [key for name, head in tasks.items() for key in settings.keys(name, head)]
        if key not in known:
            raise ValueError(f"no metric of the recipe has the key {key!r}; {nearest(key, known)}")
        self._key, self._every = key, every
        self._task = MetricKey.parse(key).task
        protocol = pipeline.protocol()
        ranks = self._task in pipeline.plan.rankings()
        protocols = {self._task: protocol.only(MetricKey.parse(key)) if ranks else protocol}
        self._evaluator = Evaluator(pipeline, protocols, settings.prediction_metrics)
        self._value: float | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measures, if it is time to, and writes into `logs`."""
        if self._value is None or epoch % self._every == 0:
            self._value = self._evaluator.measured().get(self._key, math.nan)
        if logs is not None:
            logs[f"val_{self._key}"] = self._value
