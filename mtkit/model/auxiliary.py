"""Losses beside those of the tasks. Each has a name and a weight, and is shown among the losses of an epoch.

`ENCODER.penalty` is what rows cost an encoder (its weight is in its options), `CORRELATION.NAME` what a correlation compares, and
`layers.added` what layers add as Keras has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mtkit.backend import tf
from mtkit.feed.batch import Batch
from mtkit.model.forward import Forward, mean_share
from mtkit.recipe.plan import Plan
from mtkit.runtime.collectives import replicas

ADDED = "layers.added"


def auxiliary_losses(
    forward: Forward, batches: Mapping[str, Batch], tasks: Mapping[str, str], added: Sequence[tf.Tensor]
) -> dict[str, tf.Tensor]:
    """Name -> this replica's share of a loss beside those of the tasks, before it is weighted.

    Args:
        forward: the pass, in which the losses of the tasks were computed.
        batches: row table -> batch.
        tasks: task -> row table, of those that take part in the step.
        added: what layers add, as Keras collects it.
    """
    found = {f"{name}.penalty": share for name, share in forward.penalties().items()}
    for name, spec in forward.plan.correlations.items():
        if spec.auxiliary:
            found |= {f"{name}.{loss}": share for loss, share in _compared(forward, name, batches, tasks).items()}
    return found | ({ADDED: tf.add_n(list(added)) / replicas()} if added else {})


def weighted(plan: Plan, losses: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """The sum of what is minimized of auxiliary losses."""
    return sum((weight_of(plan, name) * loss for name, loss in losses.items()), start=tf.constant(0.0))


def weight_of(plan: Plan, name: str) -> float:
    """The weight of an auxiliary loss; 1 where its options have it."""
    component, _, loss = name.partition(".")
    return plan.correlations[component].auxiliary.get(loss, 1.0) if component in plan.correlations else 1.0


def penalized(encoders: Mapping[str, Any]) -> Iterator[str]:
    """Names of what rows cost encoders, of those that say it."""
    for name, layer in encoders.items():
        if hasattr(layer, "penalties") and getattr(layer, "penalizes", True):
            yield f"{name}.penalty"


def _compared(
    forward: Forward, correlation: str, batches: Mapping[str, Batch], tasks: Mapping[str, str]
) -> dict[str, tf.Tensor]:
    """The means over rows of what a correlation compares of the predictions of its tasks."""
    model, sums = forward.model, dict[str, list[tuple[tf.Tensor, tf.Tensor]]]()
    embedding = next(iter(model.correlations[correlation]))
    layer, its = model.correlations[correlation][embedding], forward.plan.tasks_of(correlation, embedding)
    for table in dict.fromkeys(tasks.values()):
        batch = batches[table]
        of_rows = [task for task in its if tasks.get(task) == table and forward.plan.tasks[task].predicts]
        predictions = {task: model.heads[task].handed_on(forward.task(task, batch)) for task in of_rows}
        for loss, values in layer.auxiliary(predictions).items():
            there = tf.ones_like(values) if batch.present is None else batch.present
            share = tf.reduce_sum(tf.where(there > 0, tf.cast(values, tf.float32), 0.0)), tf.reduce_sum(there)
            sums.setdefault(loss, []).append(share)
    return {loss: mean_share(of_tables) for loss, of_tables in sums.items()}
