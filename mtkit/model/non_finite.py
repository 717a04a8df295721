"""Numbers that are none: an alarm that stays on, and the weights of a model."""

from __future__ import annotations

import warnings
from typing import Any

from mtkit.backend import keras, tf
from mtkit.errors import ModelWarning


@keras.saving.register_keras_serializable(package="mtkit")
class StepsSinceNonFinite(keras.metrics.Metric):
    """Counts steps from the first one whose value was nan or infinite, that one included; 0 while all were finite.

    Where several steps run in one compiled block, the count tells afterwards which of them was the first, and for
    which of several values: one step later everything is nan.
    """

    def __init__(self, name: str = "steps_since_non_finite", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.count = self.add_weight("count", initializer="zeros")

    def update_state(self, value: tf.Tensor) -> None:
        """Takes the value of one step, any shape."""
        finite = tf.reduce_all(tf.math.is_finite(value))
        on = tf.logical_or(self.count > 0, tf.logical_not(finite))
        self.count.assign_add(tf.cast(on, self.count.dtype))

    def result(self) -> tf.Tensor:
        """The count, float scalar; summed over replicas."""
        return tf.convert_to_tensor(self.count)


def not_finite(model: keras.Model) -> str:
    """The name of a weight that trains and is nan or infinite somewhere; empty where there is none."""
    bad = (weight for weight in model.trainable_variables if not bool(tf.reduce_all(tf.math.is_finite(weight))))
    return next((weight.name for weight in bad), "")


def all_zero(model: keras.Model) -> bool:
    """Whether every weight that trains is 0."""
    return not any(bool(tf.reduce_any(weight != 0)) for weight in model.trainable_variables)


def warn_of_weights(model: keras.Model) -> None:
    """Gives a `ModelWarning` where weights are not finite, or all 0: whoever measures or exports a model is told."""
    if name := not_finite(model):
        warnings.warn(f"the weights {name} are not finite: training diverged", ModelWarning, stacklevel=3)
    elif all_zero(model):
        message = "all weights of the model are 0: it says the same of everything"
        warnings.warn(message, ModelWarning, stacklevel=3)
