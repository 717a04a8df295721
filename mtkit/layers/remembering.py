"""Training steps that remember something from step to step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtkit.backend import keras, tf
from mtkit.layers.axes import Axis
from mtkit.layers.training_step import TrainingStep

#: Under this name steps draw; no task has it.
DRAWS = "[balance]"


class RememberingStep(TrainingStep):
    """A training step with weights that no gradient trains, so that checkpoints hold them.

    Args:
        tasks: names of the tasks.
        memory: what it remembers, by name, with its values before the first step.
    """

    def __init__(self, tasks: Sequence[str], memory: Mapping[str, Any], **options: Any) -> None:
        super().__init__(**options)
        self.tasks = tuple(tasks)
        self.kept = {name: self._variable(name, np.asarray(values)) for name, values in memory.items()}

    def _variable(self, name: str, values: np.ndarray) -> Any:
        # All replicas remember the same.
        return self.add_weight(
            name,
            values.shape,
            values.dtype,
            initializer=keras.initializers.Constant(values),
            trainable=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    def recalled(self) -> dict[str, tf.Tensor]:
        """What is remembered, by name."""
        return {name: tf.convert_to_tensor(variable) for name, variable in self.kept.items()}

    def keep(self, memory: Mapping[str, tf.Tensor]) -> None:
        """Remembers new values, unless one is not finite, as after a step in half precision that the optimizer leaves out."""
        if not memory:
            return
        floats = [values for values in memory.values() if values.dtype.is_floating]
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(values)) for values in floats])
        for name, values in memory.items():
            self.kept[name].assign(tf.where(finite, values, tf.convert_to_tensor(self.kept[name])))

    def of_all(self, values: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Scalars by task as one tensor `[tasks]`, 0 for tasks that are not there."""
        return tf.stack([tf.cast(values.get(task, 0.0), tf.float32) for task in self.tasks])

    def by_task(self, values: tf.Tensor) -> dict[str, tf.Tensor]:
        """The same the other way around."""
        return dict(zip(self.tasks, tf.unstack(values, len(self.tasks)), strict=True))

    def axes(self) -> list[Axis]:
        """The tasks, along what is remembered of each."""
        of_each = [variable for variable in self.kept.values() if variable.shape == (len(self.tasks),)]
        return [Axis(variable, 0, "task") for variable in of_each]
