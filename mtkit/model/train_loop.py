"""What Keras calls to train: several steps in one compiled loop, whose body is traced once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mtkit.backend import keras, tf

Logs = Mapping[str, tf.Tensor]


def train_function(model: keras.Model) -> Any:
    """From an iterator over rows to the logs of the last of `steps_per_execution` steps of a compiled model.

    It does what Keras' own function does, which traces the step twice. How many steps there are is read while the loop
    runs: one graph serves all numbers, one included, and results are the same to the bit for all of them.

    Args:
        model: its `train_step` returns a float32 scalar for each of its metrics, by name.
    """
    step = _step(model)

    def call(iterator: Any) -> Logs:
        return _several(model, step, iterator)

    return tf.function(call, reduce_retracing=True)


def _several(model: keras.Model, step: Callable[[Any], Logs], iterator: Any) -> Logs:
    strategy, count = model.distribute_strategy, model._steps_per_execution  # noqa: SLF001 - as Keras' own function

    def one(done: tf.Tensor, _: Logs) -> tuple[tf.Tensor, Logs]:
        logs = strategy.run(step, args=(next(iterator),))
        # Metrics are summed over replicas when they are read, so all replicas tell the same.
        return done + 1, {name: strategy.experimental_local_results(value)[0] for name, value in logs.items()}

    none = {metric.name: tf.constant(0.0) for metric in model.metrics}
    _, logs = tf.while_loop(lambda done, _: done < count, one, (tf.zeros_like(count), none))
    return dict(logs)


def _step(model: keras.Model) -> Callable[[Any], Logs]:
    def step(rows: Any) -> Logs:
        logs: Logs = model.train_step(rows)
        # Keras counts steps that succeeded.
        with tf.control_dependencies(list(logs.values())):
            model._train_counter.assign_add(1)  # noqa: SLF001
        return logs

    return tf.function(step, jit_compile=True, reduce_retracing=True) if model.jit_compile else step
