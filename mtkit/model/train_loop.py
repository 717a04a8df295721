"""What Keras calls to train: several steps in one compiled loop, whose body is traced once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from mtkit.backend import keras, tf

Logs = dict[str, tf.Tensor]


def train_function(model: keras.Model) -> Any:
    """From an iterator over rows to the logs of the last of `steps_per_execution` steps of a compiled model.

    It does what Keras' own function does, which traces the step twice. How many steps there are is read while the loop
    runs: one graph serves all numbers, one included, and results are the same to the bit for all of them. With `jit_compile`,
    the loop itself is a program of XLA, beside which the operations of a small step would take longer than the step.

    Args:
        model: its `train_step` returns a float32 scalar for each of its metrics, by name.
    """
    several = _program(model) if model.jit_compile else partial(_operations, model)

    def call(iterator: Any) -> Logs:
        return several(iterator, model._steps_per_execution)  # noqa: SLF001 - as Keras' own function

    return tf.function(call, reduce_retracing=True)


def _operations(model: keras.Model, iterator: Any, count: tf.Tensor) -> Logs:
    """A number of steps, each with the next rows of an iterator."""
    return _loop(model, count, lambda _: _on_replicas(model, partial(_step, model), next(iterator)))


def _program(model: keras.Model) -> Callable[[Any, tf.Tensor], Logs]:
    """The same by a program of XLA, which is given the rows of its steps: of a whole call, of the size that calls have now."""
    most = int(model._steps_per_execution.numpy())  # noqa: SLF001

    @tf.function(jit_compile=True, reduce_retracing=True)
    def program(rows: Any, count: tf.Tensor) -> Logs:
        return _loop(model, count, lambda done: _step(model, tf.nest.map_structure(lambda of: of[done], rows)))

    def several(iterator: Any, count: tf.Tensor) -> Logs:
        # XLA compiles for the shapes that it is given: where those of rows differ, a program is one step.
        alike = all(spec.shape.is_fully_defined() for spec in tf.nest.flatten(iterator.element_spec))
        size = most if alike else 1

        def one(done: tf.Tensor, _: Logs) -> tuple[tf.Tensor, Logs]:
            steps = tf.minimum(count - done, size)
            return done + steps, _on_replicas(model, program, _next(iterator, steps, size), steps)

        _, logs = tf.while_loop(lambda done, _: done < count, one, (tf.zeros_like(count), _nothing(model)))
        return dict(logs)

    return several


def _next(iterator: Any, steps: tf.Tensor, size: int) -> Any:
    """The rows of the next steps, `[size, ...]` each; 0 behind the last one."""
    specs = iterator.element_spec
    arrays = [tf.TensorArray(spec.dtype, size, element_shape=spec.shape) for spec in tf.nest.flatten(specs)]

    def one(done: tf.Tensor, arrays: list[tf.TensorArray]) -> tuple[tf.Tensor, list[tf.TensorArray]]:
        rows = zip(arrays, tf.nest.flatten(next(iterator)), strict=True)
        return done + 1, [array.write(tf.cast(done, tf.int32), values) for array, values in rows]

    arrays = tf.while_loop(lambda done, _: done < steps, one, (tf.zeros_like(steps), arrays))[1]
    return tf.nest.pack_sequence_as(specs, [array.stack() for array in arrays])


def _loop(model: keras.Model, count: tf.Tensor, step: Callable[[tf.Tensor], Logs]) -> Logs:
    """The logs of the last of `count` steps, which are told how many are done."""

    def one(done: tf.Tensor, _: Logs) -> tuple[tf.Tensor, Logs]:
        return done + 1, step(done)

    _, logs = tf.while_loop(lambda done, _: done < count, one, (tf.zeros_like(count), _nothing(model)))
    return dict(logs)


def _nothing(model: keras.Model) -> Logs:
    return {metric.name: tf.constant(0.0) for metric in model.metrics}


def _on_replicas(model: keras.Model, function: Callable[..., Logs], *arguments: Any) -> Logs:
    """The logs of one replica: metrics are summed over replicas when they are read, so all tell the same."""
    strategy = model.distribute_strategy
    logs = strategy.run(function, args=arguments)
    return {name: strategy.experimental_local_results(value)[0] for name, value in logs.items()}


def _step(model: keras.Model, rows: Any) -> Logs:
    logs: Logs = model.train_step(rows)
    # Keras counts steps that succeeded.
    with tf.control_dependencies(list(logs.values())):
        model._train_counter.assign_add(1)  # noqa: SLF001
    return logs
