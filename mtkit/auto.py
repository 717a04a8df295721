"""What `baselines = "auto"` stands for: baselines that fit the tasks, by declarations alone."""

from __future__ import annotations

from collections.abc import Iterable

from mtkit.schema import Schema
from mtkit.spec import PredictionTask, RetrievalTask, TaskHead

#: What everybody gets, ever and lately; what the user comes back to; items that go with the user's, by neighbors, by
#: a linear model (which does not apply to large catalogs), and by factors (which do).
RETRIEVAL = ("popularity", "recency_popularity", "own_recency", "item_knn", "ease", "ials")
#: What is learned without features, from each feature alone, and from features together.
PREDICTION = ("majority", "logistic_regression", "gradient_boosting")
#: What the words of texts tell.
TEXT = ("bag_of_words",)


def auto_baselines(tasks: Iterable[TaskHead], schema: Schema | None) -> tuple[str, ...]:
    """Names of baselines for some tasks on data with this schema (None: not known, so no texts)."""
    tasks = list(tasks)
    names: tuple[str, ...] = ()
    if any(isinstance(task, RetrievalTask) for task in tasks):
        names += RETRIEVAL
    if any(isinstance(task, PredictionTask) for task in tasks):
        names += PREDICTION
        if schema and any(schema.of_kind("text", entity) for entity in schema.entities):
            names += TEXT
    return names
