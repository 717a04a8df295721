"""What holds of all layers that share between tasks; each beside the same in NumPy (`sharing`)."""

import numpy as np
import pytest
import sharing
from sharing import built, numbers
from sums import unordered_sums

from mtkit.backend import keras, tf
from mtkit.errors import WiringError
from mtkit.layers.aitm import Aitm
from mtkit.layers.cross_stitch import CrossStitch
from mtkit.layers.mmoe import Mmoe
from mtkit.layers.ple import Ple
from mtkit.layers.shared_bottom import SharedBottom
from mtkit.layers.task_attention import TaskAttention
from mtkit.layers.task_states import task_states
from mtkit.optimizers import precision_scope
from mtkit.testing import check_correlation, check_layer_config

TASKS, ROWS, DIM = 3, 5, 6
#: Name -> what makes the layer, and the same in NumPy.
LAYERS = {
    "bottom": (lambda: SharedBottom([8, 4]), sharing.shared_bottom),
    "mmoe": (lambda: Mmoe(TASKS, 4, [8, 7, 4]), lambda x, w: sharing.mmoe(x, w, TASKS, 4)),
    "cross_stitch": (lambda: CrossStitch(TASKS, [8, 4], 0.7), lambda x, w: sharing.cross_stitch(x, w, TASKS, 2)),
    "cgc": (lambda: Ple(TASKS, 1, 2, 3, 4), lambda x, w: sharing.ple(x, w, TASKS, 2, 3, 1, 1)),
    "attention": (lambda: TaskAttention(TASKS, 3), lambda x, w: sharing.task_attention(x, w, TASKS, 3)),
    "aitm": (lambda: Aitm("abc", "cab", [8, 4]), lambda x, w: sharing.aitm(x, w, TASKS, [2, 0, 1])),
    "ple": (lambda: Ple(TASKS, 3, 2, 1, [8, 4]), lambda x, w: sharing.ple(x, w, TASKS, 2, 1, 2, 3)),
}
EACH = pytest.mark.parametrize(("make", "reference"), LAYERS.values(), ids=LAYERS)
BOTH = pytest.mark.parametrize("shape", [(ROWS, DIM), (ROWS, TASKS, DIM)], ids=["one", "by_task"])


@EACH
@BOTH
def test_equals_loops_with_its_own_weights(make, reference, shape):
    layer, inputs = built(make(), shape), numbers(shape)
    found = task_states(layer(inputs)).own
    assert np.abs(found - reference(inputs, layer.get_weights())).max() < 1e-5


@EACH
@BOTH
def test_equals_loops_with_weights_that_are_given(make, reference, shape):
    layer, inputs = built(make(), shape), numbers(shape)
    weights = [0.5 * numbers(weight.shape, seed) for seed, weight in enumerate(layer.get_weights(), 1)]
    layer.set_weights(weights)
    found = task_states(layer(inputs)).own
    assert np.abs(found - reference(inputs, weights)).max() < 1e-5


@EACH
@pytest.mark.parametrize("shared", [True, False])
def test_conforms(make, reference, shared):
    keras.utils.set_random_seed(0)  # of a few units, all may be silent by chance
    check_correlation(make(), TASKS, DIM, shared=shared)
    check_layer_config(make())


@EACH
@BOTH
def test_computes_in_half_precision(make, reference, shape):
    with precision_scope("mixed_bfloat16"):
        layer = make()
        outputs = task_states(layer(numbers(shape)))
    assert outputs.own.dtype == tf.bfloat16
    assert {weight.dtype for weight in layer.weights} == {tf.float32}
    expected = reference(numbers(shape), layer.get_weights())
    assert np.abs(tf.cast(outputs.own, tf.float32) - expected).max() < 0.05 * np.abs(expected).max()


@EACH
@BOTH
def test_no_sum_of_its_step_is_left_to_chance(make, reference, shape):
    layer = built(make(), shape)

    @tf.function(autograph=False)
    def step(inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            total = tf.reduce_sum(tf.square(task_states(layer(inputs)).own))
        return tape.gradient(total, [inputs, *layer.trainable_variables])

    assert unordered_sums(step.get_concrete_function(tf.constant(numbers(shape))).graph) == []


@EACH
def test_is_of_use_in_a_model_of_keras(make, reference, tmp_path):
    inputs = keras.Input([DIM])
    states = task_states(make()(inputs)).own
    model = keras.Model(inputs, keras.layers.Dense(1)(states))
    model.compile("adam", "mse")
    model.fit(numbers((8, DIM)), np.zeros((8, *model.output_shape[1:])), verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(numbers((8, DIM))), model(numbers((8, DIM))))


@pytest.mark.parametrize(
    "make",
    [
        lambda tasks: Mmoe(tasks, 4, [8, 4]),
        lambda tasks: CrossStitch(tasks, [8, 4]),
        lambda tasks: Ple(tasks, 2, 2, 3, [8, 4]),
    ],
)
def test_axes_of_tasks_are_those_that_grow_with_them(make):
    """So that a model for more tasks can begin with the weights of one for fewer."""
    few, many = (built(make(tasks), (ROWS, DIM)) for tasks in (2, 6))
    of_tasks = {(axis.variable.name, axis.axis) for axis in few.axes() if axis.of == "task"}
    for one, other in zip(few.weights, many.weights, strict=True):
        for axis, (before, now) in enumerate(zip(one.shape, other.shape, strict=True)):
            assert now == before * (3 if (one.name, axis) in of_tasks else 1), f"{one.name} axis {axis}"


@pytest.mark.parametrize("name", ["mmoe", "cross_stitch", "cgc", "ple", "attention", "aitm"])
def test_refuses_states_of_other_tasks(name):
    with pytest.raises(WiringError, match="expected the states of 3 tasks, got those of 2"):
        LAYERS[name][0]()(np.zeros((2, 2, DIM), np.float32))
