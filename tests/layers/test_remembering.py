"""What steps remember."""

import numpy as np
from toy_tasks import TASKS, Toy

from mtkit.backend import tf
from mtkit.layers.gradient_balancing import GradNorm
from mtkit.layers.remembering import RememberingStep


def test_what_is_not_finite_is_not_remembered():
    step, toy = GradNorm(TASKS), Toy(scale=np.float32(np.inf))
    step.gradients(toy.run, toy)
    np.testing.assert_array_equal(step.kept["weights"], np.ones(3))


def test_a_step_that_is_taken_up_again_goes_on_to_the_bit(tmp_path):
    step, toy = GradNorm(TASKS, rate=0.3), Toy()
    for _ in range(2):
        step.gradients(toy.run, toy)
    path = tf.train.Checkpoint(step=step).write(str(tmp_path / "step"))
    other = GradNorm(TASKS, rate=0.3)
    tf.train.Checkpoint(step=other).read(path).assert_consumed()
    for one in (step, other):
        one.gradients(toy.run, toy)
    for name, values in step.kept.items():
        np.testing.assert_array_equal(values, other.kept[name])
    assert np.abs(step.kept["weights"] - 1).max() > 0.01


def test_what_is_of_each_task_lies_along_the_tasks():
    step = RememberingStep(TASKS, {"weights": np.arange(3.0, dtype=np.float32), "steps": np.zeros([], np.int64)})
    (axis,) = step.axes()
    assert axis.variable is step.kept["weights"]
    assert axis.of == "task"
    np.testing.assert_array_equal(step.recalled()["weights"], [0, 1, 2])
    np.testing.assert_array_equal(step.of_all({"two": tf.constant(4.0)}), [0, 4, 0])
    assert step.by_task(tf.constant([1.0, 2.0, 3.0]))["three"] == 3
