import numpy as np
import pytest

from mtkit.backend import keras, read_trace, tf
from mtkit.errors import RunError
from mtkit.runtime.part_scopes import computing
from mtkit.training.step_trace import StepTrace, part_costs

MS = 1_000_000_000


def space(*events, plane="/host:CPU"):
    """A trace of one thread: name of an operation, begin and length in milliseconds."""
    found = read_trace(b"")
    host = found.planes.add(name=plane)
    line = host.lines.add()
    for number, (name, begin, length) in enumerate(events, 1):
        host.event_metadata[number].name, host.event_metadata[number].display_name = name, name.rpartition(":")[2]
        line.events.add(metadata_id=number, offset_ps=begin * MS, duration_ps=length * MS)
    return found


def test_operations_count_for_the_innermost_part_and_without_what_lies_within_them():
    events = (
        ("while/body/_1/mtkit.task.next/mtkit.encoder.past/MatMul:MatMul", 20, 4),
        ("while/body/_1/mtkit.task.next/Outer:PartitionedCall", 0, 10),
        ("while/body/_1/mtkit.encoder.past/a/MatMul:MatMul", 2, 3),
        ("while/body/_1/mtkit.encoder.past/a/Relu:Relu", 5, 1),
        ("mtkit.balance/gradient_tape/mtkit.encoder.past/a/MatMul/MatMul_1:MatMul", 30, 8),
        ("gradients/mtkit.task.next/Sum_grad/Tile:Tile", 40, 2),
        ("while/cond/_0/Less:Less", 50, 2),
        ("Iterator::Root::Prefetch", 60, 100),
    )
    found = part_costs([space(*events), space(("mtkit.data/x:X", 0, 9), plane="/device:GPU:0")], steps=2)
    assert list(found) == ["encoder.past", "task.next", "between"]
    costs = [(cost.forward * 1e3, cost.backward * 1e3, cost.operations) for cost in found.values()]
    assert costs == [pytest.approx(of) for of in ((4, 4, 2), (3, 1, 1), (1, 0, 0.5))]


class Slow(keras.Model):
    """A model whose step costs something in a part of its own."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(64)
        self.dense.build([None, 64])

    def train_step(self, data):
        with tf.GradientTape() as tape, computing("encoder.big"):
            loss = tf.reduce_mean(tf.square(self.dense(data)))
        with computing("optimizer"):
            self.optimizer.minimize(loss, self.dense.trainable_variables, tape)
        return {"loss": loss}


def fitted(*callbacks, steps=20, epochs=1):
    keras.utils.set_random_seed(0)
    model = Slow()
    model.compile("sgd", steps_per_execution=steps)
    data = tf.data.Dataset.from_tensors(tf.ones([512, 64])).repeat()
    model.fit(data, steps_per_epoch=steps, epochs=epochs, verbose=0, callbacks=list(callbacks))
    return model


def test_some_steps_are_traced_and_nothing_else_changes(tmp_path):
    with StepTrace(tmp_path / "trace") as trace:
        model = fitted(trace)
    assert trace.costs.steps == 8
    assert {"encoder.big", "optimizer"} <= set(trace.costs.parts)
    big = trace.costs.parts["encoder.big"]
    assert 0 < big.forward < trace.costs.seconds * 8
    assert big.backward > 0
    assert len(list((tmp_path / "trace").rglob("*.xplane.pb"))) == 1
    assert int(model._steps_per_execution) == 20
    np.testing.assert_array_equal(model.dense.kernel, fitted().dense.kernel)
    assert [path.name for path in tmp_path.iterdir()] == ["trace"]


def test_epochs_of_one_step_are_traced_from_the_second_on_and_a_single_step_is_not(tmp_path):
    with StepTrace(tmp_path / "two") as trace:
        fitted(trace, steps=1, epochs=2)
    assert trace.costs.steps == 1
    with StepTrace(tmp_path / "one") as trace:
        fitted(trace, steps=1)
    assert trace.costs is None
    assert not (tmp_path / "one").exists()


class Fails(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        if batch:
            raise KeyError("x")


def test_a_failure_ends_the_profiler_and_leaves_nothing(tmp_path):
    with pytest.raises(KeyError), StepTrace(tmp_path / "trace") as trace:
        fitted(trace, Fails(), steps=4)
    assert list(tmp_path.iterdir()) == []
    tf.profiler.experimental.start(str(tmp_path / "other"))
    try:
        expected = pytest.raises(RunError, match="--profile: a profiler of TensorFlow is at work already")
        with expected, StepTrace(tmp_path / "trace") as trace:
            fitted(trace)
    finally:
        tf.profiler.experimental.stop(save=False)
    assert not (tmp_path / "trace").exists()
