"""What `baselines = "auto"` stands for: baselines that fit the tasks, by declarations alone."""

from __future__ import annotations

from collections.abc import Iterable

from mtkit.schema import Schema
from mtkit.spec import TaskHead

#: What everybody gets, ever and lately; what the user comes back to; items that go with the user's, by neighbors, by
#: a linear model (which does not apply to large catalogs), and by factors (which do).
RETRIEVAL = ("popularity", "recency_popularity", "fading_popularity", "own_recency", "item_knn", "ease", "ials")
#: What is learned without features, and from features together.
PREDICTION = ("majority", "gradient_boosting")
#: What each feature alone tells of a number, and of a class, and what the words of texts do.
NUMBERS, CLASSES, TEXT = ("ridge",), ("logistic_regression",), ("bag_of_words",)


#: `evaluate.baseline_budget` where the baselines are those of `"auto"`, seconds.
BUDGET = 300.0


def auto_baselines(tasks: Iterable[TaskHead], schema: Schema | None) -> tuple[str, ...]:
    """Names of baselines for some tasks on data with this schema (None: not known, so no texts)."""
    tasks = list(tasks)
    names: tuple[str, ...] = ()
    if any(task.baseline_form == "retrieval" for task in tasks):
        names += RETRIEVAL
    predictions = [task for task in tasks if task.baseline_form == "prediction"]
    if predictions:
        names += PREDICTION
    if any(task.numeric for task in predictions):
        names += NUMBERS
    if not all(task.numeric for task in predictions):
        names += CLASSES
        if schema and any(schema.of_kind("text", entity) for entity in schema.entities):
            names += TEXT
    return names
