import numpy as np
import pytest
import sharing
from sharing import numbers
from sums import unordered_sums

from mtkit.backend import keras, tf
from mtkit.errors import WiringError
from mtkit.layers.pepnet import PepNet
from mtkit.testing import check_correlation, check_layer_config

TASKS, ROWS, WIDTHS = 3, 30, (4, 5, 3)
BOTH = pytest.mark.parametrize("by_task", [False, True])


def made():
    return PepNet(TASKS, [1], [0], [6, 4], name="pepnet")


def embeddings(by_task):
    shape = (ROWS, TASKS) if by_task else (ROWS,)
    return [numbers((*shape, width), seed) for seed, width in enumerate(WIDTHS)]


@BOTH
def test_equals_the_formulas_with_its_own_weights_and_given_ones(by_task):
    layer, inputs = made(), embeddings(by_task)
    layer(inputs)
    for weights in (layer.get_weights(), [0.5 * numbers(w.shape, seed) for seed, w in enumerate(layer.get_weights())]):
        layer.set_weights(weights)
        expected = sharing.pepnet(inputs, sharing.named(layer, weights), TASKS, [1], [0], 2)
        assert np.abs(layer(inputs).own - expected).max() < 1e-5


@pytest.mark.parametrize("shared", [False, True])
def test_conforms(shared):
    keras.utils.set_random_seed(0)
    check_correlation(made(), TASKS, WIDTHS, shared=shared)
    check_layer_config(made())


def test_gates_do_not_train_what_they_gate():
    """Where a gate's output kernel is 0, the gate is 1 and tells its inputs nothing: embeddings learn by what is gated alone."""
    layer, inputs = made(), [tf.constant(x) for x in embeddings(by_task=False)]
    layer(inputs)
    for dense in (layer.domain_gate, *layer.gates):
        dense.kernel.assign(tf.zeros_like(dense.kernel))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        total = tf.reduce_sum(tf.sin(layer(inputs).own))
    moved = [float(np.abs(gradient).max()) for gradient in tape.gradient(total, inputs)]
    assert moved[0] > 0
    assert moved[1] == 0
    assert moved[2] > 0


@BOTH
def test_no_sum_of_its_step_is_left_to_chance(by_task):
    layer, inputs = made(), [tf.constant(x) for x in embeddings(by_task)]
    layer(inputs)

    @tf.function(autograph=False)
    def step(inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            total = tf.reduce_sum(tf.square(layer(inputs).own))
        return tape.gradient(total, [*inputs, *layer.trainable_variables])

    assert unordered_sums(step.get_concrete_function(inputs).graph) == []


def test_refuses_a_scenario_with_nothing_to_gate():
    with pytest.raises(WiringError, match="all embeddings are the scenario's"):
        PepNet(TASKS, [0], [0], 4)([numbers((2, 3))])
