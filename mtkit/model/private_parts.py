"""What one task alone trains: the part of a model that can stand still without the others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mtkit.model.forward import Network
from mtkit.spec import prediction_of


def private_weights(model: Network, task: str) -> list[Any]:
    """The weights that no other task reads: of its head, its encoders and correlations, and its own in shared ones.

    A correlation's layer names those by `task_weights(number)`, the task being number `number` along its axis.
    """
    return list({id(weight): weight for weight in _weights(model, task)}.values())


def _weights(model: Network, task: str) -> Iterator[Any]:
    plan = model.plan
    if not any(task in map(prediction_of, (read.name for read in head.reads())) for head in plan.tasks.values()):
        yield from model.heads[task].weights
    for name, encoder in model.encoders.items():
        if plan.trained_by(name) == (task,):
            yield from encoder.weights
    for name, layers in model.correlations.items():
        for embedding, layer in layers.items():
            tasks = plan.tasks_of(name, embedding)
            if plan.readers(embedding) == (task,):
                yield from layer.weights
            elif task in tasks and hasattr(layer, "task_weights"):
                yield from layer.task_weights(tasks.index(task))
