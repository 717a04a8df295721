"""The loop over training steps: traced once, and the same to the bit for any number of steps in a call."""

import numpy as np
import pytest

from mtkit.backend import keras, tf
from mtkit.model.multi_task import MultiTaskModel
from mtkit.model.train_loop import train_function


class Gate(keras.layers.Layer):
    """A layer of somebody else, whose control flow depends on values."""

    def call(self, inputs):
        if tf.reduce_sum(inputs) > 0:
            inputs = 2.0 * inputs
        else:
            inputs = -inputs
            tf.debugging.assert_non_negative(inputs)
        return inputs


class Counter(keras.Model):
    """Adds up what it is fed, through a gate."""

    def __init__(self):
        super().__init__()
        self.gate, self.total, self.traced = Gate(), keras.metrics.Sum(name="total"), 0

    @property
    def metrics(self):
        return [self.total]

    def train_step(self, data):
        self.traced += 1
        self.total.update_state(self.gate(data))
        return {"total": self.total.result()}

    def make_train_function(self, force=False):
        self.train_function = self.train_tf_function = train_function(self)
        return self.train_function


class Blocks(keras.callbacks.Callback):
    """What is told at the end of each call."""

    def __init__(self):
        super().__init__()
        self.told = []

    def on_train_batch_end(self, batch, logs=None):
        self.told.append((batch, float(logs["total"])))


@pytest.mark.parametrize("count", [1, 3, 10])
def test_calls_tell_their_last_step_and_the_last_call_does_the_rest(count):
    model, blocks = Counter(), Blocks()
    model.compile(steps_per_execution=count)
    numbers = tf.data.Dataset.range(10).map(lambda n: tf.cast(n, tf.float32) * tf.where(n % 2 == 0, 1.0, -1.0))
    model.fit(numbers, epochs=2, verbose=0, callbacks=[blocks])
    # Even numbers are doubled, odd ones lose their sign.
    totals = np.cumsum([2 * n if n % 2 == 0 else n for n in range(10)])
    ends = [*range(count - 1, 9, count), 9]
    assert blocks.told == [(end, totals[end]) for end in ends] * 2
    assert int(model._train_counter) == 20
    assert model.traced == 1


@pytest.mark.parametrize("size", [1, 3])
def test_programs_of_xla_take_rows_of_one_shape_or_of_several(size):
    model, blocks = Counter(), Blocks()
    model.compile(steps_per_execution=4, jit_compile=True)
    numbers = tf.data.Dataset.range(10).map(lambda n: tf.cast(n, tf.float32)).batch(size, drop_remainder=size == 1)
    model.fit(numbers, epochs=2, verbose=0, callbacks=[blocks])
    ends = {1: [3, 7, 9], 3: [3]}[size]
    totals = np.cumsum([sum(2 * n for n in range(10)[step : step + size]) for step in range(0, 10, size)])
    assert blocks.told == [(end, totals[end]) for end in ends] * 2
    assert int(model._train_counter) == 2 * len(totals)


def _weights(pipeline):
    return [v.numpy() for v in (*pipeline.model.variables, *pipeline.model.optimizer.variables)]


@pytest.mark.slow
def test_results_do_not_depend_on_the_number_of_steps_in_a_call(train_tiny, monkeypatch):
    def trained(count):
        return _weights(train_tiny("deterministic=true", "train.epochs=1", f"train.steps_per_execution={count}"))

    found = [trained(count) for count in (1, 3, 16)]
    monkeypatch.setattr(MultiTaskModel, "make_train_function", keras.Model.make_train_function)
    found.append(trained(16))
    for others in found[1:]:
        for some, other in zip(found[0], others, strict=True):
            np.testing.assert_array_equal(some, other)


def test_a_fit_traces_its_step_once(train_tiny, monkeypatch):
    step, traced = MultiTaskModel.train_step, []
    monkeypatch.setattr(MultiTaskModel, "train_step", lambda self, data: traced.append(1) or step(self, data))
    train_tiny("train.steps_per_execution=7", "train.epochs=2")
    assert len(traced) == 1


def test_own_code_is_traced_as_it_is_written(train_tiny, monkeypatch):
    from tensorflow.python.autograph.impl import api

    rewritten, rewrite = [], api._convert_actual
    monkeypatch.setattr(api, "_convert_actual", lambda entity, ctx: rewritten.append(entity) or rewrite(entity, ctx))
    train_tiny("train.epochs=1")
    # A `tf.function` rewrites the function that it is given, whatever that is.
    assert {entity.__qualname__ for entity in rewritten} == {"train_function.<locals>.call"}
