"""What one task alone trains: the part of a model that can stand still without the others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mtkit.model.forward import Network
from mtkit.spec import prediction_of


def private_weights(model: Network, task: str) -> list[Any]:
    """The weights that no other task trains: of its head, and of the encoders and correlations that it alone reads.

    Of a correlation that several tasks read, all weights are shared, experts and gates of one task among them.
    """
    return list({id(weight): weight for weight in _weights(model, task)}.values())


def _weights(model: Network, task: str) -> Iterator[Any]:
    plan = model.plan
    if not any(task in map(prediction_of, (read.name for read in head.reads())) for head in plan.tasks.values()):
        yield from model.heads[task].weights
    for name, encoder in model.encoders.items():
        if plan.trained_by(name) == (task,):
            yield from encoder.weights
    for layers in model.correlations.values():
        for embedding, layer in layers.items():
            if plan.readers(embedding) == (task,):
                yield from layer.weights
